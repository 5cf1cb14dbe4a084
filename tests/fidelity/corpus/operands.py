"""Draw what the calls of elementwise ops, reductions and norms are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.fidelity.draw import Draw

__all__ = ["PLACES", "TILED", "broadcast", "dead", "operand", "sharding", "spoilt_shape"]

#: Dtypes that only tiles hold.
TILED = ("B8", "B4")
PLACES = ("L1", "DRAM", "L1")
_TILE = 32
_PLANE, _FULL_RANK = 2, 4


def operand(
    draw: Draw, shape: Sequence[int], dtype: str = "B16", *, row_major: int = 12, place: str | None = None
) -> str:
    """Return a device tensor of ``shape``, in tiles where its dtype needs them, now and then in L1."""
    layout = "TL" if dtype in TILED or (place and place not in PLACES) else draw.layout(row_major)
    where = place if place is not None else draw.one(("", "", "", "", "L1"))
    return draw.tensor(shape, dtype=dtype, layout=layout, place=where)


def dead(call: str, tensor: str) -> str:
    """Return ``call``, whose first tensor it names ``t``, made with ``tensor`` after that was deallocated."""
    return call.replace("(t", f"(dead({tensor})", 1)


def broadcast(draw: Draw, shape: Sequence[int]) -> list[int]:
    """Return a shape that goes with ``shape``: some of its dims are 1, or its first ones are missing."""
    kept = list(shape)[draw.between(0, len(shape)) if draw.chance(25) else 0 :]
    return [1 if draw.chance(35) else extent for extent in kept]


def spoilt_shape(draw: Draw, shape: Sequence[int]) -> list[int]:
    """Return ``shape`` with one dim that does not go with it."""
    wrong = list(shape) or [1]
    at = draw.between(0, len(wrong) - 1)
    wrong[at] += draw.one((1, 2, 32)) + (wrong[at] == 1)
    return wrong


def sharding(draw: Draw, shape: Sequence[int], *, fits: bool = True) -> str:
    """Return a sharded memory config for tiles of ``shape``; unless it ``fits``, one of its two sides is wrong.

    Shapes of other ranks than 2 to 4 take other shards, and get none here.
    """
    if not _PLANE <= len(shape) <= _FULL_RANK:
        return "DRAM"
    full = [1, 1, *shape]
    height = math.prod(full[:-2]) * _up(full[-2])
    width = _up(full[-1])
    rows, cols = _parts(draw, height), _parts(draw, width)
    wrong = 0 if fits else draw.one((_TILE, 3 * _TILE, 7))
    kind = draw.one(("HS", "WS", "BS"))
    if kind == "HS":
        return f"HS({height // rows}, {width + wrong}, {rows})"
    if kind == "WS":
        return f"WS({height + wrong}, {width // cols}, {cols})"
    rows = min(rows, 4)
    while height % (rows * _TILE):
        rows -= 1
    return f"BS({height // rows + min(wrong, 7)}, {width // cols}, {cols}, {rows})"


def _parts(draw: Draw, length: int) -> int:
    """Return into how many parts of whole tiles, at most eight, a length is cut."""
    tiles = length // _TILE
    return draw.one([count for count in range(1, 9) if tiles % count == 0])


def _up(extent: int) -> int:
    return max(-(-extent // _TILE), 1) * _TILE
