"""Collectives equal what a loop over the devices computes, on every device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.conftest import open_mesh
from tests.ttemu.helpers import put, shards
from ttemu.collectives import ccl
from ttemu.formats import quantise

Grid = list[list[torch.Tensor]]


def on_grid(tensor: ttnn.Tensor) -> Grid:
    """Return the shards as rows of columns."""
    flat, cols = shards(tensor), tensor.span[1]
    return [flat[start : start + cols] for start in range(0, len(flat), cols)]


def lines(grid: Grid, axis: int) -> list[list[torch.Tensor]]:
    """Return the groups of devices that communicate along a mesh axis, in axis order, one per device row-major."""
    return [
        [grid[row][at] for at in range(len(grid[0]))] if axis == 1 else [grid[at][col] for at in range(len(grid))]
        for row in range(len(grid))
        for col in range(len(grid[0]))
    ]


def place(device: int, cols: int, axis: int) -> int:
    """Return a device's index along a mesh axis."""
    return divmod(device, cols)[axis]


DIMS = [(None, None), (0, None), (None, 1), (0, 1)]
CASES = [("1x8", 1), ("2x4", 0), ("2x4", 1), ("4x8", 0), ("4x8", 1)]


@pytest.fixture
def values() -> torch.Tensor:
    """Return values that cut evenly over 4x8 in every dim."""
    return torch.randn(4 * 8, 8 * 8, 4 * 8, generator=torch.Generator().manual_seed(11))


@pytest.mark.parametrize(("shape", "axis"), CASES)
@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("dim", [0, -1])
def test_all_gather_concatenates_in_axis_order(
    values: torch.Tensor, shape: str, axis: int, dims: tuple[int | None, int | None], dim: int
) -> None:
    tensor = put(open_mesh(shape), values, dims=dims)
    expected = [torch.cat(line, dim) for line in lines(on_grid(tensor), axis)]

    assert all(map(torch.equal, shards(ttnn.all_gather(tensor, dim, cluster_axis=axis)), expected))


@pytest.mark.parametrize(("shape", "axis"), CASES)
@pytest.mark.parametrize("dims", DIMS)
def test_all_reduce_sums_on_every_device(
    values: torch.Tensor, shape: str, axis: int, dims: tuple[int | None, int | None]
) -> None:
    tensor = put(open_mesh(shape), values, dims=dims)
    expected = [torch.stack(line).sum(0) for line in lines(on_grid(tensor), axis)]

    for got, want in zip(shards(ttnn.all_reduce(tensor, cluster_axis=axis)), expected, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize(("shape", "axis"), CASES)
@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("dim", [1, 2])
def test_reduce_scatter_gives_device_i_the_ith_part_of_the_sum(
    values: torch.Tensor, shape: str, axis: int, dims: tuple[int | None, int | None], dim: int
) -> None:
    tensor = put(open_mesh(shape), values, dims=dims)
    grid = on_grid(tensor)
    sums = [torch.stack(line).sum(0) for line in lines(grid, axis)]
    count, cols = len(lines(grid, axis)[0]), len(grid[0])

    for device, got in enumerate(shards(ttnn.reduce_scatter(tensor, dim, cluster_axis=axis))):
        torch.testing.assert_close(got, sums[device].chunk(count, dim)[place(device, cols, axis)])


@pytest.mark.parametrize(("shape", "axis"), CASES)
@pytest.mark.parametrize("dims", DIMS)
def test_mesh_partition_keeps_the_ith_part_of_the_own_shard(
    values: torch.Tensor, shape: str, axis: int, dims: tuple[int | None, int | None]
) -> None:
    tensor = put(open_mesh(shape), values, dims=dims, layout=ttnn.ROW_MAJOR_LAYOUT)
    grid = on_grid(tensor)
    count, cols = len(lines(grid, axis)[0]), len(grid[0])

    for device, got in enumerate(shards(ttnn.mesh_partition(tensor, 2, axis))):
        own = grid[device // cols][device % cols]
        assert torch.equal(got, own.chunk(count, 2)[place(device, cols, axis)])


def test_reduce_scatter_then_gather_is_all_reduce(values: torch.Tensor) -> None:
    tensor = put(open_mesh("4x8"), values, ttnn.bfloat16, dims=(0, 1))
    scattered = ttnn.all_gather(ttnn.reduce_scatter(tensor, 2, cluster_axis=1), 2, cluster_axis=1)

    assert all(map(torch.equal, shards(scattered), shards(ttnn.all_reduce(tensor, cluster_axis=1))))


def test_without_an_axis_all_devices_reduce(values: torch.Tensor) -> None:
    tensor = put(open_mesh("4x8"), values, dims=(0, 1))
    total = torch.stack(shards(tensor)).sum(0)

    assert all(torch.allclose(got, total, atol=1e-4) for got in shards(ttnn.all_reduce(tensor)))
    scattered = shards(ttnn.reduce_scatter(tensor, 2))
    assert all(torch.allclose(got, want, atol=1e-4) for got, want in zip(scattered, total.chunk(32, 2), strict=True))


def test_without_an_axis_a_line_gathers_and_partitions(values: torch.Tensor) -> None:
    line = put(open_mesh("1x8"), values, dims=(None, 1), layout=ttnn.ROW_MAJOR_LAYOUT)

    assert all(torch.equal(got, values) for got in shards(ttnn.all_gather(line, 1)))
    parts = shards(ttnn.mesh_partition(put(line.mesh, values, layout=ttnn.ROW_MAJOR_LAYOUT), 1))
    assert all(map(torch.equal, parts, values.chunk(8, 1)))


def test_replicated_operand_is_summed_without_being_copied() -> None:
    total = ttnn.all_reduce(put(open_mesh("4x8"), torch.ones(32, 32)), cluster_axis=1)

    assert total.data("test").shape == (1, 1, 32, 32)
    assert bool((shards(total)[31] == 8).all())


def test_sum_of_block_floats_is_rounded_once() -> None:
    values = torch.randn(32, 8 * 64)
    tensor = put(open_mesh("1x8"), values, ttnn.bfloat8_b, dims=(None, 1))
    exact = torch.stack(shards(tensor)).sum(0)

    assert torch.equal(shards(ttnn.all_reduce(tensor, cluster_axis=1))[5], quantise(exact, ttnn.bfloat8_b).float())


@pytest.fixture
def hops() -> Iterator[None]:
    """Round after every hop."""
    ccl.set_accumulation("hop")
    yield
    ccl.set_accumulation("exact")


@pytest.mark.usefixtures("hops")
def test_hops_round_after_every_addition() -> None:
    tensor = put(open_mesh("1x8"), torch.randn(32, 8 * 32), ttnn.bfloat16, dims=(None, 1))
    expected, *rest = shards(tensor)
    for part in rest:
        expected = (expected.float() + part.float()).bfloat16()

    assert torch.equal(shards(ttnn.all_reduce(tensor, cluster_axis=1))[0], expected)


@pytest.mark.usefixtures("hops")
def test_hops_of_a_replicated_operand_are_additions_too() -> None:
    third = put(open_mesh("1x8"), torch.full((32, 32), 1 / 3), ttnn.bfloat16)
    expected = first = shards(third)[0]
    for _ in range(7):
        expected = (expected.float() + first.float()).bfloat16()

    assert torch.equal(shards(ttnn.all_reduce(third, cluster_axis=1))[0], expected)


def test_unknown_accumulation_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="accumulation 'fast': expected 'exact' or 'hop'"):
        ccl.set_accumulation("fast")


@pytest.mark.parametrize(
    ("shape", "call", "message"),
    [
        (
            "1x8",
            lambda x: ttnn.all_gather(x, 1, cluster_axis=0),
            "ttnn.all_gather: only work for num_devices > 1, got cluster_axis 0",
        ),
        ("1x8", lambda x: ttnn.all_reduce(x, cluster_axis=0), "forward_coord or backward_coord is null"),
        ("1x8", lambda x: ttnn.reduce_scatter(x, 1, cluster_axis=0), "forward_coord or backward_coord is null"),
        ("1x8", lambda x: ttnn.all_gather(x, 1, cluster_axis=2), "cluster_axis 2 is invalid, a mesh has axes 0 and 1"),
        ("1x8", lambda x: ttnn.all_gather(x, 2, cluster_axis=1), "dim 2 is out of range for a tensor of rank 2"),
        ("2x4", lambda x: ttnn.all_gather(x, 1), "cluster_axis is needed on a two-dimensional mesh"),
        (
            "1x8",
            lambda x: ttnn.reduce_scatter(x, 0, cluster_axis=1),
            "dim 0 of size 36 must be divisible by 8, the number of parts",
        ),
        ("1x8", lambda x: ttnn.mesh_partition(x, 1, 1), "aligned to tiles, dim 1 of size 64 gives parts of 8"),
        ("1x8", lambda x: ttnn.all_gather(x.cpu(), 1), "on host or was deallocated, the real library crashes here"),
        ("1x8", lambda x: ttnn.all_reduce(ttnn.get_device_tensors(x)[0]), "tensor covers 1x1 devices"),
        (
            "1x8",
            lambda x: ttnn.reduce_scatter(ttnn.typecast(x, ttnn.bfloat4_b), 1, cluster_axis=1),
            "give parts that end on a tile",
        ),
        (
            "1x8",
            lambda x: ttnn.all_gather(ttnn.typecast(x[:, :40], ttnn.bfloat4_b), 1, cluster_axis=1),
            "give parts that end on a tile",
        ),
        (
            "1x8",
            lambda x: ttnn.all_reduce(ttnn.typecast(x, ttnn.bfloat4_b), cluster_axis=1),
            "moreh_sum .* got BFLOAT4_B",
        ),
    ],
)
def test_collective_refuses(shape: str, call: object, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call(put(open_mesh(shape), torch.ones(36, 64)))


def test_mesh_device_is_no_keyword_of_all_gather() -> None:
    mesh = open_mesh("1x8")

    with pytest.raises(TypeError, match="mesh_device"):
        ttnn.all_gather(put(mesh, torch.ones(32, 32)), 1, cluster_axis=1, mesh_device=mesh)


def test_output_tensors_receive_the_result() -> None:
    mesh = open_mesh("1x8")
    source = put(mesh, torch.randn(32, 8 * 256), dims=(None, 1))
    whole, part = put(mesh, torch.zeros(32, 8 * 256)), put(mesh, torch.zeros(32, 32))
    ttnn.all_gather(source, 1, cluster_axis=1, output_tensor=whole)
    ttnn.reduce_scatter(source, 1, cluster_axis=1, output_tensor=part)

    assert torch.equal(shards(whole)[3], torch.cat(shards(source), 1))
    torch.testing.assert_close(torch.cat(shards(part), 1), torch.stack(shards(source)).sum(0))
