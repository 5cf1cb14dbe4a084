"""Find the grid that chips form, from what joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshsweep.shape import MeshShape

__all__ = ["arrange"]

#: Chips tried before a shape is given up: a wrong start shows within few.
_TRIES = 20_000
#: Links that may be missing in a grid, by the chips that it has at least: fewer would make a grid of a line.
_MISSING = ((32, 2), (8, 1), (1, 0))


def arrange(chips: Sequence[int], links: frozenset[tuple[int, int]]) -> tuple[MeshShape, tuple[int, ...]]:
    """Return the squarest grid that chips form, a broken link aside, and its chips row-major.

    Chips that form no grid stand in one row, joined or not.
    """
    beside: dict[int, set[int]] = {chip: set() for chip in chips}
    for low, high in links:
        beside[low].add(high)
        beside[high].add(low)
    most = next(missing for least, missing in _MISSING if len(chips) >= least)
    for rows in range(int(len(chips) ** 0.5), 1, -1):
        if len(chips) % rows == 0:
            shape = MeshShape(rows=rows, cols=len(chips) // rows)
            tried = (_fill(sorted(chips), beside, shape, missing) for missing in range(most + 1))
            found = next((placed for placed in tried if placed is not None), None)
            if found is not None:
                return shape, found
    row = MeshShape(rows=1, cols=len(chips))
    return row, _fill(sorted(chips), beside, row, 0) or tuple(sorted(chips))


def _fill(
    chips: Sequence[int], beside: Mapping[int, set[int]], shape: MeshShape, missing: int
) -> tuple[int, ...] | None:
    """Return chips so that each is joined to those on its left and above it, but for ``missing`` links; or None."""
    placed: list[int] = []
    # Choices that are still open, place by place: a chip, and the links that are missing with it.
    choices = [[(chip, 0) for chip in reversed(chips)]]
    spent = [0]
    for _ in range(_TRIES):
        if not choices[-1]:
            choices.pop()
            if not placed:
                return None
            placed.pop()
            spent.pop()
            continue
        chip, cost = choices[-1].pop()
        placed.append(chip)
        spent.append(spent[-1] + cost)
        at = len(placed)
        if at == shape.devices:
            return tuple(placed)
        joined = [beside[placed[at - 1]]] if at % shape.cols else []
        joined += [beside[placed[at - shape.cols]]] if at >= shape.cols else []
        choices.append(_candidates(chips, placed, joined, missing - spent[-1]))
    return None


def _candidates(
    chips: Sequence[int], placed: Sequence[int], joined: Sequence[set[int]], missing: int
) -> list[tuple[int, int]]:
    """Return the chips for a place, the best last; one of two links may be missing."""
    left = set(chips) - set(placed)
    exact = left.intersection(*joined)
    found = [(chip, 0) for chip in sorted(exact, reverse=True)]
    if missing > 0 and len(joined) > 1:
        found = [(chip, 1) for chip in sorted(left & set.union(*joined) - exact, reverse=True)] + found
    return found
