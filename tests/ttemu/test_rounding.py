"""Results are computed in float32 and rounded once, by whichever shortcut they are reached."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import ttemu as ttnn
from ttemu.ops import reduce

ONE, OTHER = torch.randn(64, 64).bfloat16(), torch.randn(64, 64).bfloat16()


def put(mesh: ttnn.MeshDevice, values: torch.Tensor) -> ttnn.Tensor:
    return ttnn.from_torch(values, ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, device=mesh)


@pytest.mark.parametrize(
    ("op", "exact"),
    [(ttnn.add, torch.add), (ttnn.subtract, torch.sub), (ttnn.multiply, torch.mul), (ttnn.divide, torch.div)],
)
def test_pairs_of_bfloat16_are_rounded_once(
    op: Callable[..., ttnn.Tensor], exact: Callable[..., torch.Tensor], single: ttnn.MeshDevice
) -> None:
    a, b, expected = put(single, ONE), put(single, OTHER), exact(ONE.float(), OTHER.float())
    given = ttnn.zeros((64, 64), ttnn.bfloat16, ttnn.TILE_LAYOUT, single)

    assert torch.equal(ttnn.to_torch(op(a, b)), expected.bfloat16())
    assert torch.equal(ttnn.to_torch(op(a, b, output_tensor=given)), expected.bfloat16())
    sigmoid = ttnn.UnaryWithParam(ttnn.UnaryOpType.SIGMOID)
    assert torch.equal(ttnn.to_torch(op(a, b, activations=[sigmoid])), expected.sigmoid().bfloat16())


def test_block_floats_are_rounded_once_too(single: ttnn.MeshDevice) -> None:
    a, b = (ttnn.typecast(put(single, values), ttnn.bfloat8_b) for values in (ONE, OTHER))
    exact = ttnn.to_torch(a) + ttnn.to_torch(b) * 2**-6
    small = ttnn.typecast(put(single, ttnn.to_torch(b) * 2**-6), ttnn.bfloat8_b)

    assert torch.equal(ttnn.to_torch(ttnn.add(a, small)), ttnn.to_torch(ttnn.from_torch(exact, ttnn.bfloat8_b)))


@pytest.mark.parametrize("op", [ttnn.add, ttnn.subtract, ttnn.multiply])
def test_wider_results_of_bfloat16_are_not_rounded_before(
    op: Callable[..., ttnn.Tensor], single: ttnn.MeshDevice
) -> None:
    exact = {ttnn.add: torch.add, ttnn.subtract: torch.sub, ttnn.multiply: torch.mul}[op](ONE.float(), OTHER.float())
    given = ttnn.zeros((64, 64), ttnn.float32, ttnn.TILE_LAYOUT, single)

    assert torch.equal(ttnn.to_torch(op(put(single, ONE), put(single, OTHER), dtype=ttnn.float32)), exact)
    assert torch.equal(ttnn.to_torch(op(put(single, ONE), put(single, OTHER), output_tensor=given)), exact)


@pytest.mark.parametrize("op", [ttnn.sum, ttnn.mean, ttnn.max, ttnn.std])
@pytest.mark.parametrize("keepdim", [False, True])
def test_large_tensors_reduce_column_by_column(
    op: Callable[..., ttnn.Tensor], *, keepdim: bool, line: ttnn.MeshDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = torch.randn(1, 4, 32, 64 * 8)
    mapper = ttnn.ShardTensorToMesh(line, dim=3)
    x = ttnn.from_torch(values, ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, device=line, mesh_mapper=mapper)
    whole = [ttnn.to_torch(shard) for shard in ttnn.get_device_tensors(op(x, dim=1, keepdim=keepdim))]
    monkeypatch.setattr(reduce, "_LARGE", 0)

    parts = [ttnn.to_torch(shard) for shard in ttnn.get_device_tensors(op(x, dim=1, keepdim=keepdim))]

    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))
    assert not torch.equal(parts[0], parts[1])
