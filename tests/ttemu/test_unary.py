"""Unary ops compute in float32 and keep the dtype."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, put

A = torch.randn(32, 48, generator=torch.Generator().manual_seed(4))
POSITIVE = A.abs() + 0.1
FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": torch.nn.functional.silu,
    "swish": torch.nn.functional.silu,
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "square": torch.square,
    "reciprocal": torch.reciprocal,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "cos": torch.cos,
    "neg": torch.neg,
    "abs": torch.abs,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "softplus": torch.nn.functional.softplus,
    "isnan": lambda x: x.isnan().float(),
    "isinf": lambda x: x.isinf().float(),
    "isfinite": lambda x: x.isfinite().float(),
    "logical_not": lambda x: (x == 0).float(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_unary_op_equals_torch(single: ttnn.MeshDevice, name: str) -> None:
    values = POSITIVE if name in {"log", "sqrt", "rsqrt"} else A

    assert torch.equal(get(getattr(ttnn, name)(put(single, values))), FUNCTIONS[name](values))


def test_result_is_rounded_once_to_the_dtype(single: ttnn.MeshDevice) -> None:
    source = put(single, A, ttnn.bfloat16)

    assert torch.equal(get(ttnn.silu(source)), torch.nn.functional.silu(A.bfloat16().float()).bfloat16())


@pytest.mark.parametrize("name", ["silu", "exp", "sigmoid", "gelu", "reciprocal"])
def test_integers_are_refused_by_name(single: ttnn.MeshDevice, name: str) -> None:
    with pytest.raises(RuntimeError, match=rf"ttnn.{name}: does not support integer input dtype INT32"):
        getattr(ttnn, name)(put(single, torch.ones(2, 2, dtype=torch.int32), ttnn.int32))


@pytest.mark.parametrize("name", ["relu", "neg", "abs", "square"])
def test_some_ops_take_integers(single: ttnn.MeshDevice, name: str) -> None:
    result = getattr(ttnn, name)(put(single, torch.tensor([[-3, 3]], dtype=torch.int32), ttnn.int32))

    assert get(result).tolist() == [FUNCTIONS[name](torch.tensor([-3, 3])).tolist()]


def test_row_major_stays_row_major(single: ttnn.MeshDevice) -> None:
    assert ttnn.silu(put(single, A, layout=ttnn.ROW_MAJOR_LAYOUT)).layout is ttnn.ROW_MAJOR_LAYOUT


@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.5), (None, 0.5), (-0.5, None), (1.0, 0.0)])
def test_clamp_takes_either_bound(single: ttnn.MeshDevice, low: float | None, high: float | None) -> None:
    assert torch.equal(get(ttnn.clamp(put(single, A), min=low, max=high)), torch.clamp(A, low, high))
    assert torch.equal(get(ttnn.clip(put(single, A), low, high)), torch.clamp(A, low, high))


def test_clamp_needs_a_bound(single: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match=r"ttnn.clamp: only one of 'min' or 'max' can be None"):
        ttnn.clamp(put(single, A))


def test_clamp_takes_tensors(single: ttnn.MeshDevice) -> None:
    low, high = -A.abs() / 2, A.abs() / 4

    assert torch.equal(get(ttnn.clamp(put(single, A), put(single, low), put(single, high))), torch.clamp(A, low, high))
    assert torch.equal(get(ttnn.clamp(put(single, A), max=put(single, high))), torch.clamp(A, max=high))
    assert torch.equal(get(ttnn.clip(put(single, A), put(single, low))), torch.clamp(A, min=low))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: ttnn.clamp(put(m, A), 1, 2.5), RuntimeError, "1 and 2.5 are not of one kind"),
        (lambda m: ttnn.clamp(put(m, A), put(m, A), 1.0), TypeError, "incompatible function arguments, min"),
        (
            lambda m: ttnn.clamp(put(m, A * 0, ttnn.uint16), 1, 2),
            RuntimeError,
            "does not support integer input dtype UINT16",
        ),
        (lambda m: ttnn.silu(ttnn.from_torch(A)), RuntimeError, "is on host; the real library crashes here"),
        (
            lambda m: ttnn.silu(put(m, A), output_tensor=put(m, A, ttnn.bfloat4_b)),
            RuntimeError,
            "Preallocated output dtype BFLOAT4_B is not compatible with FLOAT32",
        ),
        (
            lambda m: ttnn.silu(put(m, A), output_tensor=put(m, A, layout=ttnn.ROW_MAJOR_LAYOUT)),
            RuntimeError,
            "output format ROW_MAJOR must match input's TILE",
        ),
    ],
)
def test_unary_op_refuses(single: ttnn.MeshDevice, call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(single)


def test_rounding_and_softplus_take_their_settings(single: ttnn.MeshDevice) -> None:
    assert torch.equal(get(ttnn.round(put(single, A), decimals=1)), torch.round(A, decimals=1))
    expected = torch.nn.functional.softplus(A, 2.0, 1.0)
    assert torch.equal(get(ttnn.softplus(put(single, A), beta=2.0, threshold=1.0)), expected)


def test_output_tensor_receives_the_result(single: ttnn.MeshDevice) -> None:
    target = put(single, torch.zeros(32, 48))
    ttnn.silu(put(single, A), output_tensor=target)

    assert torch.equal(get(target), torch.nn.functional.silu(A))


def test_fast_gelu_is_the_tanh_form(single: ttnn.MeshDevice) -> None:
    result = ttnn.gelu(put(single, A), fast_and_approximate_mode=True)

    assert torch.equal(get(result), torch.nn.functional.gelu(A, approximate="tanh"))
