"""Draw where the tensors of generated calls lie."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.fidelity.draw import Draw

__all__ = ["TILE", "anything", "place", "shards", "spoiled_tensor"]

TILE = 32
_CORES = 56
_SPOILED = 8
_GRID = (8, 7)
_INTERLEAVED = ("", "", "", "", "L1", "DRAM")


def _up(extent: int) -> int:
    return -(-extent // TILE) * TILE


def _flat(shape: Sequence[int]) -> tuple[int, int]:
    rows, cols = ([1, 1, *shape])[-2:]
    return math.prod(shape[:-2]) * _up(rows), _up(cols)


def _part(draw: Draw, extent: int, most: int) -> tuple[int, int]:
    """Return a shard's extent, a multiple of the tile, and how many shards that gives."""
    size = min(extent, draw.one([extent, TILE, TILE * 2]))
    while -(-extent // size) > most:
        size *= 2
    return size, -(-extent // size)


def shards(draw: Draw, shape: Sequence[int]) -> str:
    """Return a sharded memory config that fits a tensor of ``shape`` in tiles."""
    height, width = _flat(shape)
    kind = draw.one(("HS", "WS", "BS"))
    if kind == "HS":
        size, count = _part(draw, height, _CORES)
        return f"HS({size}, {width}, {count})"
    if kind == "WS":
        size, count = _part(draw, width, _CORES)
        return f"WS({height}, {size}, {count})"
    (tall, rows), (wide, cols) = _part(draw, height, _GRID[1]), _part(draw, width, _GRID[0])
    return f"BS({tall}, {wide}, {cols}, {rows})"


def place(draw: Draw, shape: Sequence[int], sharded: int = 0) -> str:
    """Return a memory config for a tensor of ``shape``: interleaved, or in ``sharded`` percent of draws sharded."""
    return shards(draw, shape) if draw.chance(sharded) else draw.one(_INTERLEAVED)


def spoiled_tensor(draw: Draw, tensor: str, kinds: Sequence[str] = ("host", "dead", "number")) -> str:
    """Return a tensor that no op takes: on the host, dead, or none at all."""
    kind = draw.one(kinds)
    if kind == "host":
        return f"{tensor[:-1]}, host=True)"
    return f"dead({tensor})" if kind == "dead" else "3"


def anything(
    draw: Draw,
    shape: Sequence[int],
    row_major: int = 25,
    *,
    without: Sequence[str] = (),
    faults: Sequence[str] = ("host", "host", "dead", "dead", "number"),
) -> str:
    """Return a tensor of any dtype, layout and place, now and then one that no op takes."""
    dtype, layout = draw.dtype(), draw.layout(row_major)
    if dtype in without:
        dtype = "B16"
    if dtype in {"B8", "B4"}:
        layout = "TL"
    tensor = draw.tensor(shape, dtype=dtype, layout=layout, place=place(draw, shape))
    return spoiled_tensor(draw, tensor, faults) if faults and draw.chance(_SPOILED) else tensor
