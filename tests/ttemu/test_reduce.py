"""Reductions keep the dtype; top-k prefers the lowest index among equals."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, put

X = torch.randn(2, 3, 40, 64, generator=torch.Generator().manual_seed(8))
REDUCTIONS = {
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "min": torch.amin,
    "std": torch.std,
    "var": torch.var,
}


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dim", [0, -1, [1, 2]])
@pytest.mark.parametrize("keepdim", [False, True])
def test_reduction_equals_torch(single: ttnn.MeshDevice, name: str, dim: int | list[int], *, keepdim: bool) -> None:
    result = getattr(ttnn, name)(put(single, X), dim, keepdim)

    torch.testing.assert_close(get(result), REDUCTIONS[name](X, dim=dim, keepdim=keepdim))


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_reduction_of_all_dims_has_rank_0(single: ttnn.MeshDevice, name: str) -> None:
    result = getattr(ttnn, name)(put(single, X))

    assert result.shape == ()
    torch.testing.assert_close(get(result), REDUCTIONS[name](X, dim=[0, 1, 2, 3]))


def test_sum_of_bfloat16_is_rounded_once(single: ttnn.MeshDevice) -> None:
    assert torch.equal(get(ttnn.sum(put(single, X, ttnn.bfloat16), -1)), X.bfloat16().float().sum(-1).bfloat16())


def test_scalar_multiplies_the_result(single: ttnn.MeshDevice) -> None:
    torch.testing.assert_close(get(ttnn.sum(put(single, X), -1, scalar=0.5)), X.sum(-1) * 0.5)


def test_spread_is_corrected_and_scaled_as_asked(single: ttnn.MeshDevice) -> None:
    given = put(single, X)

    assert torch.allclose(get(ttnn.std(given, dim=1, correction=False)), X.std(1, correction=0))
    assert torch.allclose(get(ttnn.std(given, dim=1, scalar=-2.0)), X.std(1) * 2)
    assert torch.allclose(get(ttnn.var(given, dim=1, scalar=-2.0)), X.var(1) * 4)


def test_prod_and_cumsum(single: ttnn.MeshDevice) -> None:
    torch.testing.assert_close(get(ttnn.prod(put(single, X), 1)), X.prod(1))
    torch.testing.assert_close(get(ttnn.cumsum(put(single, X), 2)), X.cumsum(2))


def test_reduction_refuses(single: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match=r"ttnn.sum: dim 4 is out of range for a tensor of rank 4"):
        ttnn.sum(put(single, X), 4)
    with pytest.raises(RuntimeError, match="are supported, got UINT16"):
        ttnn.sum(put(single, torch.ones(2, 2, dtype=torch.int32), ttnn.uint16), 0)


def test_argmax_is_the_first_of_equals(single: ttnn.MeshDevice) -> None:
    values = torch.tensor([[1.0, 3.0, 3.0], [2.0, 0.0, 2.0]])
    index = ttnn.argmax(put(single, values), dim=-1)

    assert (index.dtype, index.layout) == (ttnn.uint32, ttnn.ROW_MAJOR_LAYOUT)
    assert get(index).tolist() == [1, 0]
    assert get(ttnn.argmax(put(single, values, layout=ttnn.ROW_MAJOR_LAYOUT))).item() == 1


def test_argmax_of_tiles_refuses(single: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match="dim parameter must be specified"):
        ttnn.argmax(put(single, X))
    with pytest.raises(RuntimeError, match="Only BFLOAT16, FLOAT32 are supported for TILE layout, got BFLOAT8_B"):
        ttnn.argmax(put(single, X, ttnn.bfloat8_b), 3)


@pytest.mark.parametrize("dim", [-1, 2])
@pytest.mark.parametrize("largest", [True, False])
def test_topk_equals_torch(single: ttnn.MeshDevice, dim: int, *, largest: bool) -> None:
    values, indices = ttnn.topk(put(single, X, ttnn.bfloat16), 4, dim, largest)
    expected = X.bfloat16().float().topk(4, dim, largest)

    assert torch.equal(get(values).float(), expected.values)
    assert torch.equal(X.bfloat16().float().gather(dim, get(indices).long()), expected.values)


def test_topk_of_a_wide_dim_equals_torch(single: ttnn.MeshDevice) -> None:
    values = torch.randperm(10000).view(1, -1).float()

    assert get(ttnn.topk(put(single, values), 3)[0]).tolist() == [[9999, 9998, 9997]]


def test_topk_names_what_an_indices_tensor_holds(single: ttnn.MeshDevice) -> None:
    names = torch.arange(64).flip(0).expand(X.shape)
    values = put(single, X, ttnn.bfloat16)
    _, found = ttnn.topk(values, 4, indices_tensor=put(single, names.int(), ttnn.uint16))

    assert found.dtype is ttnn.uint16
    assert torch.equal(get(found).long(), 63 - get(ttnn.topk(values, 4)[1]).long())
    with pytest.raises(RuntimeError, match="only supported for the last dimension"):
        ttnn.topk(values, 1, 0, indices_tensor=put(single, names.int(), ttnn.uint16))


def test_topk_of_equals_takes_the_lowest_indices(single: ttnn.MeshDevice) -> None:
    _, indices = ttnn.topk(put(single, torch.ones(1, 64), ttnn.bfloat16), 4)

    assert get(indices).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("dtype", "width", "expected"),
    [
        (ttnn.bfloat16, 64, ttnn.uint16),
        (ttnn.bfloat8_b, 64, ttnn.uint16),
        (ttnn.float32, 64, ttnn.uint32),
        (ttnn.bfloat16, 65568, ttnn.uint32),
    ],
)
def test_topk_indices_are_as_wide_as_needed(
    single: ttnn.MeshDevice, dtype: ttnn.DataType, width: int, expected: ttnn.DataType
) -> None:
    values, indices = ttnn.topk(put(single, torch.arange(float(width)).view(1, -1), dtype), 2)

    assert (values.dtype, indices.dtype) == (dtype, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda mesh: (put(mesh, X), 65), "K 65 cannot be larger than the dimension size 64"),
        (lambda mesh: (put(mesh, X, layout=ttnn.ROW_MAJOR_LAYOUT), 4), "must be in TILE layout"),
        (lambda mesh: (put(mesh, X.int(), ttnn.int32), 4), "input dtype must be bfloat16, bfloat8_b or float32"),
    ],
)
def test_topk_refuses(single: ttnn.MeshDevice, make: object, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        ttnn.topk(*make(single))
