"""Choose between values, element by element."""

from __future__ import annotations

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout, is_floating
from ttemu.frame import check_same_device, read, write
from ttemu.memory import MemoryConfig
from ttemu.ops.binary import REALS, WIDE, broadcast_pair, place_of
from ttemu.ops.eltwise import ge, le, maximum, minimum
from ttemu.ops.mapped import check_dtype, read_alive, write_mapped
from ttemu.shards import chosen
from ttemu.tensor import Tensor

__all__ = ["clamp", "clip", "where"]

_CLAMPED = frozenset({DataType.INT32})
_PAIRED = REALS | WIDE
_NUMBER = (int, float)


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
    items = (true_value, false_value)
    tensors = [item for item in items if isinstance(item, Tensor)]
    numbers = [item for item in items if isinstance(item, _NUMBER)]
    if len(tensors) + len(numbers) < len(items):
        kinds = " and ".join(type(item).__name__ for item in items)
        raise TypeError(f"ttnn.where: incompatible function arguments, got {kinds}")
    condition = read_alive("where", predicate)
    check_same_device("where", predicate, *tensors)
    dtype, layout = _taken(predicate, tensors, numbers)
    if not numbers and output_tensor is not None and output_tensor.layout is not Layout.TILE:
        raise RuntimeError("ttnn.where: output tensor must be in TILE layout, got ROW_MAJOR")
    place = tensors[0].memory_config() if len(tensors) == 1 else place_of(predicate, *tensors)
    result = _select(condition != 0, [read("where", item) if isinstance(item, Tensor) else item for item in items])
    if isinstance(memory_config, MemoryConfig) and predicate.mesh is not None:
        memory_config = chosen(memory_config, tuple(result.shape[MESH_DIMS:]), layout, predicate.mesh)
    return write(
        "where",
        result,
        predicate,
        dtype=dtype,
        layout=layout,
        memory_config=place if memory_config is None else memory_config,
        output_tensor=output_tensor,
    )


def _taken(predicate: Tensor, tensors: list[Tensor], numbers: list[float]) -> tuple[DataType, Layout]:
    """Return dtype and layout of a choice, which three different kernels make: between tensors, numbers or both."""
    if not tensors:
        check_dtype("where", predicate, WIDE | {DataType.UINT16})
        return predicate.dtype if is_floating(predicate.dtype) else DataType.FLOAT32, predicate.layout
    if numbers:
        _check_mixed(predicate, tensors[0], numbers[0])
        tiled = Layout.TILE in {predicate.layout, tensors[0].layout}
        return tensors[0].dtype, Layout.TILE if tiled else Layout.ROW_MAJOR
    if predicate.layout is not Layout.TILE:
        raise RuntimeError("ttnn.where: predicate must be in TILE layout, got ROW_MAJOR")
    return tensors[0].dtype, Layout.TILE


def _check_mixed(predicate: Tensor, tensor: Tensor, number: float) -> None:
    """Refuse dtypes that the choice between a tensor and a number does not take."""
    dtype = tensor.dtype
    if dtype not in _PAIRED:
        raise RuntimeError(f"ttnn.where: Input tensor dtype {dtype.name} is not supported beside a number")
    if dtype is not predicate.dtype and (dtype in WIDE or is_floating(predicate.dtype)):
        raise RuntimeError(
            f"ttnn.where: Mixed dtype is not supported, dtype A: {predicate.dtype.name}, dtype B: {dtype.name}"
        )
    lowest = 0 if dtype is DataType.UINT32 else number
    if dtype in WIDE and (not float(number).is_integer() or number < lowest):
        raise RuntimeError(f"ttnn.where: a tensor of dtype {dtype.name} cannot represent the number {number}")


def _select(condition: torch.Tensor, items: list[torch.Tensor | float]) -> torch.Tensor:
    tensors = [item for item in items if isinstance(item, torch.Tensor)]
    if any(item.shape != condition.shape for item in tensors):
        # Twice, as the rank that all must have is known after the last only.
        for _ in range(2):
            for index, item in enumerate(items):
                if isinstance(item, torch.Tensor):
                    condition, items[index] = broadcast_pair("where", condition, item)
    return torch.where(condition, items[0], items[1])


def clamp(
    input_tensor: Tensor,
    min: Tensor | float | None = None,
    max: Tensor | float | None = None,
    *,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Return every element no smaller than ``min`` and no larger than ``max``: two tensors or two numbers of a kind."""
    _check_bounds("clamp", input_tensor, min, max, memory_config, output_tensor)
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        return _between(input_tensor, min, max, memory_config, output_tensor)  # type: ignore[arg-type]  # checked
    if None not in {min, max} and isinstance(min, int) is not isinstance(max, int):
        raise RuntimeError(f"ttnn.clamp: wrong index for variant, {min!r} and {max!r} are not of one kind")
    whole = isinstance(max if min is None else min, int)
    return _bounded("clamp", input_tensor, min, max, whole, memory_config, output_tensor)


def clip(
    input_tensor: Tensor,
    min: Tensor | float | None = None,
    max: Tensor | float | None = None,
    *,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return ``clamp`` of the tensor, its bounds taken as fractions."""
    _check_bounds("clip", input_tensor, min, max, memory_config)
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        return _between(input_tensor, min, max, memory_config, None)  # type: ignore[arg-type]  # checked
    return _bounded("clip", input_tensor, min, max, False, memory_config, None)


def _check_bounds(op: str, tensor: object, low: object, high: object, *targets: object) -> None:
    if any(not isinstance(target, (MemoryConfig, Tensor, type(None))) for target in targets):
        raise TypeError(f"ttnn.{op}: incompatible function arguments {targets!r}")
    if not isinstance(tensor, Tensor):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, got {type(tensor).__name__}")
    if low is None and high is None:
        raise RuntimeError(f"ttnn.{op}: only one of 'min' or 'max' can be None, both are")
    kinds = [Tensor if isinstance(bound, Tensor) else float for bound in (low, high) if bound is not None]
    wrong = [bound for bound in (low, high) if bound is not None and not isinstance(bound, (Tensor, *_NUMBER))]
    if wrong or len(set(kinds)) > 1:
        raise TypeError(f"ttnn.{op}: incompatible function arguments, min {low!r} and max {high!r}")


def _bounded(
    op: str,
    tensor: Tensor,
    low: float | None,
    high: float | None,
    whole: bool,
    memory_config: MemoryConfig | None,
    output_tensor: Tensor | None,
) -> Tensor:
    values = read_alive(op, tensor)
    check_dtype(op, tensor, _CLAMPED)
    dtype = tensor.dtype if whole or is_floating(tensor.dtype) else DataType.FLOAT32
    result = torch.clamp(values, low, high)
    return write_mapped(op, result, tensor, dtype=dtype, memory_config=memory_config, output_tensor=output_tensor)


def _between(
    tensor: Tensor,
    low: Tensor | None,
    high: Tensor | None,
    memory_config: MemoryConfig | None,
    output_tensor: Tensor | None,
) -> Tensor:
    """Bound a tensor by others, composed of the same ops as in ttnn, whose refusals they share."""
    place = memory_config or tensor.memory_config()
    if low is None or high is None:
        kept, bound = (le, high) if low is None else (ge, low)
        assert bound is not None
        inside = kept(tensor, bound, memory_config=place)
        return where(inside, tensor, bound, memory_config=place, output_tensor=output_tensor)
    top = minimum(low, high, memory_config=place)
    return maximum(top, minimum(tensor, high), memory_config=place, output_tensor=output_tensor)
