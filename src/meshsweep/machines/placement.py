"""Where a mesh can be opened on a grid of chips: rectangles, turned ones, and rings round them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshsweep.shape import MeshShape

__all__ = ["Placement", "joined", "place"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Chips that can open a mesh, row-major in the mesh.

    ``kind`` is ``rectangle``, ``turned`` where rows and columns changed places, or ``ring``.
    """

    chips: tuple[int, ...]
    kind: str


def place(
    grid: MeshShape, ids: tuple[int, ...], links: frozenset[tuple[int, int]], shape: MeshShape, *, is_ring: bool
) -> tuple[Placement, ...]:
    """Return every place for a mesh on a grid of chips that is connected; those that waste least first.

    ``ids`` are the chips of the grid, row-major. A set of chips is listed once, in its best order.
    """
    turned = MeshShape(rows=shape.cols, cols=shape.rows)
    found = [Placement(chips=chips, kind="rectangle") for chips in _rectangles(grid, shape)]
    found += [Placement(chips=_transposed(chips, turned), kind="turned") for chips in _rectangles(grid, turned)]
    if is_ring and shape.rows == 1 and shape.cols % 2 == 0:
        for around in (MeshShape(rows=2, cols=shape.cols // 2), MeshShape(rows=shape.cols // 2, cols=2)):
            rings = [_perimeter(chips, around) for chips in _rectangles(grid, around)]
            found += [Placement(chips=chips, kind="ring") for chips in rings]
    unique = {
        frozenset(one.chips): one
        for one in (Placement(chips=tuple(ids[at] for at in p.chips), kind=p.kind) for p in reversed(found))
        if _is_connected(one, shape, links)
    }
    return tuple(reversed(unique.values()))


def joined(grid: MeshShape, ids: tuple[int, ...]) -> frozenset[tuple[int, int]]:
    """Return the links of a grid in which every chip is joined to its neighbours."""
    return frozenset(_link(ids[a], ids[b]) for a, b in _neighbours(grid))


def _rectangles(grid: MeshShape, shape: MeshShape) -> list[tuple[int, ...]]:
    """Return the positions of every rectangle, those first that leave whole rectangles beside them."""
    corners = [(top, left) for top in range(grid.rows - shape.rows + 1) for left in range(grid.cols - shape.cols + 1)]
    corners.sort(key=lambda corner: bool(corner[0] % shape.rows) + bool(corner[1] % shape.cols))
    return [
        tuple((top + row) * grid.cols + left + col for row in range(shape.rows) for col in range(shape.cols))
        for top, left in corners
    ]


def _transposed(chips: tuple[int, ...], shape: MeshShape) -> tuple[int, ...]:
    return tuple(chips[row * shape.cols + col] for col in range(shape.cols) for row in range(shape.rows))


def _perimeter(chips: tuple[int, ...], around: MeshShape) -> tuple[int, ...]:
    """Return the chips of a rectangle two wide in the order of its rim."""
    if around.rows == 2:
        return chips[: around.cols] + chips[around.cols :][::-1]
    return chips[0::2] + chips[1::2][::-1]


def _is_connected(placement: Placement, shape: MeshShape, links: frozenset[tuple[int, int]]) -> bool:
    chips = placement.chips
    if not all(_link(chips[a], chips[b]) in links for a, b in _neighbours(shape)):
        return False
    return placement.kind != "ring" or len(chips) == 2 or _link(chips[0], chips[-1]) in links


def _neighbours(shape: MeshShape) -> Iterator[tuple[int, int]]:
    """Yield the positions, row-major, of chips that stand beside each other in a mesh."""
    for row in range(shape.rows):
        for col in range(shape.cols):
            at = row * shape.cols + col
            if col + 1 < shape.cols:
                yield at, at + 1
            if row + 1 < shape.rows:
                yield at, at + shape.cols


def _link(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)
