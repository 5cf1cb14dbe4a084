"""Mesh shapes, and how a machine is cut into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsweep.errors import UserError
from meshsweep.shape import MeshShape, cut

shapes = st.builds(MeshShape, rows=st.integers(1, 6), cols=st.integers(1, 9))


@given(shapes)
def test_parse_reads_what_str_writes(shape: MeshShape) -> None:
    assert MeshShape.parse(str(shape)) == shape


@pytest.mark.parametrize(
    "text", ["", "8", "1x", "x8", "0x8", "1x0", "1x8x2", "1X8", "-1x8", "1 x8", "01x8", "\u0661x\u0668"]
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        MeshShape.parse(text)

    assert str(caught.value) == f"mesh shape {text!r}: expected ROWSxCOLS, such as 1x8"


def test_devices_are_rows_times_cols() -> None:
    assert MeshShape(rows=4, cols=8).devices == 32


def test_cut_numbers_devices_row_major() -> None:
    halves = cut(MeshShape(rows=2, cols=4), MeshShape(rows=2, cols=2))

    assert halves == ((0, 1, 4, 5), (2, 3, 6, 7))


def test_remainder_of_machine_is_left_out() -> None:
    assert cut(MeshShape(rows=1, cols=5), MeshShape(rows=1, cols=2)) == ((0, 1), (2, 3))


@given(shapes, shapes)
def test_cut_shares_out_no_device_twice(machine: MeshShape, shape: MeshShape) -> None:
    rectangles = cut(machine, shape)
    devices = [device for rectangle in rectangles for device in rectangle]

    assert len(rectangles) == (machine.rows // shape.rows) * (machine.cols // shape.cols)
    assert len(set(devices)) == len(devices) == len(rectangles) * shape.devices
    assert set(devices) <= set(range(machine.devices))
