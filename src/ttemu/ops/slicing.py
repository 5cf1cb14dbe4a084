"""Cut a part out of a tensor, or surround it with a value."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout, is_block_float
from ttemu.formats import load
from ttemu.frame import alias, stored, view, write
from ttemu.memory import TILE_SIZE, MemoryConfig
from ttemu.ops.reshape import reshape
from ttemu.shapes import Shape
from ttemu.tensor import Tensor

__all__ = ["getitem", "pad", "slice", "take"]

Extents = Sequence[int] | Shape
_ALL: object = None


def slice(
    input_tensor: Tensor,
    slice_start: Sequence[int],
    slice_end: Sequence[int],
    slice_step: Sequence[int] | None = None,
    *,
    memory_config: MemoryConfig | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return the part from start up to end; an end may reach into the padding, not beyond it."""
    del sub_core_grids
    stored("slice", input_tensor)
    extents = input_tensor.extents
    if not len(extents) == len(slice_start) == len(slice_end):
        raise RuntimeError(
            f"ttnn.slice: start {list(slice_start)} and end {list(slice_end)} must have the same size as "
            f"the rank {len(extents)}"
        )
    begins = [start + extent if start < 0 else start for start, extent in zip(slice_start, extents, strict=True)]
    stops = [end + extent if end < 0 else end for end, extent in zip(slice_end, extents, strict=True)]
    return take("slice", input_tensor, begins, stops, list(slice_step or [1] * len(extents)), memory_config)


def take(
    op: str,
    tensor: Tensor,
    begins: list[int],
    ends: list[int],
    steps: list[int],
    memory_config: MemoryConfig | None,
) -> Tensor:
    """Return the part from ``begins`` up to ``ends``, counted from the front, in the name of ``op``."""
    data = tensor.data(f"ttnn.{op}")
    extents = tensor.extents
    if begins == [0] * len(extents) and tuple(ends) == extents and set(steps) <= {1}:
        return alias(tensor)
    padded = tensor.padded[-len(extents) :] if extents else ()
    for dim, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        if end > padded[dim]:
            raise RuntimeError(
                f"ttnn.{op}: Ends {end} must be less than or equal to the shape of the tensor {padded[dim]} (dim {dim})"
            )
        if not 0 <= begin <= end or step < 1:
            raise RuntimeError(
                f"ttnn.{op}: End {end} must be greater than or equal to start {begin} (dim {dim}, step {step})"
            )
    if any(end > extent for end, extent in zip(ends, extents, strict=True)):
        data = _with_zeros(data, ends)
    for dim, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        if (begin, end, step) != (0, data.shape[dim + MESH_DIMS], 1):
            index = torch.arange(begin, end, step) if step > 1 else None
            at = dim + MESH_DIMS
            data = data.narrow(at, begin, end - begin) if index is None else data.index_select(at, index)
    return _sliced(op, tensor, data, begins, memory_config)


def _with_zeros(data: torch.Tensor, ends: Sequence[int]) -> torch.Tensor:
    """Extend data to ``ends``: padding reads as zero."""
    widths: list[int] = []
    for have, end in zip(reversed(data.shape[MESH_DIMS:]), reversed(ends), strict=True):
        widths += [0, max(end - have, 0)]
    return torch.nn.functional.pad(data, widths)


def _sliced(
    op: str, tensor: Tensor, data: torch.Tensor, begins: list[int], memory_config: MemoryConfig | None
) -> Tensor:
    if is_block_float(tensor.dtype) and any(begin % TILE_SIZE for begin in begins[-2:]):
        if tensor.dtype is not DataType.BFLOAT8_B:
            raise RuntimeError(f"ttnn.{op}: {tensor.dtype.name} cannot start inside a tile, got start {begins}")
        return write(op, load(data), tensor, dtype=DataType.BFLOAT16, memory_config=memory_config)
    return view(op, data, tensor, requantise=True, memory_config=memory_config)


def getitem(input_tensor: Tensor, key: object) -> Tensor:
    """Return ``x[key]``: slices, integers (which drop their dim) and an ellipsis."""
    if key is None:
        raise TypeError("'NoneType' object is not iterable")
    items = list(key) if isinstance(key, tuple) else [key]
    rank = len(input_tensor.extents)
    if Ellipsis in items:
        at = items.index(Ellipsis)
        items[at : at + 1] = [_ALL] * (rank - len(items) + 1)
    items += [_ALL] * (rank - len(items))
    if len(items) > rank:
        raise IndexError(f"Too many indices for tensor of dimension {rank}")
    bounds = [_bounds(item, extent) for item, extent in zip(items, input_tensor.extents, strict=True)]
    starts, ends, steps = ([bound[part] for bound in bounds] for part in range(3))
    part = take("slice", input_tensor, starts, ends, steps, None)
    dropped = [extent for item, extent in zip(items, part.extents, strict=True) if not isinstance(item, int)]
    return part if len(dropped) == rank else reshape(part, dropped)


def _bounds(item: object, extent: int) -> tuple[int, int, int]:
    """Return start, end and step; unlike in Python an end beyond the extent is kept, to be refused."""
    if item is _ALL:
        return 0, extent, 1
    if isinstance(item, int):
        start = item + extent if item < 0 else item
        return start, start + 1, 1
    if isinstance(item, EllipsisType) or not hasattr(item, "indices"):
        raise TypeError(f"Tensor.__getitem__: incompatible index {item!r}")
    start, stop, step = (getattr(item, name) for name in ("start", "stop", "step"))
    first = 0 if start is None else start + extent if start < 0 else start
    last = extent if stop is None else stop + extent if stop < 0 else stop
    return first, last, 1 if step is None else step


def pad(
    input_tensor: Tensor,
    padding: Sequence[Sequence[int]] | Extents,
    *front_and_value: Sequence[int] | float,
    value: float | None = None,
    use_multicore: bool = False,
    memory_config: MemoryConfig | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return the tensor with ``value`` around it.

    Called as ``pad(x, [(low, high), ...], value)`` or as ``pad(x, padded_shape, start, value)``.
    """
    del use_multicore, sub_core_grids
    data = input_tensor.data("ttnn.pad")
    given = (*front_and_value, *([] if value is None else [value]))
    fill = given[-1] if given else None
    if len(given) not in {1, 2} or not isinstance(fill, (int, float)):
        raise TypeError(
            "ttnn.pad: incompatible function arguments, expected (x, padding, value) or (x, shape, start, value)"
        )
    pairs = _pairs(input_tensor, list(padding), given[0] if len(given) > 1 else None)
    rank = len(input_tensor.extents)
    pairs = [(0, 0)] * (rank - len(pairs)) + pairs
    if len(pairs) > rank:
        raise RuntimeError(f"ttnn.pad: padding {pairs} does not fit a tensor of rank {rank}")
    if input_tensor.layout is Layout.TILE and any(low for low, _ in pairs):
        raise RuntimeError(f"ttnn.pad: on device tile padding does not support front padding, got {pairs}")
    widths = [width for pair in reversed(pairs) for width in pair]
    if not any(widths):
        return alias(input_tensor)
    padded = torch.nn.functional.pad(data, widths, value=fill)
    return view("pad", padded, input_tensor, requantise=True, memory_config=memory_config)


def _pairs(tensor: Tensor, padding: list[object], start: object) -> list[tuple[int, int]]:
    """Return what goes before and after each dim."""
    if start is None:
        pairs = [tuple(pair) for pair in padding if isinstance(pair, Sequence)]
        found = [(pair[0], pair[1]) for pair in pairs]
    else:
        fronts = list(start) if isinstance(start, (Sequence, Shape)) else []
        ends = [size for size in padding if isinstance(size, int)]
        found = [(low, end - have - low) for low, end, have in zip(fronts, ends, tensor.extents, strict=True)]
    if len(found) != len(padding) or any(low < 0 or high < 0 for low, high in found):
        raise TypeError(f"ttnn.pad: incompatible function arguments, padding {padding!r}")
    return found
