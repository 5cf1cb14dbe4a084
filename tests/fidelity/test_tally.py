"""A tally counts every case once and keeps the first few differences."""

from __future__ import annotations

import pytest

from tests.fidelity.tally import KEPT, Row, Tally


def test_every_case_is_counted_once() -> None:
    tally = Tally("x")

    tally.agree(10)
    tally.excuse("known", 5)
    tally.differ("wrong", 1)

    assert tally.row() == Row(
        name="x", cases=3, elements=16, agreed=1, exceptions=(("known", 1),), differing=1, differences=("wrong",)
    )


def test_only_the_first_differences_are_kept() -> None:
    tally = Tally("x")

    for number in range(KEPT + 3):
        tally.differ(f"wrong {number}", 1)

    assert tally.row().differing == KEPT + 3
    assert tally.row().differences == tuple(f"wrong {number}" for number in range(KEPT))


def test_a_row_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x: 3 cases are not 1 agreed \+ 1 excepted \+ 0 differing"):
        Row(name="x", cases=3, elements=0, agreed=1, exceptions=(("known", 1),))
