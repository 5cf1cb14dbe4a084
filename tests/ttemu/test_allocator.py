"""Device memory is given, refused and taken back as the real ttnn 0.81.1 does it on mock clusters."""

from __future__ import annotations

import gc
import json

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.allocations import RECORDED, lines, namespace, play
from ttemu import convert

RECORDS: dict[str, list[str]] = json.loads(RECORDED.read_text(encoding="utf-8"))
SHAPES = {"n150": (1, 1), "t3k": (1, 8), "p150x8": (1, 8)}
DRAM, L1 = ttnn.BufferType.DRAM, ttnn.BufferType.L1


def used(mesh: ttnn.MeshDevice, kind: ttnn.BufferType = DRAM) -> int:
    return ttnn.get_memory_view(mesh, kind).total_bytes_allocated_per_bank


@pytest.mark.parametrize("machine", RECORDS)
def test_allocations_give_the_recorded_addresses(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", machine)
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(*SHAPES[machine]))
    names = namespace(ttnn, mesh)

    found = [(line, play(ttnn, mesh, line, names)) for line in lines()]

    assert found == list(zip(lines(), RECORDS[machine], strict=True))


# As the real library answered to open_mesh_device, on N150 and P150.
@pytest.mark.parametrize(
    ("machine", "options", "dram", "l1", "small"),
    [
        ("n150", {}, 1072693184, 1393312, 0),
        ("n150", {"l1_small_size": 1000}, 1072693184, 1392288, 1024),
        ("n150", {"worker_l1_size": 1000001}, 1072693184, 1000000, 0),
        ("n150", {"worker_l1_size": 1000000, "l1_small_size": 32768}, 1072693184, 967232, 32768),
        ("n150", {"trace_region_size": 1000}, 1072684992, 1393312, 0),
        ("n150", {"trace_region_size": 100000000}, 1064353728, 1393312, 0),
        ("p150", {}, 4277141376, 1461120, 0),
        ("p150", {"l1_small_size": 1030}, 4277141376, 1460032, 1088),
        ("p150", {"worker_l1_size": 1000040}, 4277141376, 1000000, 0),
        ("p150", {"trace_region_size": 100000000}, 4264640384, 1461120, 0),
    ],
)
def test_opening_sizes_the_banks(
    machine: str, options: dict[str, int], dram: int, l1: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", machine)
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 1), **options)

    kinds = (DRAM, L1, ttnn.BufferType.L1_SMALL)
    found = [ttnn.get_memory_view(mesh, kind).total_bytes_per_bank for kind in kinds]

    assert found == [dram, l1, small]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"worker_l1_size": 1600000}, "Worker L1 size 1600000 is larger than max size 1463968"),
        ({"l1_small_size": 1393312}, "Reserved size must be less than bank size"),
        ({"trace_region_size": 10**11}, "trace_region_size 100000000000 exceeds the DRAM"),
    ],
)
def test_banks_that_cannot_be_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        ttnn.open_mesh_device(ttnn.MeshShape(1, 1), **options)


def test_thirteen_gigabytes_are_refused_before_the_host_has_them(
    single: ttnn.MeshDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "encode", lambda *_: pytest.fail("the values were made"))
    huge = torch.zeros(1).bfloat16().expand(32 * 1024, 32 * 6400)

    with pytest.raises(RuntimeError, match=r"Not enough space to allocate 13421772800 B DRAM buffer across 12 banks"):
        ttnn.from_torch(huge, layout=ttnn.TILE_LAYOUT, device=single)


# The most tiles per bank that from_torch took, whatever the source: it converts on device only where there is room.
@pytest.mark.parametrize(
    ("dtype", "tiles"),
    [(ttnn.bfloat16, 511), (ttnn.float32, 255), (ttnn.uint32, 255), (ttnn.bfloat8_b, 963), (ttnn.bfloat4_b, 1820)],
)
def test_upload_needs_the_room_of_its_result(dtype: ttnn.DataType, tiles: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", "n150")
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 1), trace_region_size=12 * (1072693184 - 1048512))
    zeros = torch.zeros(32 * (tiles + 1), 32 * 12)

    ttnn.from_torch(zeros[:-32], dtype, layout=ttnn.TILE_LAYOUT, device=mesh)

    with pytest.raises(RuntimeError, match=r"bank size is 1048512 B \(allocated: 0 B, free: 1048512 B"):
        ttnn.from_torch(zeros, dtype, layout=ttnn.TILE_LAYOUT, device=mesh)


def test_five_times_two_gigabytes_fit(single: ttnn.MeshDevice) -> None:
    held = [ttnn.zeros((1024, 1024, 1024), device=single) for _ in range(5)]

    assert used(single) == 5 * 178958336
    with pytest.raises(RuntimeError, match="Out of Memory"):
        ttnn.empty((1024, 1024, 1024), ttnn.bfloat16, ttnn.TILE_LAYOUT, single)
    del held
    assert used(single) == 0


def test_replicas_count_on_each_device(line: ttnn.MeshDevice) -> None:
    whole = torch.zeros(1, 1, 32, 96 * 32)
    copies = ttnn.from_torch(whole, layout=ttnn.TILE_LAYOUT, device=line, mesh_mapper=ttnn.ReplicateTensorToMesh(line))
    assert used(line) == 8 * 4096
    del copies
    shards = ttnn.from_torch(
        whole, layout=ttnn.TILE_LAYOUT, device=line, mesh_mapper=ttnn.ShardTensorToMesh(line, dim=3)
    )

    assert used(line) == 4096
    assert shards.shape == (1, 1, 32, 96 * 4)


def test_submesh_has_memory_of_its_own(line: ttnn.MeshDevice) -> None:
    held = ttnn.zeros((32, 32), layout=ttnn.TILE_LAYOUT, device=line)
    part = line.create_submesh(ttnn.MeshShape(1, 4))

    assert (used(line), used(part)) == (2048, 0)
    assert held.is_allocated()


def test_memory_of_a_dead_cycle_comes_back(single: ttnn.MeshDevice) -> None:
    ring: list[object] = [ttnn.zeros((32, 32), layout=ttnn.TILE_LAYOUT, device=single)]
    ring.append(ring)
    del ring
    gc.collect()

    assert used(single) == 0


def test_failed_op_leaves_no_memory_behind(single: ttnn.MeshDevice) -> None:
    left = ttnn.zeros((32, 32), layout=ttnn.TILE_LAYOUT, device=single)
    with pytest.raises(RuntimeError, match="Mismatch"):
        ttnn.matmul(left, ttnn.zeros((64, 32), layout=ttnn.TILE_LAYOUT, device=single))

    assert used(single) == 2048


def test_semaphore_takes_the_least_of_l1(line: ttnn.MeshDevice) -> None:
    cores = ttnn.CoreRangeSet([ttnn.CoreRange(ttnn.CoreCoord(0, 0), ttnn.CoreCoord(7, 6))])
    counter = ttnn.create_global_semaphore(line, cores, 0)
    assert used(line, L1) == 32
    del counter

    assert used(line, L1) == 0


def test_closed_mesh_answers_no_more(single: ttnn.MeshDevice) -> None:
    ttnn.close_mesh_device(single)

    with pytest.raises(RuntimeError, match="closed"):
        ttnn.get_memory_view(single, DRAM)
