"""Tokens travel to their experts' devices and back to their own slots."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import put, shards

TOKENS, WIDTH, CHOICES, EXPERTS, DEVICES = 12, 32, 4, 16, 8
PER_DEVICE = EXPERTS // DEVICES
GENERATOR = torch.Generator().manual_seed(14)
VALUES = torch.randn(1, 1, TOKENS, WIDTH, generator=GENERATOR).bfloat16().float()
CHOSEN = torch.stack([torch.randperm(EXPERTS, generator=GENERATOR)[:CHOICES] for _ in range(TOKENS)]).view(
    1, 1, TOKENS, CHOICES
)
MAPPING = torch.eye(DEVICES, dtype=torch.int32).repeat_interleave(PER_DEVICE, 0).view(1, 1, EXPERTS, DEVICES)


def over_rows(mesh: ttnn.MeshDevice, values: torch.Tensor, dtype: ttnn.DataType, dim: int = 2) -> ttnn.Tensor:
    """Cut tokens over the rows of the mesh, ROW_MAJOR."""
    return put(mesh, values, dtype, dims=(dim, None), layout=ttnn.ROW_MAJOR_LAYOUT)


def operands(mesh: ttnn.MeshDevice) -> tuple[ttnn.Tensor, ttnn.Tensor, ttnn.Tensor]:
    """Return tokens, their experts, and the mapping."""
    return (
        over_rows(mesh, VALUES, ttnn.bfloat16),
        over_rows(mesh, CHOSEN.int(), ttnn.uint16),
        put(mesh, MAPPING, ttnn.uint16, layout=ttnn.ROW_MAJOR_LAYOUT),
    )


@pytest.mark.parametrize("axis", [0, None])
def test_device_receives_the_tokens_of_its_experts(mesh: ttnn.MeshDevice, axis: int | None) -> None:
    sent, experts = ttnn.all_to_all_dispatch(*operands(mesh), cluster_axis=axis, output_concat_dim=2)
    copies = 1 if axis == 0 else 4  # without an axis, the copies of every column are gathered too

    for device, got in enumerate(shards(sent)):
        for token in range(TOKENS):
            wanted = any(int(expert) // PER_DEVICE == device for expert in CHOSEN[0, 0, token])
            row = token if axis == 0 else (token // 6) * 24 + token % 6
            assert torch.equal(got[0, 0, row].float(), VALUES[0, 0, token] * wanted)
        assert got.shape[2] == TOKENS * copies
    if axis == 0:
        assert all(torch.equal(got.int(), CHOSEN.int()) for got in shards(experts))


def test_users_are_gathered_along_dim_1(mesh: ttnn.MeshDevice) -> None:
    users = VALUES.view(TOKENS, 1, 1, WIDTH)
    tokens = over_rows(mesh, users, ttnn.bfloat16, dim=0)
    chosen = over_rows(mesh, CHOSEN.view(TOKENS, 1, 1, CHOICES).int(), ttnn.uint16, dim=0)
    sent, experts = ttnn.all_to_all_dispatch(tokens, chosen, operands(mesh)[2], cluster_axis=0)

    assert (sent.shape, experts.shape) == ((1, TOKENS, 1, WIDTH), (1, TOKENS, 1, CHOICES))


@pytest.mark.parametrize("before", [None, 7.0])
def test_results_return_to_their_tokens_and_slots(mesh: ttnn.MeshDevice, before: float | None) -> None:
    # Expert e answers token t with e + t / 16.
    results = torch.arange(EXPERTS).view(-1, 1, 1, 1) + torch.arange(TOKENS).view(1, 1, -1, 1) / 16
    answers = ttnn.from_torch(
        results.expand(EXPERTS, 1, TOKENS, WIDTH),
        dtype=ttnn.bfloat16,
        device=mesh,
        mesh_mapper=ttnn.ShardTensorToMesh(mesh, 0),
    )
    _, _, mapping = operands(mesh)
    chosen = put(mesh, CHOSEN.int(), ttnn.uint16, layout=ttnn.ROW_MAJOR_LAYOUT)
    # The slots of other columns' experts keep what was there.
    shape, rows = [CHOICES, 1, TOKENS // 2, WIDTH], ttnn.ROW_MAJOR_LAYOUT
    target = None if before is None else ttnn.full(shape, before, ttnn.bfloat16, rows, device=mesh)
    combined = ttnn.all_to_all_combine(
        answers, chosen, mapping, cluster_axis=0, output_shard_dim=2, output_tensor=target
    )

    for device, got in enumerate(shards(combined)):
        row, column = divmod(device, 4)
        for token in range(TOKENS // 2):
            whole = row * TOKENS // 2 + token
            for slot in range(CHOICES):
                expert = int(CHOSEN[0, 0, whole, slot])
                here = expert // PER_DEVICE % 4 == column
                assert float(got[slot, 0, token, 0]) == (float(results[expert, 0, whole, 0]) if here else before or 0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: ttnn.all_to_all_dispatch(ttnn.to_layout(operands(m)[0], ttnn.TILE_LAYOUT), *operands(m)[1:]),
            "must be in ROW_MAJOR layout",
        ),
        (lambda m: ttnn.all_to_all_dispatch(operands(m)[0], *[operands(m)[0]] * 2), "must be UINT16, got BFLOAT16"),
        (
            lambda m: ttnn.all_to_all_dispatch(*operands(m), output_concat_dim=3),
            "output concat dimension must be 1 or 2, got 3",
        ),
        (lambda m: ttnn.all_to_all_dispatch(*operands(m), cluster_axis=2), "cluster_axis 2 is invalid"),
        (
            lambda m: ttnn.all_to_all_dispatch(
                *operands(m)[:2], put(m, MAPPING[..., :4], ttnn.uint16, layout=ttnn.ROW_MAJOR_LAYOUT)
            ),
            "must match the devices of .* one column each",
        ),
        (lambda m: ttnn.all_to_all_combine(*operands(m)), "must be greater than 0; cluster_axis is None"),
        (lambda m: ttnn.all_to_all_combine(*operands(m), cluster_axis=0), "must match the 2 experts of a device"),
    ],
)
def test_dispatch_refuses(mesh: ttnn.MeshDevice, call: object, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call(mesh)


def test_local_sums_take_the_first_slot_of_their_device(mesh: ttnn.MeshDevice) -> None:
    sums = torch.arange(1.0, 9.0).view(-1, 1, 1, 1).expand(8, 1, TOKENS, WIDTH)
    answers = ttnn.from_torch(sums, dtype=ttnn.bfloat16, device=mesh, mesh_mapper=ttnn.ShardTensorToMesh(mesh, 0))
    chosen = put(mesh, CHOSEN.int(), ttnn.uint16, layout=ttnn.ROW_MAJOR_LAYOUT)
    combined = ttnn.all_to_all_combine(
        answers, chosen, operands(mesh)[2], cluster_axis=0, output_shard_dim=2, local_reduce=True
    )

    for device, got in enumerate(shards(combined)):
        row, column = divmod(device, 4)
        for token in range(TOKENS // 2):
            holders = [int(expert) // PER_DEVICE for expert in CHOSEN[0, 0, row * TOKENS // 2 + token]]
            for slot, holder in enumerate(holders):
                is_first = holders.index(holder) == slot and holder % 4 == column
                assert float(got[slot, 0, token, 0]) == (holder + 1.0 if is_first else 0.0)
