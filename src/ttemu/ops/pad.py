"""Surround a tensor with a value."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu.dtypes import DataType, Layout
from ttemu.frame import alias, held, view
from ttemu.memory import MemoryConfig
from ttemu.shapes import FULL_RANK, Shape
from ttemu.tensor import Tensor, padded_extents

__all__ = ["pad"]

Extents = Sequence[int] | Shape
PAIR = 2
_NOT_PADDED = {DataType.BFLOAT4_B, DataType.UINT8}


def pad(
    input_tensor: Tensor,
    padding: Sequence[Sequence[int]] | Extents | None = None,
    *front_and_value: Sequence[int] | float,
    value: float | None = None,
    output_padded_shape: Extents | None = None,
    input_tensor_start: Sequence[int] | None = None,
    use_multicore: bool = False,
    memory_config: MemoryConfig | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return the tensor with ``value`` around it.

    Called as ``pad(x, [(low, high), ...], value)`` or, for a tensor of rank 4, as ``pad(x, shape, start, value)``.
    """
    del use_multicore, sub_core_grids
    if not isinstance(input_tensor, Tensor):
        raise TypeError("ttnn.pad: incompatible function arguments, expected a ttnn.Tensor")
    size = padding if output_padded_shape is None else output_padded_shape
    given = (*([] if input_tensor_start is None else [input_tensor_start]), *front_and_value)
    given = (*given, *([] if value is None else [value]))
    fill = given[-1] if given else None
    if size is None or len(given) not in {1, 2} or not isinstance(fill, (int, float)):
        raise TypeError(
            "ttnn.pad: incompatible function arguments, expected (x, padding, value) or (x, shape, start, value)"
        )
    pairs = _pairs(input_tensor, list(size), given[0] if len(given) > 1 else None)
    rank = len(input_tensor.extents)
    if len(pairs) > rank:
        raise RuntimeError(f"ttnn.pad: padding {pairs} is longer than the tensor rank {rank}")
    data = held("pad", input_tensor)
    pairs = [(0, 0)] * (rank - len(pairs)) + pairs
    if not any(high or low for low, high in pairs):
        return alias(input_tensor)
    target = tuple(low + have + high for (low, high), have in zip(pairs, input_tensor.extents, strict=True))
    in_place = input_tensor.layout is Layout.TILE and padded_extents(target, Layout.TILE) == input_tensor.padded
    _check_pad(input_tensor, pairs, target, in_place=in_place)
    if input_tensor.mesh is None and input_tensor.layout is Layout.TILE:
        return alias(input_tensor)  # as ttnn does
    padded = torch.nn.functional.pad(data, [width for pair in reversed(pairs) for width in pair], value=fill)
    return view("pad", padded, input_tensor, requantise=True, memory_config=None if in_place else memory_config)


def _check_pad(tensor: Tensor, pairs: list[tuple[int, int]], target: tuple[int, ...], *, in_place: bool) -> None:
    fronts = [low for low, _ in pairs]
    if tensor.mesh is None:
        outer = [dim for dim, pair in enumerate(pairs[:-3]) if any(pair)]
        if outer and len(pairs) > FULL_RANK:
            raise RuntimeError(f"ttnn.pad: a host tensor of rank above 4 is padded in its last 3 dims, got {pairs}")
    if tensor.layout is Layout.TILE and any(fronts):
        raise RuntimeError(f"ttnn.pad: on device tile padding does not support front padding, got {pairs}")
    if tensor.mesh is None:
        return
    if in_place:
        return
    if tensor.layout is Layout.TILE and len(pairs) == 1:
        raise RuntimeError(f"ttnn.pad: MeshBuffer must be large enough to hold the tensor, {tensor.shape} to {target}")
    if tensor.dtype in _NOT_PADDED:
        raise RuntimeError(f"ttnn.pad: cannot pad a tensor of dtype {tensor.dtype.name}")
    if any(high < 0 for _, high in pairs):
        raise RuntimeError(f"ttnn.pad: output size {target} does not fit the input {tensor.shape} with offset {fronts}")


def _pairs(tensor: Tensor, padding: list[object], start: object) -> list[tuple[int, int]]:
    """Return what goes before and after each dim; less than nothing where a shape is too small."""
    if start is None:
        found = [(pair[0], pair[1]) for pair in padding if isinstance(pair, Sequence) and len(pair) == PAIR]
        if len(found) != len(padding) or any(low < 0 or high < 0 for low, high in found):
            raise TypeError(f"ttnn.pad: incompatible function arguments, padding {padding!r}")
        return found
    fronts = list(start) if isinstance(start, (Sequence, Shape)) else []
    ends = [size for size in padding if isinstance(size, int)]
    if not len(fronts) == len(ends) == len(padding) == FULL_RANK or min(*fronts, *ends) < 0:
        raise TypeError(f"ttnn.pad: incompatible function arguments, shape {padding!r} from {start!r}")
    if len(tensor.extents) != FULL_RANK:
        raise RuntimeError(f"ttnn.pad: shape[] index out of range, {ends} for {tensor.shape}, which must be of rank 4")
    return [(low, end - have - low) for low, end, have in zip(fronts, ends, tensor.extents, strict=True)]
