"""Layout, dtype and memory config change without changing values, or are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, put
from ttemu.formats import quantise

VALUES = torch.randn(3, 40, generator=torch.Generator().manual_seed(6))


@pytest.mark.parametrize("dtype", [ttnn.float32, ttnn.bfloat16])
def test_layouts_hold_the_same_values(single: ttnn.MeshDevice, dtype: ttnn.DataType) -> None:
    tiled = put(single, VALUES, dtype)
    rows = ttnn.to_layout(tiled, ttnn.ROW_MAJOR_LAYOUT)

    assert (rows.padded_shape, rows.dtype) == ((3, 40), dtype)
    assert torch.equal(get(rows), get(tiled))
    assert torch.equal(get(ttnn.to_layout(rows, ttnn.TILE_LAYOUT)), get(tiled))


def test_bfloat8_b_becomes_bfloat16_in_rows(single: ttnn.MeshDevice) -> None:
    rows = ttnn.untilize(put(single, VALUES, ttnn.bfloat8_b))

    assert rows.dtype is ttnn.bfloat16
    assert torch.equal(get(rows).float(), quantise(VALUES, ttnn.bfloat8_b).float())


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (lambda mesh: put(mesh, VALUES, ttnn.bfloat4_b), "BFLOAT4_B tensor cannot be in ROW_MAJOR layout"),
        (
            lambda _: ttnn.from_torch(VALUES, dtype=ttnn.bfloat8_b),
            "must be ROW_MAJOR for unpadding, got a host BFLOAT8_B tensor",
        ),
    ],
)
def test_block_floats_that_cannot_be_in_rows(single: ttnn.MeshDevice, tensor: object, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        ttnn.to_layout(tensor(single), ttnn.ROW_MAJOR_LAYOUT)


def test_dtype_changes_on_the_way_to_tiles_only(single: ttnn.MeshDevice) -> None:
    rows = put(single, VALUES, layout=ttnn.ROW_MAJOR_LAYOUT)

    assert ttnn.to_layout(rows, ttnn.TILE_LAYOUT, ttnn.bfloat8_b).dtype is ttnn.bfloat8_b
    with pytest.raises(RuntimeError, match="dtype cannot be different from tensor dtype FLOAT32"):
        ttnn.to_layout(put(single, VALUES), ttnn.ROW_MAJOR_LAYOUT, ttnn.bfloat16)


def test_tilize_needs_whole_tiles(single: ttnn.MeshDevice) -> None:
    rows = put(single, VALUES, layout=ttnn.ROW_MAJOR_LAYOUT)

    with pytest.raises(RuntimeError, match=r"shape Shape\(\[3, 40\]\) must be a multiple of the 32x32 tile"):
        ttnn.tilize(rows)
    assert ttnn.tilize_with_zero_padding(rows, use_multicore=True).padded_shape == (32, 64)


@pytest.mark.parametrize("dtype", [ttnn.bfloat16, ttnn.bfloat8_b, ttnn.bfloat4_b, ttnn.float32])
def test_typecast_rounds_to_the_dtype(single: ttnn.MeshDevice, dtype: ttnn.DataType) -> None:
    expected = ttnn.to_torch(ttnn.from_torch(VALUES, dtype=dtype, layout=ttnn.TILE_LAYOUT))

    assert torch.equal(get(ttnn.typecast(put(single, VALUES), dtype)), expected)
    host = ttnn.from_torch(VALUES, layout=ttnn.TILE_LAYOUT)
    assert torch.equal(ttnn.to_torch(ttnn.typecast(host, dtype)), expected)
    assert torch.equal(ttnn.to_torch(ttnn.to_dtype(host, dtype)), expected)


def test_typecast_truncates_to_integers_and_back(single: ttnn.MeshDevice) -> None:
    whole = ttnn.typecast(put(single, torch.tensor([[1.9, -1.9]])), ttnn.int32)

    assert get(whole).tolist() == [[1, -1]]
    assert get(ttnn.typecast(whole, ttnn.bfloat16)).tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize(
    ("source", "dtype", "expected"),
    [
        (ttnn.float32, ttnn.uint16, [0, 3, 2, 65535, 44]),
        (ttnn.bfloat16, ttnn.uint16, [0, 3, 2, 65535, 44]),
        (ttnn.bfloat8_b, ttnn.uint16, [0, 0, 0, 65535, 0]),
        (ttnn.float32, ttnn.uint32, [0, 2, 1, 70144, 44]),
        (ttnn.float32, ttnn.uint8, [256 - 3, 2, 1, 0, 44]),
        (ttnn.float32, ttnn.int8, [-3, 2, 1, 0, 44]),
        (ttnn.int32, ttnn.uint16, [0, 2, 1, 65535, 44]),
        (ttnn.int32, ttnn.uint32, [0, 2, 1, 70144, 44]),
    ],
)
def test_typecast_to_integers_saturates_or_wraps_as_devices_do(
    single: ttnn.MeshDevice, source: ttnn.DataType, dtype: ttnn.DataType, expected: list[int]
) -> None:
    given = put(single, torch.tensor([[-3.5, 2.5, 1.5, 70144.0, 44.25]]), source)

    assert get(ttnn.typecast(given, dtype)).tolist() == [expected]


def test_int8_goes_to_uint32_by_its_bits(single: ttnn.MeshDevice) -> None:
    given = put(single, torch.tensor([[-1, 5]], dtype=torch.int8), ttnn.int8)

    assert get(ttnn.typecast(given, ttnn.uint32)).tolist() == [[2**32 - 1, 5]]
    assert get(ttnn.typecast(given, ttnn.uint16)).tolist() == [[0, 5]]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_typecast_of_no_number_to_unsigned_is_refused(single: ttnn.MeshDevice, value: float) -> None:
    with pytest.raises(RuntimeError, match=r"UINT16: a value lies outside 0\.\.65535"):
        ttnn.typecast(put(single, torch.tensor([[value]])), ttnn.uint16)


def test_host_typecast_of_rows_to_block_floats_gives_tiles() -> None:
    rows = ttnn.from_torch(torch.ones(32, 32))

    assert ttnn.typecast(rows, ttnn.bfloat8_b).layout is ttnn.TILE_LAYOUT


def test_aligned_host_block_floats_stay_tiles() -> None:
    tiles = ttnn.from_torch(torch.ones(32, 64), dtype=ttnn.bfloat4_b)

    assert ttnn.to_layout(tiles, ttnn.ROW_MAJOR_LAYOUT).layout is ttnn.TILE_LAYOUT


def test_host_layout_change_keeps_the_dtype() -> None:
    rows = ttnn.from_torch(VALUES)

    assert ttnn.to_layout(rows, ttnn.TILE_LAYOUT, ttnn.bfloat8_b).dtype is ttnn.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ttnn.from_torch(VALUES, dtype=ttnn.fp8_e4m3, layout=ttnn.TILE_LAYOUT), "Only ROW_MAJOR layout"),
        (lambda: ttnn.from_torch(VALUES.double(), dtype=ttnn.fp8_e4m3), "source dtype torch.float64 is not supported"),
        (lambda: ttnn.to_dtype(ttnn.from_torch(VALUES, layout=ttnn.TILE_LAYOUT), ttnn.fp8_e4m3), "Only ROW_MAJOR"),
        (lambda: ttnn.to_layout(ttnn.from_torch(VALUES, dtype=ttnn.fp8_e4m3), ttnn.TILE_LAYOUT), "Only ROW_MAJOR"),
        (
            lambda: ttnn.typecast(ttnn.from_torch(VALUES, dtype=ttnn.bfloat16), ttnn.fp8_e4m3),
            "only supported to/from FLOAT32",
        ),
    ],
)
def test_fp8_is_for_float32_in_rows(call: Callable[[], object], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rows: ttnn.typecast(rows, ttnn.bfloat8_b), "ROW_MAJOR input cannot become BFLOAT8_B, which needs TILE"),
        (
            lambda rows: ttnn.to_dtype(rows, ttnn.bfloat16),
            "expected a host tensor, got a device tensor; use ttnn.typecast",
        ),
        (
            lambda rows: ttnn.to_dtype(rows.cpu(), ttnn.bfloat8_b),
            r"implicitly changed physical shape from \[3, 40\] to \[32, 64\]",
        ),
        (
            lambda rows: ttnn.to_memory_config(rows, ttnn.L1_WIDTH_SHARDED_MEMORY_CONFIG),
            "sharded memory config has no shard spec",
        ),
        (lambda rows: ttnn.interleaved_to_sharded(rows, ttnn.L1_MEMORY_CONFIG), "output memory config must be sharded"),
    ],
)
def test_conversion_is_refused(single: ttnn.MeshDevice, call: object, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call(put(single, VALUES, layout=ttnn.ROW_MAJOR_LAYOUT))


def test_typecast_to_another_thing_is_a_type_error(single: ttnn.MeshDevice) -> None:
    with pytest.raises(TypeError, match=r"ttnn.typecast: incompatible function arguments, dtype 'bfloat16'"):
        ttnn.typecast(put(single, VALUES), "bfloat16")


def test_memory_config_changes_alone_or_with_the_dtype(single: ttnn.MeshDevice) -> None:
    moved = ttnn.to_memory_config(put(single, VALUES), ttnn.L1_MEMORY_CONFIG)
    cast = ttnn.to_memory_config(put(single, VALUES), ttnn.L1_MEMORY_CONFIG, ttnn.bfloat16)

    assert torch.equal(get(moved), VALUES)
    assert torch.equal(get(cast), VALUES.bfloat16())


def test_same_config_is_the_same_memory(single: ttnn.MeshDevice) -> None:
    tensor = put(single, VALUES)

    assert ttnn.to_memory_config(tensor, ttnn.DRAM_MEMORY_CONFIG).buffer is tensor.buffer
    assert ttnn.sharded_to_interleaved(tensor).buffer is tensor.buffer
    assert ttnn.clone(tensor).buffer is not tensor.buffer


def test_shards_return_to_interleaved(single: ttnn.MeshDevice) -> None:
    cores = ttnn.num_cores_to_corerangeset(2, ttnn.CoreCoord(8, 9), row_wise=True)
    spec = ttnn.ShardSpec(cores, [32, 32], ttnn.ShardOrientation.ROW_MAJOR)
    config = ttnn.MemoryConfig(ttnn.TensorMemoryLayout.WIDTH_SHARDED, ttnn.BufferType.L1, spec)
    sharded = ttnn.interleaved_to_sharded(put(single, VALUES), config)
    back = ttnn.sharded_to_interleaved(sharded, ttnn.L1_MEMORY_CONFIG)

    assert ttnn.core.is_sharded(sharded)
    assert back.memory_config() == ttnn.L1_MEMORY_CONFIG
    assert torch.equal(get(back), VALUES)


def test_results_are_written_into_given_tensors(single: ttnn.MeshDevice) -> None:
    moved, cast = (
        ttnn.clone(put(single, VALUES * 0), memory_config=ttnn.L1_MEMORY_CONFIG),
        put(single, VALUES * 0, ttnn.bfloat16),
    )
    ttnn.to_memory_config(put(single, VALUES), ttnn.L1_MEMORY_CONFIG, None, moved)
    ttnn.typecast(put(single, VALUES), ttnn.bfloat16, output_tensor=cast)

    assert torch.equal(get(moved), VALUES)
    assert torch.equal(get(cast), VALUES.bfloat16())


def test_moving_frees_the_source(single: ttnn.MeshDevice) -> None:
    tensor = put(single, VALUES)
    moved = ttnn.reallocate(tensor)

    assert not tensor.is_allocated()
    assert torch.equal(get(ttnn.move(moved)), VALUES)
    assert torch.equal(get(ttnn.identity(put(single, VALUES))), VALUES)
