"""Memory configs are cut and checked as the real allocator does."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn


def width_sharded(height: int, width: int, cores: int, *, grid: tuple[int, int] = (8, 9)) -> ttnn.MemoryConfig:
    """Return an L1 config of ``cores`` shards."""
    used = ttnn.num_cores_to_corerangeset(cores, ttnn.CoreCoord(*grid), row_wise=True)
    spec = ttnn.ShardSpec(used, [height, width], ttnn.ShardOrientation.ROW_MAJOR)
    return ttnn.MemoryConfig(ttnn.TensorMemoryLayout.WIDTH_SHARDED, ttnn.BufferType.L1, spec)


def tensor(mesh: ttnn.MeshDevice, *shape: int, layout: ttnn.Layout = ttnn.TILE_LAYOUT) -> ttnn.Tensor:
    """Return ones in bfloat16."""
    return ttnn.from_torch(torch.ones(shape), dtype=ttnn.bfloat16, layout=layout, device=mesh)


def test_equal_configs_are_equal() -> None:
    assert width_sharded(32, 32, 2) == width_sharded(32, 32, 2)
    assert width_sharded(32, 32, 2) != width_sharded(32, 64, 2)
    assert ttnn.MemoryConfig() == ttnn.DRAM_MEMORY_CONFIG
    assert ttnn.L1_MEMORY_CONFIG.buffer_type is ttnn.BufferType.L1


def test_config_of_a_buffer_type_alone_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="MemoryConfig: incompatible"):
        ttnn.MemoryConfig(ttnn.BufferType.L1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (width_sharded(32, 32, 1), "number of shards 2 must not exceed number of cores 1"),
        (width_sharded(64, 32, 2), "shard height 64 must match physical height 32 for width sharded"),
        (width_sharded(20, 32, 2), r"shard shape \[20, 32\] must be a multiple of the 32x32 tile"),
    ],
)
def test_shards_that_do_not_fit_are_refused(single: ttnn.MeshDevice, config: ttnn.MemoryConfig, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        ttnn.to_memory_config(tensor(single, 32, 64), config)


def test_only_cores_with_shards_must_exist(single: ttnn.MeshDevice) -> None:
    config = width_sharded(32, 32, 12, grid=(12, 1))

    assert ttnn.to_memory_config(tensor(single, 32, 64), config).memory_config() == config
    with pytest.raises(RuntimeError, match="core 8-0 has no L1 bank on a 8x9 grid"):
        ttnn.to_memory_config(tensor(single, 32, 288), config)


def test_block_shards_fit_rows_and_columns_of_cores(single: ttnn.MeshDevice) -> None:
    grid = ttnn.CoreRangeSet({ttnn.CoreRange(ttnn.CoreCoord(0, 0), ttnn.CoreCoord(3, 0))})
    config = ttnn.MemoryConfig(
        ttnn.TensorMemoryLayout.BLOCK_SHARDED, ttnn.BufferType.L1, ttnn.ShardSpec(grid, [32, 32])
    )
    with pytest.raises(RuntimeError, match="number of shards 2 x 2 must not exceed the cores, 1 x 4"):
        ttnn.to_memory_config(tensor(single, 64, 64), config)


def test_row_major_shards_need_no_tiles(single: ttnn.MeshDevice) -> None:
    moved = ttnn.to_memory_config(tensor(single, 2, 10, layout=ttnn.ROW_MAJOR_LAYOUT), width_sharded(2, 5, 2))

    assert moved.is_sharded()
    assert moved.memory_config().shard_spec == width_sharded(2, 5, 2).shard_spec


@pytest.mark.parametrize(
    ("strategy", "shape", "orientation", "expected"),
    [
        (ttnn.ShardStrategy.HEIGHT, (1, 1, 64, 48), None, [16, 48]),
        (ttnn.ShardStrategy.WIDTH, (1, 1, 64, 48), None, [64, 12]),
        (ttnn.ShardStrategy.BLOCK, (1, 1, 64, 48), None, [32, 24]),
        (ttnn.ShardStrategy.BLOCK, (1, 1, 64, 48), ttnn.ShardOrientation.COL_MAJOR, [32, 24]),
    ],
)
def test_create_sharded_memory_config_cuts_evenly(
    strategy: ttnn.ShardStrategy, shape: tuple[int, ...], orientation: ttnn.ShardOrientation | None, expected: list[int]
) -> None:
    config = ttnn.create_sharded_memory_config(shape, ttnn.CoreGrid(y=2, x=2), strategy, orientation)

    assert config.shard_spec is not None
    assert config.shard_spec.shape == expected


def test_uneven_cut_names_the_tensor_and_the_cores() -> None:
    with pytest.raises(RuntimeError, match=r"tensor \[32, 65\] is not divisible over 1 x 2 cores \(WIDTH\)"):
        ttnn.create_sharded_memory_config((32, 65), ttnn.CoreGrid(y=1, x=2), ttnn.ShardStrategy.WIDTH)


def test_memory_config_follows_the_first_input_unless_given(single: ttnn.MeshDevice) -> None:
    in_l1 = ttnn.to_memory_config(tensor(single, 32, 64), ttnn.L1_MEMORY_CONFIG)

    assert ttnn.silu(in_l1).memory_config() == ttnn.L1_MEMORY_CONFIG
    assert ttnn.add(in_l1, tensor(single, 32, 64)).memory_config() == ttnn.L1_MEMORY_CONFIG
    assert ttnn.silu(in_l1, memory_config=ttnn.DRAM_MEMORY_CONFIG).memory_config() == ttnn.DRAM_MEMORY_CONFIG
