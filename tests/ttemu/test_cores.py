"""Core coordinates, ranges and grids count and print as ttnn's do."""

from __future__ import annotations

import pytest

import ttemu as ttnn
from ttemu.cores import divup


def core_range(left: int, top: int, right: int, bottom: int) -> ttnn.CoreRange:
    """Return the rectangle from (left, top) to (right, bottom)."""
    return ttnn.CoreRange(ttnn.CoreCoord(left, top), ttnn.CoreCoord(right, bottom))


def test_range_set_counts_all_ranges_and_bounds_them() -> None:
    cores = ttnn.CoreRangeSet([core_range(2, 1, 3, 1), core_range(0, 0, 1, 0)])

    assert cores.num_cores() == 4
    assert cores.bounding_box() == core_range(0, 0, 3, 1)
    assert cores == ttnn.CoreRangeSet({core_range(0, 0, 1, 0), core_range(2, 1, 3, 1)})


def test_range_set_of_other_things_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="expected CoreRange"):
        ttnn.CoreRangeSet([(0, 0)])


@pytest.mark.parametrize(
    ("count", "row_wise", "expected"),
    [
        (3, True, [(0, 0, 2, 0)]),
        (8, True, [(0, 0, 7, 0)]),
        (11, True, [(0, 0, 7, 0), (0, 1, 2, 1)]),
        (11, False, [(0, 0, 0, 6), (1, 0, 1, 3)]),
    ],
)
def test_first_cores_fill_lines(count: int, *, row_wise: bool, expected: list[tuple[int, int, int, int]]) -> None:
    cores = ttnn.num_cores_to_corerangeset(count, ttnn.CoreCoord(8, 7), row_wise)

    assert cores.num_cores() == count
    assert cores == ttnn.CoreRangeSet([core_range(*corners) for corners in expected])


def test_more_cores_than_the_grid_are_refused() -> None:
    with pytest.raises(RuntimeError, match="Target number of cores 57 is greater than the grid 8-7"):
        ttnn.num_cores_to_corerangeset(57, ttnn.CoreCoord(8, 7))


def test_cores_print_like_ttnn() -> None:
    cores = ttnn.CoreRangeSet(core_range(0, 0, 1, 2))

    assert str(cores) == "{[0-0 - 1-2]}"
    assert cores.ranges()[0].grid_size() == ttnn.CoreCoord(2, 3)
    assert hash(cores) == hash(ttnn.CoreRangeSet({core_range(0, 0, 1, 2)}))
    assert str(ttnn.CoreGrid(y=3, x=2)) == "ttnn.CoreGrid(x=2, y=3)"


def test_division_rounds_up() -> None:
    assert [divup(value, 4) for value in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert ttnn.core.roundup(33, 32) == 64
