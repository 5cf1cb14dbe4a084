"""Divide, with or without rounding to whole numbers."""

from __future__ import annotations

import torch

from ttemu.dtypes import DataType
from ttemu.memory import MemoryConfig
from ttemu.ops.binary import REALS, Activations, Arithmetic, Rule, run_pair
from ttemu.ops.mapped import check_dtype, read_alive
from ttemu.tensor import Tensor

__all__ = ["div", "divide", "rdiv"]

_QUOTIENT = Rule(takes=REALS | {DataType.INT32}, converts=True, quotient=True, reversible=True)
_MODES = {"trunc": torch.trunc, "floor": torch.floor}


def _divide(first: torch.Tensor | float, second: torch.Tensor | float) -> torch.Tensor:
    return first / second  # type: ignore[return-value]  # at least one is a tensor


def _rounded(mode: str | None) -> Arithmetic:
    if mode is None:
        return _divide
    if mode not in _MODES:
        raise RuntimeError(f"ttnn.divide: Incorrect rounding mode {mode!r}, expected None, 'trunc' or 'floor'")
    to_whole = _MODES[mode]
    return lambda first, second: to_whole(_divide(first, second))


def divide(
    input_tensor_a: Tensor | float,
    input_tensor_b: Tensor | float | None = None,
    *,
    value: float | None = None,
    fast_and_approximate_mode: bool = False,
    rounding_mode: str | None = None,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    activations: Activations = (),
    input_tensor_a_activations: Activations = (),
    input_tensor_b_activations: Activations = (),
    sub_core_grids: object = None,
    sub_device_id: object = None,
) -> Tensor:
    """Return a / b, rounded to a whole number where a mode is given, in the dtype of the first tensor."""
    del fast_and_approximate_mode, sub_core_grids, sub_device_id
    second = value if input_tensor_b is None else input_tensor_b
    if _is_whole(input_tensor_a, second):
        # Of integers an unknown mode is none, and a known one leaves integers.
        rounding_mode = rounding_mode if rounding_mode in _MODES else None
        given = output_tensor.dtype if isinstance(output_tensor, Tensor) else dtype
        if rounding_mode is None and given not in {None, DataType.FLOAT32}:
            raise RuntimeError(f"ttnn.divide: incorrect output dtype {given} for an integer division")
        dtype = DataType.INT32 if rounding_mode and given is None else dtype
    function = _rounded(rounding_mode)
    return run_pair(
        "divide",
        _QUOTIENT,
        function,
        input_tensor_a,
        second,  # type: ignore[arg-type]  # None is refused as a wrong operand
        dtype=dtype,
        memory_config=memory_config,
        output_tensor=output_tensor,
        activations=activations,
        first_activations=input_tensor_a_activations,
        second_activations=input_tensor_b_activations,
    )


div = divide


def _is_whole(*operands: object) -> bool:
    """Say whether all operands are int32 tensors or integers."""
    return all(
        operand.dtype is DataType.INT32 if isinstance(operand, Tensor) else isinstance(operand, int)
        for operand in operands
    )


def rdiv(
    input_tensor: Tensor,
    value: float,
    *,
    rounding_mode: str | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return value / x, of floating tensors."""
    del sub_core_grids
    _rounded(rounding_mode)
    read_alive("rdiv", input_tensor)
    check_dtype("rdiv", input_tensor, frozenset())
    return divide(
        value, input_tensor, rounding_mode=rounding_mode, memory_config=memory_config, output_tensor=output_tensor
    )
