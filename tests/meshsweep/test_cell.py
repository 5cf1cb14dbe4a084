"""Cell ids."""

from __future__ import annotations

import pytest

from meshsweep.cell import Cell
from meshsweep.errors import UserError


@pytest.mark.parametrize("text", ["1x8-bfloat8_b-tiny", "4x8-bfloat16-gpt-oss-120b"])
def test_id_survives_a_round_trip(text: str) -> None:
    assert str(Cell.parse(text)) == text


@pytest.mark.parametrize("text", ["", "1x8", "1x8-bfloat16", "1x8-bfloat16-"])
def test_incomplete_id_is_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        Cell.parse(text)

    assert str(caught.value) == f"cell {text!r}: expected MESH-DTYPE-SCALE, such as 1x8-bfloat8_b-tiny"


def test_scale_keeps_its_dashes() -> None:
    assert Cell.parse("1x8-bfloat8_b-tiny-padded") == Cell(mesh="1x8", dtype="bfloat8_b", scale="tiny-padded")
