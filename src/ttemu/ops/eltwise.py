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

Arithmetic = Callable[[torch.Tensor, "torch.Tensor | float"], torch.Tensor]
_ACTIVATIONS: dict[UnaryOpType, Callable[[torch.Tensor], torch.Tensor]] = {
    UnaryOpType.RELU: torch.relu,
    UnaryOpType.GELU: torch.nn.functional.gelu,
    UnaryOpType.SILU: torch.nn.functional.silu,
    UnaryOpType.SIGMOID: torch.sigmoid,
}


def activate(values: torch.Tensor, activations: Sequence[UnaryOpType | UnaryWithParam] | None) -> torch.Tensor:
    """Apply fused activations in order."""
    for activation in activations or ():
        kind = activation.op_type if isinstance(activation, UnaryWithParam) else activation
        values = _ACTIVATIONS[kind](values)
    return values


def _check_pair(op: str, first: Tensor, second: Tensor) -> None:
    check_same_device(op, first, second)
    if is_floating(first.dtype) != is_floating(second.dtype):
        raise RuntimeError(f"ttnn.{op}: unsupported pair of data formats {first.dtype.name} and {second.dtype.name}")


def broadcast_pair(op: str, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Align ranks, and refuse extents that numpy would not broadcast."""
    if first.shape == second.shape:
        return first, second
    first, second = align(first, second)
    for left, right in zip(first.shape[MESH_DIMS:], second.shape[MESH_DIMS:], strict=True):
        if left != right and left != 1 and right != 1:
            shapes = f"{list(first.shape[MESH_DIMS:])} and {list(second.shape[MESH_DIMS:])}"
            raise RuntimeError(f"ttnn.{op}: shapes {shapes} cannot be broadcast (binary_ng)")
    return first, second


def _binary(
    op: str,
    function: Arithmetic,
    first: Tensor,
    second: Tensor | float,
    *,
    dtype: DataType | None,
    memory_config: MemoryConfig | None,
    output_tensor: Tensor | None,
    activations: Sequence[UnaryOpType | UnaryWithParam] | None = None,
) -> Tensor:
    values = read(op, first)
    layout = first.layout
    if isinstance(second, Tensor):
        other = read(op, second)
        _check_pair(op, first, second)
        if second.layout is Layout.TILE:
            layout = Layout.TILE
        result = function(*broadcast_pair(op, values, other))
    elif isinstance(second, (int, float)):
        result = function(values, second)
    else:
        raise TypeError(f"ttnn.{op}: incompatible function arguments, got {type(second).__name__}")
    if activations:
        result = activate(result, activations)
    return write(
        op,
        result,
        first,
        dtype=dtype,
        layout=layout,
        memory_config=memory_config,
        output_tensor=output_tensor,
    )


def _numeric(function: Callable[..., torch.Tensor]) -> Arithmetic:
    """Return a comparison whose answer is 1 or 0 in its first operand's kind of number."""

    def compare(first: torch.Tensor, second: torch.Tensor | float) -> torch.Tensor:
        return function(first, second).to(first.dtype)

    return compare


def _divide(first: torch.Tensor, second: torch.Tensor | float) -> torch.Tensor:
    return torch.div(first, second)


def add(
    input_tensor_a: Tensor,
    input_tensor_b: Tensor | float,
    *,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    activations: Sequence[UnaryOpType | UnaryWithParam] | None = None,
) -> Tensor:
    """Return a + b in the dtype of a."""
    return _binary(
        "add",
        torch.add,
        input_tensor_a,
        input_tensor_b,
        dtype=dtype,
        memory_config=memory_config,
        output_tensor=output_tensor,
        activations=activations,
    )


def subtract(
    input_tensor_a: Tensor,
    input_tensor_b: Tensor | float,
    *,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    activations: Sequence[UnaryOpType | UnaryWithParam] | None = None,
) -> Tensor:
    """Return a - b in the dtype of a."""
    return _binary(
        "subtract",
        torch.sub,
        input_tensor_a,
        input_tensor_b,
        dtype=dtype,
        memory_config=memory_config,
        output_tensor=output_tensor,
        activations=activations,
    )


def multiply(
    input_tensor_a: Tensor,
    input_tensor_b: Tensor | float,
    *,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    activations: Sequence[UnaryOpType | UnaryWithParam] | None = None,
) -> Tensor:
    """Return a * b in the dtype of a."""
    return _binary(
        "multiply",
        torch.mul,
        input_tensor_a,
        input_tensor_b,
        dtype=dtype,
        memory_config=memory_config,
        output_tensor=output_tensor,
        activations=activations,
    )


def divide(
    input_tensor_a: Tensor,
    input_tensor_b: Tensor | float,
    *,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Return a / b in the dtype of a."""
    return _binary(
        "divide",
        _divide,
        input_tensor_a,
        input_tensor_b,
        dtype=dtype,
        memory_config=memory_config,
        output_tensor=output_tensor,
    )


sub, mul, div = subtract, multiply, divide


def _plain(op: str, function: Arithmetic) -> Callable[..., Tensor]:
    """Make a binary op that has no settings of its own."""

    def run(
        input_tensor_a: Tensor,
        input_tensor_b: Tensor | float,
        *,
        dtype: DataType | None = None,
        memory_config: MemoryConfig | None = None,
        output_tensor: Tensor | None = None,
    ) -> Tensor:
        return _binary(
            op,
            function,
            input_tensor_a,
            input_tensor_b,
            dtype=dtype,
            memory_config=memory_config,
            output_tensor=output_tensor,
        )

    run.__name__ = run.__qualname__ = op
    run.__doc__ = f"Return {op} of two operands in the dtype of the first."
    return run


def _power(first: torch.Tensor, second: torch.Tensor | float) -> torch.Tensor:
    return torch.pow(first, second)


def _as_tensor(second: torch.Tensor | float, first: torch.Tensor) -> torch.Tensor:
    return second if isinstance(second, torch.Tensor) else torch.tensor(second, dtype=first.dtype)


eq = _plain("eq", _numeric(torch.eq))
ne = _plain("ne", _numeric(torch.ne))
lt = _plain("lt", _numeric(torch.lt))
le = _plain("le", _numeric(torch.le))
gt = _plain("gt", _numeric(torch.gt))
ge = _plain("ge", _numeric(torch.ge))
pow = _plain("pow", _power)  # noqa: A001 - ttnn's own name
rsub = _plain("rsub", lambda first, second: second - first)
rdiv = _plain("rdiv", lambda first, second: second / first)
maximum = _plain("maximum", lambda first, second: torch.maximum(first, _as_tensor(second, first)))
minimum = _plain("minimum", lambda first, second: torch.minimum(first, _as_tensor(second, first)))
logical_and = _plain("logical_and", _numeric(lambda a, b: torch.logical_and(a, _as_tensor(b, a))))
logical_or = _plain("logical_or", _numeric(lambda a, b: torch.logical_or(a, _as_tensor(b, a))))


def add_(input_tensor_a: Tensor, input_tensor_b: Tensor | float) -> Tensor:
    """Add b to a in place."""
    return add(input_tensor_a, input_tensor_b, output_tensor=input_tensor_a)


def subtract_(input_tensor_a: Tensor, input_tensor_b: Tensor | float) -> Tensor:
    """Subtract b from a in place."""
    return subtract(input_tensor_a, input_tensor_b, output_tensor=input_tensor_a)


def multiply_(input_tensor_a: Tensor, input_tensor_b: Tensor | float) -> Tensor:
    """Multiply a by b in place."""
    return multiply(input_tensor_a, input_tensor_b, output_tensor=input_tensor_a)


def where(
    predicate: Tensor,
    true_value: Tensor | float,
    false_value: Tensor | float,
    *,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Return ``true_value`` where the predicate is not zero, ``false_value`` elsewhere."""
    tensors = [item for item in (true_value, false_value) if isinstance(item, Tensor)]
    check_same_device("where", predicate, *tensors)
    like = tensors[0] if tensors else predicate
    chosen = read("where", predicate) != 0
    operands = [read("where", item) if isinstance(item, Tensor) else item for item in (true_value, false_value)]
    for index, operand in enumerate(operands):
        if isinstance(operand, torch.Tensor):
            chosen, operands[index] = broadcast_pair("where", chosen, operand)
    if output_tensor is None:
        need_floating("where", like)
        return write("where", torch.where(chosen, operands[0], operands[1]), like, memory_config=memory_config)
    return overwrite("where", torch.where(chosen, operands[0], operands[1]), output_tensor)
