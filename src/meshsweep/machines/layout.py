"""Find the grid that chips form, from what joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshsweep.shape import MeshShape

__all__ = ["arrange"]

#: Chips tried before a shape is given up: a wrong start shows within few.
_TRIES = 20_000


def arrange(chips: Sequence[int], links: frozenset[tuple[int, int]]) -> tuple[MeshShape, tuple[int, ...]]:
    """Return the squarest grid in which all neighbours are joined, and its chips row-major.

    Chips that form no such grid stand in one row, joined or not.
    """
    beside: dict[int, set[int]] = {chip: set() for chip in chips}
    for low, high in links:
        beside[low].add(high)
        beside[high].add(low)
    for rows in range(int(len(chips) ** 0.5), 0, -1):
        if len(chips) % rows == 0:
            shape = MeshShape(rows=rows, cols=len(chips) // rows)
            found = _fill(sorted(chips), beside, shape)
            if found is not None:
                return shape, found
    return MeshShape(rows=1, cols=max(1, len(chips))), tuple(sorted(chips))


def _fill(chips: Sequence[int], beside: Mapping[int, set[int]], shape: MeshShape) -> tuple[int, ...] | None:
    """Return chips so that each is joined to those on its left and above it, or None."""
    placed: list[int] = []
    # Choices that are still open, place by place.
    choices = [list(reversed(chips))]
    for _ in range(_TRIES):
        if not choices[-1]:
            choices.pop()
            if not placed:
                return None
            placed.pop()
            continue
        placed.append(choices[-1].pop())
        at = len(placed)
        if at == shape.devices:
            return tuple(placed)
        joined = [beside[placed[at - 1]]] if at % shape.cols else []
        joined += [beside[placed[at - shape.cols]]] if at >= shape.cols else []
        fits = set.intersection(*joined) if joined else set(chips)
        choices.append(sorted(fits - set(placed), reverse=True))
    return None
