"""A computation spread over a mesh equals the same computation on one device."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.conftest import open_mesh
from tests.ttemu.helpers import put, shards

MESHES = ["1x8", "2x4", "4x8"]
GENERATOR = torch.Generator().manual_seed(15)
X = torch.randn(1, 1, 32, 256, generator=GENERATOR)
UP, DOWN = torch.randn(1, 1, 256, 512, generator=GENERATOR) / 16, torch.randn(1, 1, 512, 256, generator=GENERATOR) / 16
# Exact but for the order of float32 sums; bfloat16 rounds h, the product and its partial sums (2**-8 each).
TOLERANCE = {ttnn.float32: 1e-5, ttnn.bfloat16: 2e-2}


def feed_forward(x: ttnn.Tensor, up: ttnn.Tensor, down: ttnn.Tensor) -> ttnn.Tensor:
    """Return silu(x @ up) @ down of one device's part."""
    return ttnn.linear(ttnn.silu(ttnn.linear(x, up)), down)


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the greatest error over the greatest expected value."""
    return float((got.float() - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("shape", MESHES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_column_then_row_parallel_equals_the_whole(shape: str, dtype: ttnn.DataType) -> None:
    mesh = open_mesh(shape)
    part = feed_forward(
        put(mesh, X, dtype), put(mesh, UP, dtype, dims=(None, 3)), put(mesh, DOWN, dtype, dims=(None, 2))
    )
    expected = torch.nn.functional.silu(X @ UP) @ DOWN

    for got in shards(ttnn.all_reduce(part, cluster_axis=1)):
        assert relative_error(got, expected) < TOLERANCE[dtype]
    scattered = ttnn.all_gather(ttnn.reduce_scatter(part, 3, cluster_axis=1), 3, cluster_axis=1)
    for got in shards(scattered):
        assert relative_error(got, expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("shape", ["2x4", "4x8"])
def test_rows_may_hold_parts_of_the_sequence(shape: str) -> None:
    mesh = open_mesh(shape)
    part = feed_forward(put(mesh, X, dims=(2, None)), put(mesh, UP, dims=(None, 3)), put(mesh, DOWN, dims=(None, 2)))
    whole = ttnn.all_gather(ttnn.all_reduce(part, cluster_axis=1), 2, cluster_axis=0)

    for got in shards(whole):
        assert relative_error(got, torch.nn.functional.silu(X @ UP) @ DOWN) < TOLERANCE[ttnn.float32]


@pytest.mark.parametrize("shape", MESHES)
def test_experts_may_be_spread_over_all_devices(shape: str) -> None:
    mesh = open_mesh(shape)
    experts = torch.randn(1, 32, 256, 64)
    spread = ttnn.from_torch(
        experts, layout=ttnn.TILE_LAYOUT, device=mesh, mesh_mapper=ttnn.ShardTensorToMesh(mesh, dim=1)
    )
    total = ttnn.all_reduce(ttnn.sum(ttnn.matmul(put(mesh, X), spread), 1, keepdim=True))

    for got in shards(total):
        assert relative_error(got, (X @ experts).sum(1, keepdim=True)) < TOLERANCE[ttnn.float32]


@pytest.mark.parametrize("shape", MESHES)
def test_padding_columns_before_the_cut_changes_nothing(shape: str) -> None:
    mesh = open_mesh(shape)
    columns = int(shape[-1])
    narrow = torch.randn(1, 1, 256, 288)
    padded = torch.nn.functional.pad(narrow, (0, -(288 // columns) % 32 * columns))
    part = ttnn.linear(put(mesh, X), put(mesh, padded, dims=(None, 3)))
    whole = ttnn.slice(ttnn.all_gather(part, 3, cluster_axis=1), [0, 0, 0, 0], [1, 1, 32, 288])

    for got in shards(whole):
        assert relative_error(got, X @ narrow) < TOLERANCE[ttnn.float32]


@pytest.mark.parametrize("shape", MESHES)
@pytest.mark.parametrize("dtype", [ttnn.bfloat8_b, ttnn.bfloat4_b])
def test_quantised_weights_give_what_their_numbers_give(shape: str, dtype: ttnn.DataType) -> None:
    mesh = open_mesh(shape)
    weight = put(mesh, UP, dtype, dims=(None, 3))
    stored = torch.cat(shards(weight)[: int(shape[-1])], 3)

    whole = ttnn.all_gather(ttnn.linear(put(mesh, X), weight), 3, cluster_axis=1)
    assert relative_error(shards(whole)[0], X @ stored) < TOLERANCE[ttnn.float32]
