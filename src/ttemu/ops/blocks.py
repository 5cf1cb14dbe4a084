"""Choose the shards of a product where its memory config leaves them open, as ttnn's default program does."""

from __future__ import annotations

import math

from ttemu.cores import CoreCoord, CoreGrid, CoreRange, CoreRangeSet, divup, num_cores_to_corerangeset
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig, ShardSpec, TensorMemoryLayout, check_shards
from ttemu.tensor import Tensor

__all__ = ["placed"]

BLOCK = 16
"""Tiles on a side of the largest block that one core makes unasked."""
ELONGATED = 8
"""A product at least so many times as long as wide is cut along one direction only."""


def placed(
    op: str, a: Tensor, b: Tensor, sides: tuple[int, int], config: MemoryConfig | None, core_grid: CoreGrid | None
) -> MemoryConfig:
    """Return where a product of ``sides`` goes: DRAM unless told otherwise.

    Refuses shards that the batches of ``a`` make too many.
    """
    if config is None:
        return DRAM_MEMORY_CONFIG
    if not config.is_sharded() or config.shard_spec is not None or a.mesh is None:
        return config
    grid = a.mesh.compute_with_storage_grid_size()
    rows, cols = (divup(side, TILE_SIZE) for side in sides)
    batches = math.prod(a.extents[:-2])
    if config.memory_layout is TensorMemoryLayout.BLOCK_SHARDED:
        if math.prod(b.extents[:-2]) > 1:
            raise RuntimeError(f"ttnn.{op}: a block-sharded output is incompatible with batches of b, got {b.shape}")
        spec = _blocks(rows, cols, batches, grid) if core_grid is None else _cut(rows * batches, cols, core_grid)
    else:
        spec = _strips(op, config.memory_layout, rows if core_grid is None else rows * batches, cols, grid)
    result = MemoryConfig(config.memory_layout, config.buffer_type, spec)
    most = max(math.prod(a.extents[:-2]), math.prod(b.extents[:-2]))
    check_shards(f"ttnn.{op}", result, (most * rows * TILE_SIZE, cols * TILE_SIZE), grid, tiled=True)
    return result


def _strips(op: str, layout: TensorMemoryLayout, rows: int, cols: int, grid: CoreCoord) -> ShardSpec:
    """Cut along one direction, over all cores."""
    wide = layout is TensorMemoryLayout.WIDTH_SHARDED
    length, other = (cols, rows) if wide else (rows, cols)
    if length <= BLOCK < other:
        raise RuntimeError(f"ttnn.{op}: the shard shape does not match a product of {rows}x{cols} tiles, {layout.name}")
    size = divup(length, grid.x * grid.y)
    cores = num_cores_to_corerangeset(divup(length, size), grid, row_wise=True)
    return _spec(cores, *((rows, size) if wide else (size, cols)))


def _blocks(rows: int, cols: int, batches: int, grid: CoreCoord) -> ShardSpec:
    """Cut into large blocks: one per batch below one another, or a rectangle of them."""
    down, across = divup(rows, BLOCK), divup(cols, BLOCK)
    if down == across == 1:
        return _spec(_corner(1, batches), rows, cols)
    if min(down, across) > 1:
        return _spec(_corner(across, down * batches), BLOCK, BLOCK)
    size = divup(max(rows, cols), grid.x * grid.y)
    cores = num_cores_to_corerangeset(divup(max(rows, cols), size), grid, row_wise=True)
    return _spec(cores, *((rows, size) if across > 1 else (size, cols)))


def _cut(rows: int, cols: int, core_grid: CoreGrid) -> ShardSpec:
    """Cut over the rows and columns of the cores that are asked for."""
    if max(rows, cols) >= ELONGATED * min(rows, cols):
        raise NotImplementedError(
            f"an open BLOCK_SHARDED product of {rows}x{cols} tiles on a core_grid is not emulated: so long a one is "
            "cut along one direction"
        )
    tall, wide = divup(rows, core_grid.y), divup(cols, core_grid.x)
    return _spec(_corner(divup(cols, wide), divup(rows, tall)), tall, wide)


def _corner(cols: int, rows: int) -> CoreRangeSet:
    return CoreRangeSet([CoreRange(CoreCoord(0, 0), CoreCoord(cols - 1, rows - 1))])


def _spec(cores: CoreRangeSet, rows: int, cols: int) -> ShardSpec:
    return ShardSpec(cores, (rows * TILE_SIZE, cols * TILE_SIZE))
