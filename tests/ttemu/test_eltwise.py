"""Binary ops compute in float32 and round once to the dtype of the first tensor."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, put, shards
from ttemu.formats import quantise

A = torch.randn(32, 48, generator=torch.Generator().manual_seed(1))
B = torch.randn(32, 48, generator=torch.Generator().manual_seed(2)).abs() + 0.5
W = torch.ones(2, 32, dtype=torch.int32)

OPS: dict[str, Callable[..., torch.Tensor]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "sub": operator.sub,
    "multiply": operator.mul,
    "mul": operator.mul,
    "divide": operator.truediv,
    "div": operator.truediv,
    "rsub": lambda a, b: b - a,
    "maximum": lambda a, b: torch.maximum(a, torch.as_tensor(b)),
    "minimum": lambda a, b: torch.minimum(a, torch.as_tensor(b)),
    "eq": lambda a, b: (a == b).float(),
    "ne": lambda a, b: (a != b).float(),
    "lt": lambda a, b: (a < b).float(),
    "le": lambda a, b: (a <= b).float(),
    "gt": lambda a, b: (a > b).float(),
    "ge": lambda a, b: (a >= b).float(),
    "logical_and": lambda a, b: ((a != 0) & (torch.as_tensor(b) != 0)).float(),
    "logical_or": lambda a, b: ((a != 0) | (torch.as_tensor(b) != 0)).float(),
}


@pytest.mark.parametrize("name", OPS)
def test_binary_op_equals_torch(single: ttnn.MeshDevice, name: str) -> None:
    a, b = put(single, A), put(single, B)

    assert torch.equal(get(getattr(ttnn, name)(a, b)), OPS[name](A, B))
    assert torch.equal(get(getattr(ttnn, name)(a, 0.75)), OPS[name](A, 0.75))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (ttnn.bfloat16, (A.bfloat16().float() * B.bfloat16().float()).bfloat16()),
        (ttnn.bfloat8_b, quantise(quantise(A, ttnn.bfloat8_b).float() * B.bfloat16().float(), ttnn.bfloat8_b).float()),
    ],
)
def test_product_is_rounded_once_to_the_first_dtype(
    single: ttnn.MeshDevice, dtype: ttnn.DataType, expected: torch.Tensor
) -> None:
    assert torch.equal(get(put(single, A, dtype) * put(single, B, ttnn.bfloat16)), expected)


def test_sum_of_bfloat16_into_float32_is_not_rounded(single: ttnn.MeshDevice) -> None:
    a, b = A.bfloat16().float(), B.bfloat16().float()

    result = ttnn.add(put(single, A, ttnn.bfloat16), put(single, B, ttnn.bfloat16), dtype=ttnn.float32)
    assert torch.equal(get(result), a + b)


@pytest.mark.parametrize(
    ("left", "right"),
    [((1, 4, 1, 64), (1, 1, 32, 1)), ((32, 64), (2, 3, 32, 64)), ((2, 3, 32, 64), (64,)), ((1,), (5, 1))],
)
def test_ranks_and_ones_broadcast(mesh: ttnn.MeshDevice, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = torch.randn(left), torch.randn(right)

    assert torch.equal(get(put(mesh, a) + put(mesh, b)), a + b)


def test_mesh_axes_broadcast_too(mesh: ttnn.MeshDevice) -> None:
    rows, cols = put(mesh, A, dims=(0, None)), put(mesh, B[:16], dims=(None, 1))
    expected = [a[:, :12] + b for a in A.chunk(2, 0) for b in B[:16].chunk(4, 1)]

    total = ttnn.slice(rows, [0, 0], [16, 12]) + cols
    assert total.data("test").shape[:2] == (2, 4)
    assert all(map(torch.equal, shards(total), expected))


def test_shapes_that_do_not_broadcast_are_named(single: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match=r"ttnn.add: shapes \[32, 48\] and \[31, 48\] cannot be broadcast"):
        put(single, A) + put(single, A[:31])


@pytest.mark.parametrize(
    ("first", "second"), [(ttnn.int32, ttnn.bfloat16), (ttnn.float32, ttnn.int32), (ttnn.int32, ttnn.uint32)]
)
def test_mixed_dtypes_are_refused(single: ttnn.MeshDevice, first: ttnn.DataType, second: ttnn.DataType) -> None:
    ones = torch.ones(2, 2, dtype=torch.int32)

    with pytest.raises(RuntimeError, match=rf"Mixed dtype .* dtype A: {first.name}, dtype B: {second.name}"):
        ttnn.add(put(single, ones, first), put(single, ones, second))


def test_integers_wrap_and_fractions_make_them_float(single: ttnn.MeshDevice) -> None:
    top = put(single, torch.full((2, 2), 65535, dtype=torch.int32), ttnn.uint16)

    assert get(top + top)[0, 0].item() == 65534
    half = ttnn.typecast(top, ttnn.int32) * 0.5
    assert (half.dtype, get(half)[0, 0].item()) == (ttnn.float32, 32767.5)


@pytest.mark.parametrize("second", ["a", None, [1.0]])
def test_other_operands_are_a_type_error(single: ttnn.MeshDevice, second: object) -> None:
    with pytest.raises(TypeError, match=r"ttnn.add: incompatible function arguments"):
        ttnn.add(put(single, A), second)


def test_two_numbers_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="neither operand is a tensor"):
        ttnn.add(2.0, 1.0)


def test_unknown_keyword_is_a_type_error(single: ttnn.MeshDevice) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'ouput_tensor'"):
        ttnn.add(put(single, A), 1.0, ouput_tensor=None)


def test_output_tensor_is_written_in_its_own_dtype(single: ttnn.MeshDevice) -> None:
    target = put(single, torch.zeros(32, 48), ttnn.bfloat16)
    result = ttnn.add(put(single, A), put(single, B), output_tensor=target)

    assert result is not target
    assert torch.equal(get(target), (A + B).bfloat16())
    assert torch.equal(get(result), get(target))


def test_output_tensor_of_another_shape_is_refused(single: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match=r"output tensor Shape\(\[4, 48\]\) must have the shape \[32, 48\]"):
        ttnn.add(put(single, A), put(single, B), output_tensor=put(single, A[:4]))


@pytest.mark.parametrize(("name", "expected"), [("add_", A + B), ("subtract_", A - B), ("multiply_", A * B)])
def test_in_place_op_changes_its_first_operand(single: ttnn.MeshDevice, name: str, expected: torch.Tensor) -> None:
    a = put(single, A)
    getattr(ttnn, name)(a, put(single, B))

    assert torch.equal(get(a), expected)


def test_activations_are_fused_before_rounding(single: ttnn.MeshDevice) -> None:
    a, b = put(single, A, ttnn.bfloat16), put(single, B, ttnn.bfloat16)
    exact = torch.nn.functional.silu(A.bfloat16().float()) * B.bfloat16().float()

    result = ttnn.mul(a, b, input_tensor_a_activations=[ttnn.UnaryOpType.SILU])
    assert torch.equal(get(result), exact.bfloat16())
    relu = ttnn.add(a, b, activations=[ttnn.UnaryWithParam(ttnn.UnaryOpType.RELU)])
    assert torch.equal(get(relu), torch.relu(A.bfloat16().float() + B.bfloat16().float()).bfloat16())


def test_rdiv_and_pow_take_a_number(single: ttnn.MeshDevice) -> None:
    assert torch.equal(get(ttnn.rdiv(put(single, B), 2.0)), 2.0 / B)
    assert torch.equal(get(ttnn.pow(put(single, B), 2)), B**2)
    assert torch.equal(get(ttnn.pow(put(single, B), put(single, A))), B**A)


@pytest.mark.parametrize("mode", ["floor", "trunc"])
def test_quotients_are_rounded_as_asked(single: ttnn.MeshDevice, mode: str) -> None:
    whole = torch.tensor([[-7, 7]], dtype=torch.int32)
    of_integers = ttnn.divide(put(single, whole, ttnn.int32), 2, rounding_mode=mode)
    halves = torch.div(whole, 2, rounding_mode=mode)

    assert torch.equal(get(ttnn.divide(put(single, A), 0.3, rounding_mode=mode)), torch.div(A, 0.3, rounding_mode=mode))
    assert (of_integers.dtype, get(of_integers).tolist()) == (
        ttnn.int32,
        halves.tolist(),
    )
    assert torch.equal(get(ttnn.rdiv(put(single, B), 2.0, rounding_mode=mode)), torch.div(2.0, B, rounding_mode=mode))


def test_quotient_of_integers_is_a_fraction(single: ttnn.MeshDevice) -> None:
    result = ttnn.divide(put(single, torch.tensor([[-7, 7]], dtype=torch.int32), ttnn.int32), 2)

    assert (result.dtype, get(result).tolist()) == (ttnn.float32, [[-3.5, 3.5]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: ttnn.divide(put(m, A), 2.0, rounding_mode="up"), RuntimeError, "Incorrect rounding mode 'up'"),
        (lambda m: ttnn.divide(put(m, W, ttnn.uint16), 2), RuntimeError, "A dtype UINT16 is not supported"),
        (lambda m: ttnn.add(put(m, W, ttnn.int32), 0.5), RuntimeError, "cannot represent the number 0.5"),
        (lambda m: ttnn.maximum(put(m, A), put(m, B, ttnn.bfloat16)), RuntimeError, "Mixed dtype is not supported"),
        (
            lambda m: ttnn.maximum(put(m, W, ttnn.uint16), 1),
            RuntimeError,
            "not support integer .* UINT16",
        ),
        (lambda m: ttnn.rsub(2.0, put(m, A)), TypeError, "a number cannot stand first"),
        (lambda m: ttnn.pow(put(m, W, ttnn.int32), -1), RuntimeError, "integers to negative integer powers"),
        (lambda m: ttnn.pow(put(m, A), 2, dtype=ttnn.bfloat16), TypeError, "dtype or activations beside a number"),
        (lambda m: ttnn.add(put(m, A), 1.0, dtype="bfloat16"), TypeError, "dtype 'bfloat16'"),
        (lambda m: ttnn.add(put(m, A), 1.0, memory_config=2), TypeError, "memory_config 2"),
        (
            lambda m: ttnn.add(put(m, A), 1.0, dtype=ttnn.bfloat16, output_tensor=put(m, A)),
            RuntimeError,
            "dtype BFLOAT16 must match the output tensor's FLOAT32",
        ),
        (
            lambda m: ttnn.add_(put(m, A, layout=ttnn.ROW_MAJOR_LAYOUT), 1.0),
            RuntimeError,
            "output tensor beside operands in ROW_MAJOR layout",
        ),
        (
            lambda m: ttnn.where(put(m, A, layout=ttnn.ROW_MAJOR_LAYOUT), put(m, A), put(m, B)),
            RuntimeError,
            "predicate must be in TILE layout",
        ),
        (lambda m: ttnn.where(put(m, A), put(m, B, ttnn.bfloat16), 1.0), RuntimeError, "Mixed dtype is not supported"),
    ],
)
def test_binary_op_refuses(single: ttnn.MeshDevice, call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(single)


@pytest.mark.parametrize(
    ("op", "first", "second", "expected"),
    [
        ("multiply", ttnn.bfloat16, ttnn.int32, ttnn.bfloat16),
        ("multiply", ttnn.int32, ttnn.float32, ttnn.float32),
        ("multiply", ttnn.uint32, ttnn.bfloat16, ttnn.bfloat16),
        ("divide", ttnn.int32, ttnn.int32, ttnn.float32),
        ("eq", ttnn.uint8, ttnn.uint16, ttnn.uint16),
        ("add", ttnn.bfloat16, ttnn.float32, ttnn.bfloat16),
    ],
)
def test_result_dtype_follows_the_operands(
    single: ttnn.MeshDevice, op: str, first: ttnn.DataType, second: ttnn.DataType, expected: ttnn.DataType
) -> None:
    assert getattr(ttnn, op)(put(single, W, first), put(single, W, second)).dtype is expected


def test_open_shards_are_spread_over_all_cores(mesh: ttnn.MeshDevice) -> None:
    operand = put(mesh, torch.ones(1, 1, 32, 640), ttnn.bfloat16)
    spec = ttnn.add(operand, 1.0, memory_config=ttnn.L1_WIDTH_SHARDED_MEMORY_CONFIG).memory_config().shard_spec

    assert (list(spec.shape), str(spec.grid)) == ([32, 32], "{[0-0 - 7-1], [0-2 - 3-2]}")


def test_where_chooses_element_by_element(single: ttnn.MeshDevice) -> None:
    chosen = put(single, (A > 0).float())

    assert torch.equal(get(ttnn.where(chosen, put(single, A), put(single, B))), torch.where(A > 0, A, B))
    assert torch.equal(get(ttnn.where(chosen, 1.0, put(single, B[:1]))), torch.where(A > 0, torch.ones(()), B[:1]))
    target = put(single, A)
    ttnn.where(chosen, 1.0, 0.0, output_tensor=target)
    assert torch.equal(get(target), (A > 0).float())
