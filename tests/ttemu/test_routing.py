"""Routing weights are dealt to the devices of an axis, non-zero by non-zero."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.conftest import open_mesh
from tests.ttemu.helpers import put, shards

WEIGHTS = torch.zeros(1, 32)
WEIGHTS[0, [3, 9, 17, 31]] = torch.tensor([0.1, 0.2, 0.3, 0.4])


def rows(mesh: ttnn.MeshDevice, values: torch.Tensor) -> ttnn.Tensor:
    """Put values on every device, ROW_MAJOR."""
    return put(mesh, values, layout=ttnn.ROW_MAJOR_LAYOUT)


@pytest.mark.parametrize(("shape", "axis", "size"), [("2x4", 0, 2), ("2x4", 1, 4), ("4x8", 0, 4), ("1x1", 0, 1)])
def test_device_i_keeps_the_ith_group_of_non_zeros(shape: str, axis: int, size: int) -> None:
    kept = shards(ttnn.moe_routing_remap(rows(open_mesh(shape), WEIGHTS), 4, size, axis))
    columns = int(shape[-1])

    for device, got in enumerate(kept):
        group = divmod(device, columns)[axis]
        expected = torch.zeros(1, 32)
        for position in [3, 9, 17, 31][group * 4 // size : (group + 1) * 4 // size]:
            expected[0, position] = WEIGHTS[0, position]
        assert torch.equal(got, expected)


def test_weight_that_is_zero_shifts_the_groups() -> None:
    flushed = WEIGHTS.clone()
    flushed[0, 3] = 0
    kept = shards(ttnn.moe_routing_remap(rows(open_mesh("2x4"), flushed), 4, 2, 0))

    assert kept[0].nonzero()[:, 1].tolist() == [9, 17]
    assert kept[4].nonzero()[:, 1].tolist() == [31]


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        (WEIGHTS, (4, 4, 0), "expert_parallel_size 4 must equal the 2 devices of axis 0"),
        (WEIGHTS, (3, 2, 0), "non_zero_weight_size 3 must be divisible by expert_parallel_size 2"),
        (torch.ones(1, 33), (4, 2, 0), "number of experts 33 must be divisible"),
        (torch.ones(2, 32), (4, 2, 0), r"expected input shape \[1, experts\]"),
        (WEIGHTS, (4, 2, 2), "cluster_axis 2 is invalid"),
    ],
)
def test_routing_refuses(values: torch.Tensor, arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        ttnn.moe_routing_remap(rows(open_mesh("2x4"), values), *arguments)


def test_tiles_are_refused() -> None:
    with pytest.raises(RuntimeError, match="must be in ROW_MAJOR layout, got TILE"):
        ttnn.moe_routing_remap(put(open_mesh("2x4"), WEIGHTS), 4, 2, 0)


def test_tokens_are_mapped_to_the_experts_of_a_device() -> None:
    mesh = open_mesh("2x4")
    scores, chosen = torch.rand(1, 2, 4, 16), torch.tensor([[3, 8], [9, 2], [3, 15], [0, 1]] * 2).view(1, 2, 4, 2)
    mapping = torch.zeros(1, 1, 16, 8)
    mapping[0, 0, torch.arange(16), torch.arange(16) // 2] = 1
    integers = [
        put(mesh, values, ttnn.uint16, layout=ttnn.ROW_MAJOR_LAYOUT) for values in (mapping.int(), chosen.int())
    ]
    tokens = put(mesh, scores, ttnn.bfloat16, layout=ttnn.ROW_MAJOR_LAYOUT)
    mapped, reduced = ttnn.moe_expert_token_remap(tokens, *integers, reduction_size=4)

    for device, (got, chunks) in enumerate(zip(shards(mapped), shards(reduced), strict=True)):
        for place, expert in enumerate((2 * device, 2 * device + 1)):
            is_chosen = (chosen == expert).any(-1)
            assert torch.equal(got[..., place], scores.bfloat16()[..., expert] * is_chosen)
            assert chunks[0, 0, :, place].tolist() == is_chosen.view(2, 4).any(1).int().tolist()


def test_device_without_experts_gets_zeros() -> None:
    mesh = open_mesh("2x4")
    integers = [torch.zeros(1, 1, 8, 8).int(), torch.zeros(1, 2, 4, 2).int()]
    operands = [put(mesh, values, ttnn.uint16, layout=ttnn.ROW_MAJOR_LAYOUT) for values in integers]
    tokens = put(mesh, torch.ones(1, 2, 4, 8), ttnn.bfloat16, layout=ttnn.ROW_MAJOR_LAYOUT)

    for result in ttnn.moe_expert_token_remap(tokens, *operands, reduction_size=4):
        assert not any(got.any() for got in shards(result))


def test_axis_below_zero_is_no_argument() -> None:
    with pytest.raises(TypeError, match="incompatible function arguments, cluster_axis -1"):
        ttnn.moe_routing_remap(rows(open_mesh("2x4"), WEIGHTS), 4, 2, -1)
