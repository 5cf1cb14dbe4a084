"""Tensors come from torch and go back as ttnn converts them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import put, shards
from ttemu.formats import quantise, round_bfloat16

VALUES = torch.randn(8, 48, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (torch.float32, ttnn.float32),
        (torch.bfloat16, ttnn.bfloat16),
        (torch.float16, ttnn.bfloat16),
        (torch.int64, ttnn.uint32),
        (torch.int32, ttnn.int32),
        (torch.int16, ttnn.uint16),
        (torch.uint8, ttnn.uint8),
        (torch.bool, ttnn.uint8),
    ],
)
def test_default_dtype_follows_torch(source: torch.dtype, expected: ttnn.DataType) -> None:
    assert ttnn.from_torch(torch.ones(2, 2).to(source)).dtype is expected


def test_float64_without_a_dtype_is_refused() -> None:
    with pytest.raises(
        RuntimeError, match=r"torch.float64 has no default dtype, the real library aborts .* give dtype="
    ):
        ttnn.from_torch(torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (ttnn.float32, VALUES),
        (ttnn.bfloat16, round_bfloat16(VALUES)),
        (ttnn.bfloat8_b, quantise(VALUES, ttnn.bfloat8_b).float()),
        (ttnn.bfloat4_b, quantise(VALUES, ttnn.bfloat4_b).float()),
    ],
)
def test_values_are_rounded_once(dtype: ttnn.DataType, expected: torch.Tensor) -> None:
    back = ttnn.to_torch(ttnn.from_torch(VALUES, dtype=dtype, layout=ttnn.TILE_LAYOUT))

    assert back.dtype is expected.dtype
    assert torch.equal(back, expected)


@pytest.mark.parametrize("source", [torch.float64, torch.float16])
def test_other_floats_reach_block_floats_through_bfloat16(source: torch.dtype) -> None:
    values = VALUES.to(source)

    expected = quantise(round_bfloat16(values), ttnn.bfloat8_b).float()
    assert torch.equal(ttnn.to_torch(ttnn.from_torch(values, dtype=ttnn.bfloat8_b)), expected)


def test_bfloat16_stays_as_it_is_with_its_nans() -> None:
    patterns = torch.tensor([0x7F81, 0x7FFF, -1, 0x7FC0], dtype=torch.int16).view(torch.bfloat16)

    host = ttnn.from_torch(patterns)

    for tensor in (host, ttnn.to_dtype(host, ttnn.bfloat16), ttnn.typecast(host, ttnn.bfloat16)):
        assert torch.equal(ttnn.to_torch(tensor).view(torch.int16), patterns.view(torch.int16))
    assert ttnn.to_torch(ttnn.from_torch(patterns.float(), dtype=ttnn.bfloat16)).view(
        torch.int16
    ).unique().tolist() == [0x7FC0]


def test_float64_is_rounded_by_torch_before_it_is_cut(mesh: ttnn.MeshDevice) -> None:
    numbers = torch.full((16, 64), float("nan"), dtype=torch.float64)
    mapper = ttnn.ShardTensor2dMesh(mesh, (2, 4), (0, 1))

    parts = ttnn.get_device_tensors(ttnn.from_torch(numbers, dtype=ttnn.bfloat16, mesh_mapper=mapper))

    # Of a NaN torch's vectors make another pattern than its tail, so a cut first would show.
    whole = numbers.to(torch.bfloat16).view(torch.int16)
    assert all(torch.equal(ttnn.to_torch(part).view(torch.int16), whole[:8, :16]) for part in parts)


def test_shards_are_quantised_after_the_cut() -> None:
    # 360 columns per device are no multiple of 16: the blocks of a shard begin at its own first column.
    values = torch.randn(4, 2880)
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 8))
    expected = [quantise(part, ttnn.bfloat4_b).float() for part in values.chunk(8, 1)]

    got = shards(put(mesh, values, ttnn.bfloat4_b, dims=(None, 1)))
    assert all(map(torch.equal, got, expected))
    assert not torch.equal(torch.cat(got, 1), quantise(values, ttnn.bfloat4_b).float())


def test_pad_value_takes_part_in_the_shared_exponent() -> None:
    row = torch.full((1, 20), 0.01)
    kept = ttnn.to_torch(ttnn.from_torch(row, dtype=ttnn.bfloat8_b))
    drowned = ttnn.to_torch(ttnn.from_torch(row, dtype=ttnn.bfloat8_b, pad_value=100.0))

    assert torch.equal(drowned[:, :16], kept[:, :16])
    assert not drowned[:, 16:].any()


def test_tensor_does_not_share_memory_with_its_source() -> None:
    values = torch.zeros(2, 2)
    tensor = ttnn.from_torch(values)
    back = ttnn.to_torch(tensor)
    values += 1
    back += 2

    assert not ttnn.to_torch(tensor).any()


@pytest.mark.parametrize("dtype", [ttnn.bfloat8_b, ttnn.bfloat4_b])
def test_block_floats_need_tiles(dtype: ttnn.DataType) -> None:
    with pytest.raises(RuntimeError, match=rf"{dtype.name} needs TILE layout, got ROW_MAJOR"):
        ttnn.from_torch(VALUES, dtype=dtype, layout=ttnn.ROW_MAJOR_LAYOUT)
    assert ttnn.from_torch(VALUES, dtype=dtype).layout is ttnn.TILE_LAYOUT


def test_several_shards_need_a_composer(mesh: ttnn.MeshDevice) -> None:
    with pytest.raises(
        RuntimeError, match=r"tensor has 8 shards on a mesh of 2x4; give mesh_composer= or take one shard"
    ):
        ttnn.to_torch(put(mesh, VALUES))


def test_fp8_does_not_return_to_torch() -> None:
    with pytest.raises(RuntimeError, match="FP8_E4M3 cannot be converted to torch"):
        ttnn.to_torch(ttnn.from_torch(VALUES, dtype=ttnn.fp8_e4m3))


@pytest.mark.parametrize(
    ("dtype", "expected"), [(ttnn.uint16, torch.uint16), (ttnn.uint32, torch.uint32), (ttnn.uint8, torch.uint8)]
)
def test_integers_come_back_in_their_own_dtype(dtype: ttnn.DataType, expected: torch.dtype) -> None:
    back = ttnn.to_torch(ttnn.from_torch(torch.tensor([1, 200]), dtype=dtype))

    assert back.dtype is expected
    assert back.tolist() == [1, 200]


@pytest.mark.parametrize("call", [lambda: ttnn.from_torch([1, 2]), lambda: ttnn.to_torch(torch.ones(2))])
def test_other_objects_are_a_type_error(call: object) -> None:
    with pytest.raises(TypeError, match="incompatible function arguments"):
        call()


def test_host_tensor_moves_to_the_mesh_and_back(mesh: ttnn.MeshDevice) -> None:
    host = ttnn.from_torch(VALUES, mesh_mapper=ttnn.ShardTensor2dMesh(mesh, (2, 4), dims=(0, 1)))
    on_device = ttnn.to_device(host, mesh)
    back = on_device.cpu()

    assert on_device.device() is mesh
    assert back.device() is None
    assert all(map(torch.equal, shards(back), shards(host)))


def test_device_tensor_put_on_its_device_is_the_same_memory(mesh: ttnn.MeshDevice) -> None:
    tensor = put(mesh, VALUES)

    assert ttnn.to_device(tensor, mesh).buffer is tensor.buffer


def test_more_shards_than_devices_are_refused(mesh: ttnn.MeshDevice, single: ttnn.MeshDevice) -> None:
    host = ttnn.from_torch(VALUES, mesh_mapper=ttnn.ShardTensorToMesh(mesh, 0))

    with pytest.raises(RuntimeError, match=r"tensor has 2x4 shards, mesh .* is smaller"):
        ttnn.to_device(host, single)


def test_host_values_overwrite_a_device_tensor(mesh: ttnn.MeshDevice) -> None:
    target = put(mesh, torch.zeros(8, 48))
    handle = ttnn.to_layout(target, ttnn.TILE_LAYOUT)
    ttnn.copy_host_to_device_tensor(ttnn.from_torch(VALUES, layout=ttnn.TILE_LAYOUT), target)

    assert all(torch.equal(part, VALUES) for part in shards(handle))
    with pytest.raises(RuntimeError, match="has a different shape"):
        ttnn.copy_host_to_device_tensor(ttnn.from_torch(VALUES[:4]), target)
    with pytest.raises(RuntimeError, match="has a different dtype"):
        ttnn.copy_host_to_device_tensor(ttnn.from_torch(VALUES.bfloat16()), target)
    with pytest.raises(RuntimeError, match="expected a host tensor first"):
        ttnn.copy_host_to_device_tensor(target, target)


def test_cache_hit_ignores_the_tensor(tmp_path: Path, mesh: ttnn.MeshDevice) -> None:
    mapper = ttnn.ShardTensor2dMesh(mesh, (2, 4), dims=(None, 1))
    keep = {
        "dtype": ttnn.bfloat8_b,
        "layout": ttnn.TILE_LAYOUT,
        "mesh_mapper": mapper,
        "cache_file_name": tmp_path / "a" / "w",
    }
    first = ttnn.as_tensor(VALUES, device=mesh, memory_config=ttnn.DRAM_MEMORY_CONFIG, **keep)
    second = ttnn.as_tensor(None, device=mesh, memory_config=ttnn.L1_MEMORY_CONFIG, **keep)
    stale = ttnn.as_tensor(VALUES * 2, **keep)

    assert (tmp_path / "a" / "w_dtype_BFLOAT8_B_layout_TILE.tensorbin").exists()
    assert all(map(torch.equal, shards(second), shards(first)))
    assert all(map(torch.equal, shards(stale), shards(first)))
    assert second.memory_config() == ttnn.L1_MEMORY_CONFIG


def test_as_tensor_on_a_device_needs_a_memory_config(mesh: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match="memory_config must be specified when device is specified"):
        ttnn.as_tensor(VALUES, device=mesh)


def test_dumped_tensor_loads_with_its_shards(tmp_path: Path, mesh: ttnn.MeshDevice) -> None:
    tensor = put(mesh, VALUES, ttnn.bfloat16, dims=(0, None))
    ttnn.dump_tensor(tmp_path / "t.tensorbin", tensor)
    back = ttnn.load_tensor(tmp_path / "t.tensorbin", device=mesh)

    assert (back.dtype, back.layout, back.shape) == (tensor.dtype, tensor.layout, tensor.shape)
    assert all(map(torch.equal, shards(back), shards(tensor)))


def test_loaded_tensor_outlives_its_file(tmp_path: Path) -> None:
    file = tmp_path / "t.tensorbin"
    ttnn.dump_tensor(file, ttnn.from_torch(torch.ones(512, 512)))
    loaded = ttnn.load_tensor(file)

    # A file that was cut short under a mapping would end the process here.
    ttnn.dump_tensor(file, ttnn.from_torch(torch.zeros(4, 4)))

    assert torch.equal(ttnn.to_torch(loaded), torch.ones(512, 512))
    assert ttnn.load_tensor(file).shape == (4, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["t.tensorbin"]
