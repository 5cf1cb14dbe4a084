"""Shapes, mesh shapes and coordinates behave as ttnn's do."""

from __future__ import annotations

import pytest

import ttemu as ttnn


def test_shape_equals_lists_and_tuples_but_not_other_things() -> None:
    assert ttnn.Shape([2, 3]) == (2, 3)
    assert ttnn.Shape([2, 3]) == [2, 3]
    assert ttnn.Shape([2, 3]) == ttnn.Shape((2, 3))
    assert ttnn.Shape([2, 3]) != (3, 2)
    assert ttnn.Shape([2, 3]) != "23"


def test_equal_shapes_have_equal_hashes() -> None:
    assert len({ttnn.Shape([2, 3]), ttnn.Shape([2, 3])}) == 1
    assert len({ttnn.MeshShape(2, 3), ttnn.MeshShape([2, 3])}) == 1


def test_shape_unpacks_and_counts() -> None:
    rows, cols = ttnn.Shape([2, 3])

    assert (rows, cols, ttnn.Shape([2, 3]).volume(), len(ttnn.Shape([2, 3]))) == (2, 3, 6, 2)


def test_slice_of_a_shape_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"index slice\(None, -1, None\) is not an integer"):
        ttnn.Shape([2, 3])[:-1]


def test_index_beyond_a_shape_says_the_range() -> None:
    with pytest.raises(RuntimeError, match=r"out of range. 5 not in \[-4, 2\)"):
        ttnn.Shape([2, 3])[5]


def test_rank_cannot_drop_a_long_dim() -> None:
    with pytest.raises(RuntimeError, match=r"Shape\(\[3, 2\]\): cannot be reduced to rank 1"):
        ttnn.Shape([3, 2]).to_rank(1)


@pytest.mark.parametrize("other", [(2, 4), [2, 4], None])
def test_mesh_shape_compared_with_anything_else_is_a_type_error(other: object) -> None:
    with pytest.raises(TypeError, match=r"MeshShape.__eq__"):
        assert ttnn.MeshShape(2, 4) == other


def test_mesh_shape_has_extents_but_no_length() -> None:
    shape = ttnn.MeshShape(2, 4)

    assert (tuple(shape), shape[0], shape[-1], shape.mesh_size(), str(shape)) == ((2, 4), 2, 4, 8, "MeshShape([2, 4])")
    with pytest.raises(TypeError, match="no len"):
        len(shape)


@pytest.mark.parametrize("arguments", [("a", 1), (4,), ((1.5, 2),)])
def test_mesh_shape_of_other_things_is_a_type_error(arguments: tuple[object, ...]) -> None:
    with pytest.raises(TypeError, match="MeshShape: incompatible function arguments"):
        ttnn.MeshShape(*arguments)


def test_shapes_print_like_lists() -> None:
    whole = ttnn.MeshCoordinateRange(ttnn.MeshShape(2, 2))

    assert str(ttnn.Shape([2, 3])) == "Shape([2, 3])"
    assert str(ttnn.Shape([2, 3]).to_rank(3)) == "Shape([1, 2, 3])"
    assert str(ttnn.Shape([1, 2, 3]).to_rank(2)) == "Shape([2, 3])"
    assert str(whole) == "MeshCoordinateRange(start=MeshCoordinate([0, 0]), end=MeshCoordinate([1, 1]))"


def test_coordinate_range_runs_row_by_row() -> None:
    whole = ttnn.MeshCoordinateRange(ttnn.MeshShape(2, 2))
    corner = ttnn.MeshCoordinateRange(ttnn.MeshCoordinate(1, 0), ttnn.MeshCoordinate(1, 1))

    assert [tuple(at) for at in whole] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [tuple(at) for at in corner] == [(1, 0), (1, 1)]


def test_coordinate_range_needs_both_corners() -> None:
    with pytest.raises(TypeError, match="MeshCoordinateRange: incompatible"):
        ttnn.MeshCoordinateRange(ttnn.MeshCoordinate(0, 0))
