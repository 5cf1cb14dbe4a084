"""Combine two tensors, or a tensor and a number, element by element."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ttemu.dtypes import DataType, is_floating
from ttemu.memory import MemoryConfig
from ttemu.ops.binary import REALS, WIDE, Activations, Arithmetic, Rule, make, make_in_place, run_pair
from ttemu.ops.mapped import INTEGERS, check_dtype, check_output, read_alive, write_mapped
from ttemu.tensor import Tensor

__all__ = ["add", "add_", "eq", "ge", "gt", "le", "logical_and", "logical_or", "lt", "maximum", "minimum", "mul"]
__all__ += ["multiply", "multiply_", "ne", "pow", "rsub", "sub", "subtract", "subtract_"]

_ARITHMETIC = REALS | INTEGERS
_SUM = Rule(takes=_ARITHMETIC, reversible=True)
_REVERSED = Rule(takes=_ARITHMETIC)
_PRODUCT = Rule(takes=_ARITHMETIC, converts=True, reversible=True)
_COMPARISON = Rule(takes=_ARITHMETIC | {DataType.UINT8})
_EXTREME = Rule(takes=REALS | WIDE, mixes=False)
_POWER = Rule(takes=REALS, mixes=False, reversible=True)


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


def _exponentiate(first: torch.Tensor | float, second: torch.Tensor | float) -> torch.Tensor:
    return first**second


def _extreme(op: str, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[..., Tensor]:
    """Make an op that bounds a tensor; by a number it is an op on one tensor."""
    of_two = make(op, _EXTREME, _numbers(function))

    def run(input_tensor_a: Tensor, input_tensor_b: Tensor | float, **options: object) -> Tensor:
        if isinstance(input_tensor_a, Tensor) and isinstance(input_tensor_b, (int, float)):
            read_alive(op, input_tensor_a)
            check_dtype(op, input_tensor_a, WIDE)
            target = options.get("output_tensor")
            if isinstance(target, Tensor):
                check_output(op, input_tensor_a, target)
        return of_two(input_tensor_a, input_tensor_b, **options)

    run.__name__ = run.__qualname__ = op
    run.__doc__ = of_two.__doc__
    return run


add = make("add", _SUM, _add)
subtract = sub = make("subtract", _SUM, _subtract)
multiply = mul = make("multiply", _PRODUCT, _multiply)
rsub = make("rsub", _REVERSED, lambda first, second: _subtract(second, first))
eq = make("eq", _COMPARISON, _numbers(torch.eq))
ne = make("ne", _COMPARISON, _numbers(torch.ne))
lt = make("lt", _COMPARISON, _numbers(torch.lt))
le = make("le", _COMPARISON, _numbers(torch.le))
gt = make("gt", _COMPARISON, _numbers(torch.gt))
ge = make("ge", _COMPARISON, _numbers(torch.ge))
maximum = _extreme("maximum", torch.maximum)
minimum = _extreme("minimum", torch.minimum)
logical_and = make("logical_and", _REVERSED, _numbers(torch.logical_and))
logical_or = make("logical_or", _REVERSED, _numbers(torch.logical_or))
add_ = make_in_place("add_", add)
subtract_ = make_in_place("subtract_", subtract)


def multiply_(
    input_a: Tensor,
    input_b: Tensor | float,
    *,
    activations: Activations = (),
    input_tensor_a_activations: Activations = (),
    input_tensor_b_activations: Activations = (),
    fast_and_approximate_mode: bool | None = None,
    sub_core_grids: object = None,
    sub_device_id: object = None,
) -> Tensor:
    """Write the product of two operands over the first."""
    del fast_and_approximate_mode, sub_core_grids, sub_device_id
    return multiply(
        input_a,
        input_b,
        output_tensor=input_a,
        activations=activations,
        input_tensor_a_activations=input_tensor_a_activations,
        input_tensor_b_activations=input_tensor_b_activations,
    )


def pow(
    input_tensor: Tensor | float,
    exponent: Tensor | float,
    *,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    activations: Activations = (),
    input_tensor_a_activations: Activations = (),
    input_tensor_b_activations: Activations = (),
) -> Tensor:
    """Return x ** exponent; only a tensor as exponent goes with ``dtype`` and activations."""
    others = (dtype, *activations, *input_tensor_a_activations, *input_tensor_b_activations)
    if isinstance(exponent, (int, float)) and isinstance(input_tensor, Tensor):
        if others != (None,):
            raise TypeError("ttnn.pow: incompatible function arguments, dtype or activations beside a number")
        return _to_number(input_tensor, exponent, memory_config, output_tensor)
    return run_pair(
        "pow",
        _POWER,
        _exponentiate,
        input_tensor,
        exponent,
        dtype=dtype,
        memory_config=memory_config,
        output_tensor=output_tensor,
        activations=activations,
        first_activations=input_tensor_a_activations,
        second_activations=input_tensor_b_activations,
    )


def _to_number(
    tensor: Tensor, exponent: float, memory_config: MemoryConfig | None, output_tensor: Tensor | None
) -> Tensor:
    values = read_alive("pow", tensor)
    check_dtype("pow", tensor, INTEGERS)
    if not is_floating(tensor.dtype):
        if not float(exponent).is_integer():
            raise RuntimeError(f"ttnn.pow: dtype {tensor.dtype.name} requires an integral exponent, got {exponent}")
        if exponent < 0:
            raise RuntimeError(f"ttnn.pow: integers to negative integer powers are not allowed, got {exponent}")
    power = exponent if is_floating(tensor.dtype) else int(exponent)
    return write_mapped("pow", values**power, tensor, memory_config=memory_config, output_tensor=output_tensor)
