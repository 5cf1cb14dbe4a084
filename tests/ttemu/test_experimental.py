"""Asynchronous collectives take ttnn's forms; the rest of ttnn.experimental is known by name."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, put, shards


def semaphores(mesh: ttnn.MeshDevice, count: int) -> list[ttnn.GlobalSemaphore]:
    """Return semaphores on one core."""
    corner = ttnn.CoreRangeSet([ttnn.CoreRange(ttnn.CoreCoord(0, 0), ttnn.CoreCoord(0, 0))])
    return [ttnn.create_global_semaphore(mesh, corner, 0) for _ in range(count)]


def test_async_gather_takes_each_form(line: ttnn.MeshDevice) -> None:
    values, sems = torch.randn(32, 8 * 32), semaphores(line, 3)
    part, gather = put(line, values, dims=(None, 1)), ttnn.experimental.all_gather_async
    linear = ttnn.Topology.Linear
    results = [
        gather(part, 1, sems[:2]),
        gather(part, dim=1, multi_device_global_semaphore=sems[:2]),
        gather(part, None, 1, sems[:2], cluster_axis=1),
        gather(part, dim=1, multi_device_global_semaphore=sems[:2], cluster_axis=1),
        gather(part, 1, 1, line, linear, sems[:2]),
        gather(
            part,
            dim=1,
            cluster_axis=1,
            mesh_device=line,
            topology=linear,
            multi_device_global_semaphore=sems[:2],
            barrier_semaphore=sems[2],
            num_links=1,
            memory_config=ttnn.L1_MEMORY_CONFIG,
        ),
    ]

    assert all(torch.equal(shards(result)[7], values) for result in results)


def test_async_scatter_sums_and_cuts(line: ttnn.MeshDevice) -> None:
    source = put(line, torch.randn(32, 8 * 32), dims=(None, 1))
    total = torch.stack(shards(source)).sum(0)

    result = ttnn.experimental.reduce_scatter_minimal_async(
        source, dim=1, multi_device_global_semaphore=semaphores(line, 3), cluster_axis=1
    )
    torch.testing.assert_close(torch.cat(shards(result), 1), total)


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        ((3,), {"count": 2, "cluster_axis": 1}, TypeError, "incompatible function arguments"),
        (
            (),
            {"count": 2, "dim": 3, "cluster_axis": 1, "mesh_device": True},
            TypeError,
            "incompatible function arguments",
        ),
        ((), {"count": 1, "dim": 3}, RuntimeError, "Expected 2 semaphores but got 1"),
        ((), {"count": 0, "dim": 3}, RuntimeError, "Expected 2 semaphores but got 0"),
        ((3, None, 3, 4, 5, 6), {"count": 2}, TypeError, "incompatible function arguments"),
        ((3,), {"count": 2, "dim": 3}, TypeError, "incompatible function arguments"),
    ],
)
def test_async_gather_refuses(
    line: ttnn.MeshDevice,
    arguments: tuple[object, ...],
    keywords: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    settings = dict(keywords)
    settings["multi_device_global_semaphore"] = semaphores(line, int(str(settings.pop("count"))))
    if settings.get("mesh_device"):
        settings["mesh_device"] = line

    with pytest.raises(error, match=message):
        ttnn.experimental.all_gather_async(put(line, torch.ones(1, 1, 32, 32)), *arguments, **settings)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"dim": 3, "multi_device_global_semaphore": None}, TypeError, "semaphores None"),
        ({"dim": 3, "multi_device_global_semaphore": [1, 2, 3]}, TypeError, r"semaphores \[1, 2, 3\]"),
        ({"dim": 3, "multi_device_global_semaphore": []}, RuntimeError, "Expected 3 semaphores but got 0"),
        ({"dim": None}, TypeError, "dim None"),
        ({"dim": 3, "persistent_output_buffers": 5}, TypeError, "incompatible function arguments"),
    ],
)
def test_async_scatter_refuses(
    line: ttnn.MeshDevice, keywords: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ttnn.experimental.reduce_scatter_minimal_async(put(line, torch.ones(1, 1, 32, 256)), **keywords)


def test_persistent_buffers_receive_the_results(line: ttnn.MeshDevice) -> None:
    source = put(line, torch.randn(32, 8 * 256), dims=(None, 1))
    whole, scratch, part = (put(line, torch.zeros(32, width)) for width in (8 * 256, 256, 32))
    ttnn.experimental.all_gather_async(source, whole, 1, semaphores(line, 2), cluster_axis=1)
    ttnn.experimental.reduce_scatter_minimal_async(source, [scratch, part], 1, semaphores(line, 3), cluster_axis=1)

    assert torch.equal(shards(whole)[5], torch.cat(shards(source), 1))
    torch.testing.assert_close(torch.cat(shards(part), 1), torch.stack(shards(source)).sum(0))
    with pytest.raises(RuntimeError, match="must have the shape"):
        ttnn.experimental.all_gather_async(source, part, 1, semaphores(line, 2), cluster_axis=1)


def test_fast_reduce_sums_leading_dims_and_pads_rows(single: ttnn.MeshDevice) -> None:
    values = torch.randn(2, 8, 3, 64)
    total = get(ttnn.experimental.fast_reduce_nc(put(single, values), dims=[0, 1]))

    assert total.shape == (1, 1, 32, 64)
    torch.testing.assert_close(total[:, :, :3], values.sum([0, 1], keepdim=True))
    assert not total[:, :, 3:].any()
    with pytest.raises(RuntimeError, match=r"reduces only outer dims, dims \[2\] do not fit"):
        ttnn.experimental.fast_reduce_nc(put(single, values), dims=[2])


def test_semaphores_count_and_have_addresses(mesh: ttnn.MeshDevice) -> None:
    first, second = semaphores(mesh, 2)
    ttnn.reset_global_semaphore_value(first, 7)

    assert (first.value, second.value) == (7, 0)
    assert ttnn.get_global_semaphore_address(first) != ttnn.get_global_semaphore_address(second)


def test_semaphore_refuses(mesh: ttnn.MeshDevice) -> None:
    cores = ttnn.CoreRangeSet([ttnn.CoreRange(ttnn.CoreCoord(0, 0), ttnn.CoreCoord(0, 0))])

    with pytest.raises(TypeError, match="cores 5"):
        ttnn.create_global_semaphore(mesh, 5, 0)
    with pytest.raises(RuntimeError, match="buffer type must be L1 or L1_SMALL, got DRAM"):
        ttnn.create_global_semaphore(mesh, cores, 0, ttnn.BufferType.DRAM)
    semaphore = ttnn.create_global_semaphore(mesh, cores, 0)
    mesh.close()
    with pytest.raises(RuntimeError, match="is closed"):
        ttnn.reset_global_semaphore_value(semaphore, 1)
