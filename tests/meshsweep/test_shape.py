"""Mesh shapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsweep.errors import UserError
from meshsweep.shape import MeshShape

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
