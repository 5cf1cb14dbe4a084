"""Combine two tensors, or a tensor and a number, element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ttemu.axes import MESH_DIMS
from ttemu.configs import UnaryOpType, UnaryWithParam
from ttemu.dtypes import DataType, Layout, is_floating
from ttemu.frame import align, check_same_device, need_floating, overwrite, read, write
from ttemu.memory import MemoryConfig
from ttemu.tensor import Tensor

__all__ = ["add", "add_", "div", "divide", "eq", "ge", "gt", "le", "logical_and", "logical_or", "lt", "maximum"]
__all__ += ["minimum", "mul", "multiply", "multiply_", "ne", "pow", "rdiv", "rsub", "sub", "subtract", "subtract_"]
__all__ += ["where"]

Arithmetic = Callable[["torch.Tensor | float", "torch.Tensor | float"], torch.Tensor]
Activations = Sequence[UnaryOpType | UnaryWithParam]
_ACTIVATIONS: dict[UnaryOpType, Callable[[torch.Tensor], torch.Tensor]] = {
    UnaryOpType.RELU: torch.relu,
    UnaryOpType.GELU: torch.nn.functional.gelu,
    UnaryOpType.SILU: torch.nn.functional.silu,
    UnaryOpType.SIGMOID: torch.sigmoid,
}


def activate(values: torch.Tensor, activations: Activations) -> torch.Tensor:
    """Apply fused activations in order."""
    for activation in activations:
        kind = activation.op_type if isinstance(activation, UnaryWithParam) else activation
        values = _ACTIVATIONS[kind](values)
    return values


def broadcast_pair(op: str, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Align ranks, and refuse extents that numpy would not broadcast."""
    if first.shape == second.shape:
        return first, second
    first, second = align(first, second)
    for left, right in zip(first.shape[MESH_DIMS:], second.shape[MESH_DIMS:], strict=True):
        if left not in {right, 1} and right != 1:
            shapes = f"{list(first.shape[MESH_DIMS:])} and {list(second.shape[MESH_DIMS:])}"
            raise RuntimeError(f"ttnn.{op}: shapes {shapes} cannot be broadcast (binary_ng)")
    return first, second


def _check_pair(op: str, first: Tensor, second: Tensor) -> None:
    check_same_device(op, first, second)
    mixed = first.dtype is not second.dtype
    if mixed and not (is_floating(first.dtype) and is_floating(second.dtype)):
        raise RuntimeError(
            f"ttnn.{op}: Mixed dtype is not supported for binary operation, dtype A: {first.dtype.name}, "
            f"dtype B: {second.dtype.name}"
        )


def _operand(op: str, operand: Tensor | float, activations: Activations) -> torch.Tensor | float:
    if isinstance(operand, Tensor):
        return activate(read(op, operand), activations)
    if not isinstance(operand, (int, float)):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, got {type(operand).__name__}")
    return operand


def _pair_of(op: str, first: Tensor | float, second: Tensor | float) -> tuple[Tensor, Layout, MemoryConfig]:
    """Return the operand whose dtype the result takes, and the result's layout and memory config."""
    tensors = [operand for operand in (first, second) if isinstance(operand, Tensor)]
    if not tensors:
        raise TypeError(f"ttnn.{op}: incompatible function arguments, neither operand is a tensor")
    if len(tensors) > 1:
        _check_pair(op, tensors[0], tensors[1])
    tiled = any(tensor.layout is Layout.TILE for tensor in tensors)
    sharded = [tensor for tensor in tensors if tensor.is_sharded()]
    memory_config = (sharded or tensors)[0].memory_config()
    return tensors[0], Layout.TILE if tiled else Layout.ROW_MAJOR, memory_config


def _result_dtype(like: Tensor, result: torch.Tensor) -> DataType:
    """Return the dtype of the first tensor, or float32 where an integer tensor met a fraction."""
    return DataType.FLOAT32 if result.is_floating_point() and not is_floating(like.dtype) else like.dtype


def _make(op: str, function: Arithmetic) -> Callable[..., Tensor]:
    """Make a binary op; the result has the dtype of its first tensor."""

    def run(
        input_tensor_a: Tensor | float,
        input_tensor_b: Tensor | float,
        *,
        dtype: DataType | None = None,
        memory_config: MemoryConfig | None = None,
        output_tensor: Tensor | None = None,
        activations: Activations = (),
        input_tensor_a_activations: Activations = (),
        input_tensor_b_activations: Activations = (),
        fast_and_approximate_mode: bool | None = None,
        sub_core_grids: object = None,
        sub_device_id: object = None,
    ) -> Tensor:
        del fast_and_approximate_mode, sub_core_grids, sub_device_id
        first = _operand(op, input_tensor_a, input_tensor_a_activations)
        second = _operand(op, input_tensor_b, input_tensor_b_activations)
        like, layout, place = _pair_of(op, input_tensor_a, input_tensor_b)
        if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
            first, second = broadcast_pair(op, first, second)
        result = activate(function(first, second), activations)
        return write(
            op,
            result,
            like,
            dtype=dtype or _result_dtype(like, result),
            layout=layout,
            memory_config=memory_config or place,
            output_tensor=output_tensor,
        )

    run.__name__ = run.__qualname__ = op
    run.__doc__ = f"Return {op} of two operands, one of which may be a number, in the dtype of the first tensor."
    return run


def _make_in_place(op: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Make an op that writes its result over its first operand."""

    def run(
        input_tensor_a: Tensor,
        input_tensor_b: Tensor | float,
        *,
        activations: Activations = (),
        input_tensor_a_activations: Activations = (),
        input_tensor_b_activations: Activations = (),
        fast_and_approximate_mode: bool | None = None,
        sub_core_grids: object = None,
        sub_device_id: object = None,
    ) -> Tensor:
        del fast_and_approximate_mode, sub_core_grids, sub_device_id
        return function(
            input_tensor_a,
            input_tensor_b,
            output_tensor=input_tensor_a,
            activations=activations,
            input_tensor_a_activations=input_tensor_a_activations,
            input_tensor_b_activations=input_tensor_b_activations,
        )

    run.__name__ = run.__qualname__ = op
    run.__doc__ = f"Write {op[:-1]} of two operands over the first."
    return run


def _numbers(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Arithmetic:
    """Turn a function of two tensors into one of tensors and numbers whose answer is no boolean."""

    def run(first: torch.Tensor | float, second: torch.Tensor | float) -> torch.Tensor:
        like = first if isinstance(first, torch.Tensor) else second
        kind = like.dtype if isinstance(like, torch.Tensor) else torch.float32
        result = function(torch.as_tensor(first, dtype=kind), torch.as_tensor(second, dtype=kind))
        return result.to(kind) if result.dtype is torch.bool else result

    return run


# Torch's arithmetic takes numbers on either side; its stubs know only some of the pairs.
def _add(first: torch.Tensor | float, second: torch.Tensor | float) -> torch.Tensor:
    return first + second  # type: ignore[return-value]  # at least one is a tensor


def _subtract(first: torch.Tensor | float, second: torch.Tensor | float) -> torch.Tensor:
    return first - second  # type: ignore[return-value]  # at least one is a tensor


def _multiply(first: torch.Tensor | float, second: torch.Tensor | float) -> torch.Tensor:
    return first * second  # type: ignore[return-value]  # at least one is a tensor


def _divide(first: torch.Tensor | float, second: torch.Tensor | float) -> torch.Tensor:
    return first / second  # type: ignore[return-value]  # at least one is a tensor


def _exponentiate(first: torch.Tensor | float, second: torch.Tensor | float) -> torch.Tensor:
    return first**second


add = _make("add", _add)
subtract = sub = _make("subtract", _subtract)
multiply = mul = _make("multiply", _multiply)
rsub = _make("rsub", lambda first, second: _subtract(second, first))
eq = _make("eq", _numbers(torch.eq))
ne = _make("ne", _numbers(torch.ne))
lt = _make("lt", _numbers(torch.lt))
le = _make("le", _numbers(torch.le))
gt = _make("gt", _numbers(torch.gt))
ge = _make("ge", _numbers(torch.ge))
maximum = _make("maximum", _numbers(torch.maximum))
minimum = _make("minimum", _numbers(torch.minimum))
logical_and = _make("logical_and", _numbers(torch.logical_and))
logical_or = _make("logical_or", _numbers(torch.logical_or))
add_ = _make_in_place("add_", add)
subtract_ = _make_in_place("subtract_", subtract)
_quotient = _make("divide", _divide)
_power = _make("pow", _exponentiate)


def multiply_(input_a: Tensor, input_b: Tensor | float, *, activations: Activations = ()) -> Tensor:
    """Write the product of two operands over the first."""
    return multiply(input_a, input_b, output_tensor=input_a, activations=activations)


def divide(
    input_tensor_a: Tensor | float,
    input_tensor_b: Tensor | float | None = None,
    *,
    value: float | None = None,
    rounding_mode: str | None = None,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    activations: Activations = (),
) -> Tensor:
    """Return a / b in the dtype of the first tensor."""
    if rounding_mode is not None:
        raise NotImplementedError("ttnn.divide with a rounding_mode is not emulated")
    return _quotient(
        input_tensor_a,
        value if input_tensor_b is None else input_tensor_b,
        dtype=dtype,
        memory_config=memory_config,
        output_tensor=output_tensor,
        activations=activations,
    )


div = divide


def rdiv(
    input_tensor: Tensor,
    value: float,
    *,
    rounding_mode: str | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return value / x."""
    del sub_core_grids
    return divide(
        value, input_tensor, rounding_mode=rounding_mode, memory_config=memory_config, output_tensor=output_tensor
    )


def pow(
    input_tensor: Tensor | float,
    exponent: Tensor | float,
    *,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Return x ** exponent."""
    return _power(input_tensor, exponent, dtype=dtype, memory_config=memory_config, output_tensor=output_tensor)


def where(
    predicate: Tensor,
    true_value: Tensor | float,
    false_value: Tensor | float,
    *,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return ``true_value`` where the predicate is not zero, ``false_value`` elsewhere."""
    del sub_core_grids
    tensors = [item for item in (true_value, false_value) if isinstance(item, Tensor)]
    check_same_device("where", predicate, *tensors)
    like = tensors[0] if tensors else predicate
    need_floating("where", like)
    chosen = read("where", predicate) != 0
    operands = [_operand("where", item, ()) for item in (true_value, false_value)]
    for index, operand in enumerate(operands):
        if isinstance(operand, torch.Tensor):
            chosen, operands[index] = broadcast_pair("where", chosen, operand)
    result = torch.where(chosen, operands[0], operands[1])
    if output_tensor is not None:
        return overwrite("where", result, output_tensor)
    return write("where", result, like, memory_config=memory_config)
