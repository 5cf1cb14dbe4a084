"""Choose the shards of a memory config that leaves them open."""

from __future__ import annotations

import math

from ttemu.cores import CoreCoord, CoreRange, CoreRangeSet, divup, num_cores_to_corerangeset
from ttemu.dtypes import Layout
from ttemu.memory import TILE_SIZE, MemoryConfig, ShardSpec, TensorMemoryLayout
from ttemu.mesh import MeshDevice
from ttemu.tensor import padded_extents

__all__ = ["chosen"]


def chosen(config: MemoryConfig, extents: tuple[int, ...], layout: Layout, mesh: MeshDevice) -> MemoryConfig:
    """Return ``config`` with shards of whole tiles or rows, as even as they come, over as many cores as they fill."""
    if config.shard_spec is not None or not config.is_sharded():
        return config
    padded = padded_extents(extents, layout)
    height, width = math.prod(padded[:-1]), padded[-1]
    unit = TILE_SIZE if layout is Layout.TILE else 1
    grid = mesh.compute_with_storage_grid_size()
    if config.memory_layout is TensorMemoryLayout.BLOCK_SHARDED:
        shard = (_part(height, grid.y, unit), _part(width, grid.x, unit))
        end = CoreCoord(divup(width, shard[1]) - 1, divup(height, shard[0]) - 1)
        return _with(config, CoreRangeSet([CoreRange(CoreCoord(0, 0), end)]), shard)
    cores = grid.x * grid.y
    tall = config.memory_layout is TensorMemoryLayout.HEIGHT_SHARDED
    shard = (_part(height, cores, unit), width) if tall else (height, _part(width, cores, unit))
    count = divup(height, shard[0]) * divup(width, shard[1])
    return _with(config, num_cores_to_corerangeset(count, grid, row_wise=True), shard)


def _part(length: int, parts: int, unit: int) -> int:
    return max(divup(divup(length, parts), unit), 1) * unit


def _with(config: MemoryConfig, cores: CoreRangeSet, shard: tuple[int, int]) -> MemoryConfig:
    return MemoryConfig(config.memory_layout, config.buffer_type, ShardSpec(cores, shard))
