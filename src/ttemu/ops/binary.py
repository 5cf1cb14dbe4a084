"""Make ops on two operands: which dtypes they take, what broadcasts, where the result goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ttemu.axes import MESH_DIMS
from ttemu.configs import UnaryOpType, UnaryWithParam
from ttemu.dtypes import DataType, Layout, is_block_float, is_floating
from ttemu.frame import align, check_same_device, read, stored, write
from ttemu.memory import BufferType, MemoryConfig
from ttemu.shards import chosen
from ttemu.tensor import Tensor

__all__ = [
    "REALS",
    "WIDE",
    "Activations",
    "Arithmetic",
    "Rule",
    "activate",
    "broadcast_pair",
    "make",
    "make_in_place",
    "run_pair",
]

Arithmetic = Callable[["torch.Tensor | float", "torch.Tensor | float"], torch.Tensor]
Activations = Sequence[UnaryOpType | UnaryWithParam]
_ACTIVATIONS: dict[UnaryOpType, Callable[[torch.Tensor], torch.Tensor]] = {
    UnaryOpType.RELU: torch.relu,
    UnaryOpType.GELU: torch.nn.functional.gelu,
    UnaryOpType.SILU: torch.nn.functional.silu,
    UnaryOpType.SIGMOID: torch.sigmoid,
}
REALS = frozenset({DataType.BFLOAT16, DataType.FLOAT32, DataType.BFLOAT8_B, DataType.BFLOAT4_B})
WIDE = frozenset({DataType.INT32, DataType.UINT32})
_NARROW = frozenset({DataType.UINT16, DataType.UINT8})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which dtypes an op takes.

    ``mixes``: two floating dtypes, or two narrow integers, may differ. ``converts``: a wide integer operand becomes
    floating beside a floating one or a fraction. ``quotient``: two integers give float32. ``reversible``: a number
    may stand first.
    """

    takes: frozenset[DataType]
    mixes: bool = True
    converts: bool = False
    quotient: bool = False
    reversible: bool = False

    def of_tensors(self, op: str, first: DataType, second: DataType) -> DataType:
        """Return the dtype of two tensors' result."""
        if self.converts and (first in WIDE) != (second in WIDE) and (first in REALS or second in REALS):
            other = second if first in WIDE else first
            if first in WIDE:
                return DataType.FLOAT32 if other is DataType.FLOAT32 else DataType.BFLOAT16
            return first
        for name, dtype in (("A", first), ("B", second)):
            if dtype not in self.takes:
                raise RuntimeError(f"ttnn.{op}: Input tensor {name} dtype {dtype.name} is not supported")
        if first is not second and not self._mix(first, second):
            raise RuntimeError(
                f"ttnn.{op}: Mixed dtype is not supported for binary operation, dtype A: {first.name}, "
                f"dtype B: {second.name}"
            )
        return self._given(first)

    def of_number(self, op: str, dtype: DataType, number: float) -> DataType:
        """Return the dtype of the result of a tensor and a number."""
        whole = isinstance(number, int) or (not self.converts and number.is_integer())
        if self.converts and not whole and dtype in WIDE:
            return DataType.FLOAT32
        if dtype not in self.takes:
            raise RuntimeError(f"ttnn.{op}: Input tensor A dtype {dtype.name} is not supported")
        if self.mixes and not whole and dtype in WIDE:
            raise RuntimeError(
                f"ttnn.{op}: a tensor of an integer dtype, {dtype.name}, cannot represent the number {number}"
            )
        return self._given(dtype)

    def _mix(self, first: DataType, second: DataType) -> bool:
        pair = {first, second}
        return self.mixes and (pair <= REALS or pair <= _NARROW)

    def _given(self, dtype: DataType) -> DataType:
        if self.quotient and not is_floating(dtype):
            return DataType.FLOAT32
        return DataType.UINT16 if dtype is DataType.UINT8 else dtype


# Of two bfloat16 tensors torch computes these in float32 and rounds once, as an op here does, but without copies.
_ROUNDED_ONCE = frozenset({"add", "subtract", "multiply"})


def activate(values: torch.Tensor, activations: Activations) -> torch.Tensor:
    """Apply fused activations in order."""
    for activation in activations:
        kind = activation.op_type if isinstance(activation, UnaryWithParam) else activation
        values = _ACTIVATIONS[kind](values.float())
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


def _number(op: str, operand: object) -> float:
    if isinstance(operand, (int, float)):
        return int(operand) if isinstance(operand, bool) else operand
    raise TypeError(f"ttnn.{op}: incompatible function arguments, got {type(operand).__name__}")


def run_pair(
    op: str,
    rule: Rule,
    function: Arithmetic,
    first: Tensor | float,
    second: Tensor | float,
    *,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    activations: Activations = (),
    first_activations: Activations = (),
    second_activations: Activations = (),
) -> Tensor:
    """Apply ``function`` to two operands of which one may be a number."""
    if dtype is not None and not isinstance(dtype, DataType):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, dtype {dtype!r}")
    if output_tensor is not None and not isinstance(output_tensor, Tensor):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, output_tensor {output_tensor!r}")
    results = dtype if output_tensor is None else getattr(output_tensor, "dtype", None)
    fused = activations or first_activations or second_activations
    raw = op in _ROUNDED_ONCE and not fused and _are_bfloat16(first, second, results)
    like, left, right, kind, layout, place = _operands(op, rule, first, second, stored if raw else read)
    if first_activations:
        left = activate(torch.as_tensor(left), first_activations)
    if second_activations:
        right = activate(torch.as_tensor(right), second_activations)
    result = function(left, right)
    if activations:
        result = activate(result, activations)
    if memory_config is None:
        memory_config = place
    elif isinstance(memory_config, MemoryConfig) and like.mesh is not None:
        memory_config = chosen(memory_config, tuple(result.shape[MESH_DIMS:]), layout, like.mesh)
    if layout is Layout.ROW_MAJOR and dtype is not None and is_block_float(dtype):
        raise RuntimeError(f"ttnn.{op}: Only TILE layout is supported for {dtype.name} dtype!")
    if output_tensor is not None:
        _check_output(op, output_tensor, layout, dtype)
    return write(
        op,
        result,
        like,
        dtype=dtype or kind,
        layout=layout,
        memory_config=memory_config,
        output_tensor=output_tensor,
    )


def _are_bfloat16(first: Tensor | float, second: Tensor | float, results: DataType | None) -> bool:
    kinds = [operand.dtype for operand in (first, second) if isinstance(operand, Tensor)]
    return kinds == [DataType.BFLOAT16] * 2 and results in {None, DataType.BFLOAT16}


def _operands(
    op: str,
    rule: Rule,
    first: Tensor | float,
    second: Tensor | float,
    read: Callable[[str, Tensor], torch.Tensor],
) -> tuple[Tensor, torch.Tensor | float, torch.Tensor | float, DataType, Layout, MemoryConfig]:
    """Return the tensor that the result is like, both operands' values, and the result's dtype, layout and place."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        left, right = read(op, first), read(op, second)
        check_same_device(op, first, second)
        kind = rule.of_tensors(op, first.dtype, second.dtype)
        tiled = first.layout is Layout.TILE or second.layout is Layout.TILE
        place = place_of(first, second)
        return first, *broadcast_pair(op, left, right), kind, Layout.TILE if tiled else Layout.ROW_MAJOR, place
    if isinstance(first, Tensor):
        number = _number(op, second)
        values = read(op, first)
        kind = rule.of_number(op, first.dtype, number)
        return first, values, _as(number, kind), kind, first.layout, first.memory_config()
    if not isinstance(second, Tensor) or not rule.reversible:
        found = f"{type(first).__name__} and {type(second).__name__}"
        what = "a number cannot stand first" if isinstance(second, Tensor) else "neither operand is a tensor"
        raise TypeError(f"ttnn.{op}: incompatible function arguments, {what}, got {found}")
    number = _number(op, first)
    values = read(op, second)
    kind = rule.of_number(op, second.dtype, number)
    return second, _as(number, kind), values, kind, second.layout, second.memory_config()


def place_of(first: Tensor, *others: Tensor) -> MemoryConfig:
    """Return where a result goes: where the first operand lies, but from DRAM to the first that is sharded."""
    place = first.memory_config()
    if place.buffer_type is not BufferType.DRAM or place.is_sharded():
        return place
    return next((other.memory_config() for other in others if other.is_sharded()), place)


def _as(number: float, dtype: DataType) -> float:
    """Return a number as the device packs it: cut to an integer where the result is one."""
    return number if is_floating(dtype) else int(number)


def _check_output(op: str, target: Tensor, layout: Layout, dtype: DataType | None) -> None:
    if dtype is not None and dtype is not target.dtype:
        raise RuntimeError(f"ttnn.{op}: output dtype {dtype.name} must match the output tensor's {target.dtype.name}")
    if layout is Layout.ROW_MAJOR:
        raise RuntimeError(f"ttnn.{op}: an output tensor beside operands in ROW_MAJOR layout is not supported")


def make(op: str, rule: Rule, function: Arithmetic) -> Callable[..., Tensor]:
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
        return run_pair(
            op,
            rule,
            function,
            input_tensor_a,
            input_tensor_b,
            dtype=dtype,
            memory_config=memory_config,
            output_tensor=output_tensor,
            activations=activations,
            first_activations=input_tensor_a_activations,
            second_activations=input_tensor_b_activations,
        )

    run.__name__ = run.__qualname__ = op
    run.__doc__ = f"Return {op} of two operands, one of which may be a number, in the dtype of the first tensor."
    return run


def make_in_place(op: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
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
