"""Cut a part out of a tensor."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Sequence
from types import EllipsisType

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout, is_block_float
from ttemu.formats import load
from ttemu.frame import alias, held, overwrite, stored, view, write
from ttemu.memory import TILE_SIZE, MemoryConfig
from ttemu.ops.place import to_memory_config
from ttemu.ops.reshape import reshape
from ttemu.shapes import Shape
from ttemu.tensor import Tensor

__all__ = ["getitem", "slice", "take"]

Extents = Sequence[int] | Shape
_ALL = builtins.slice(None)


def _one_naming(
    named: Sequence[Sequence[int] | None], alternative: Sequence[Sequence[int] | None]
) -> list[Sequence[int]]:
    """Return start, end and step, given under slice_start and so on, or all three under starts and so on."""
    if all(item is None for item in named) and None not in alternative:
        named, alternative = alternative, (None,)
    start, end, step = named
    if start is None or end is None or any(item is not None for item in alternative):
        raise TypeError(
            "ttnn.slice(): incompatible function arguments; give slice_start and slice_end, or starts, ends and steps"
        )
    return [start, end, [1] * len(start) if step is None else step]


def slice(
    input_tensor: Tensor,
    slice_start: Sequence[int] | None = None,
    slice_end: Sequence[int] | None = None,
    slice_step: Sequence[int] | None = None,
    *,
    starts: Sequence[int] | None = None,
    ends: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    pad_value: float | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return the part from start up to end; an end may reach into the padding of tiles, not beyond it.

    Also called with ``starts``, ``ends`` and ``steps`` of four dims, none of them negative.
    """
    del sub_core_grids, pad_value
    held("slice", input_tensor)
    if steps is not None:
        slice_start, slice_end, slice_step = _rank_4(starts, ends, steps)
    if slice_start is None or slice_end is None:
        raise TypeError("ttnn.slice: incompatible function arguments, start and end are needed")
    part = _cut(input_tensor, slice_start, slice_end, slice_step, memory_config)
    if output_tensor is None:
        return part
    return overwrite("slice", load(stored("slice", part)), output_tensor)


def _rank_4(*bounds: Sequence[int] | None) -> list[list[int]]:
    listed = [list(bound) for bound in bounds if bound is not None]
    if [len(bound) for bound in listed] != [4, 4, 4] or any(item < 0 for bound in listed for item in bound):
        raise TypeError("ttnn.slice: incompatible function arguments, starts, ends and steps are four whole numbers")
    return listed


def _cut(
    tensor: Tensor,
    start: Sequence[int],
    end: Sequence[int],
    step: Sequence[int] | None,
    memory_config: MemoryConfig | None,
) -> Tensor:
    extents = tensor.extents
    steps = [1] * len(start) if step is None else list(step)
    if not len(extents) == len(start) == len(end) == len(steps):
        raise RuntimeError(
            f"ttnn.slice: start {list(start)}, end {list(end)} and step {steps} must have the same size as "
            f"the rank {len(extents)}"
        )
    begins = [item + extent if item < 0 else item for item, extent in zip(start, extents, strict=True)]
    stops = [item + extent if item < 0 else item for item, extent in zip(end, extents, strict=True)]
    return take("slice", tensor, begins, stops, steps, memory_config)


def take(
    op: str,
    tensor: Tensor,
    begins: list[int],
    ends: list[int],
    steps: list[int],
    memory_config: MemoryConfig | None,
) -> Tensor:
    """Return the part from ``begins`` up to ``ends``, counted from the front, in the name of ``op``."""
    extents = tensor.extents
    if begins == [0] * len(extents) and tuple(ends) == extents and set(steps) <= {1}:
        # The whole tensor is handed through, even one on host.
        return alias(tensor) if memory_config is None else to_memory_config(tensor, memory_config)
    if 0 in steps or (tensor.mesh is not None and not tensor.is_allocated()):
        raise RuntimeError(
            f"ttnn.{op}: step 0 or a tensor that is not allocated, the real library crashes here, got {steps}"
        )
    through_rows = _goes_through_rows(tensor, begins, steps)
    dtype = _row_dtype(op, tensor, steps) if through_rows else tensor.dtype
    _check_order(op, begins, ends)
    if through_rows and tensor.mesh is None and is_block_float(tensor.dtype) and tensor.extents != tensor.padded:
        raise RuntimeError(f"ttnn.{op}: a host {tensor.dtype.name} tensor must be in ROW_MAJOR layout for unpadding")
    data = stored(op, tensor)
    if any(begin == end for begin, end in zip(begins, ends, strict=True)):
        dtype = tensor.dtype  # nothing is read of an empty part
    else:
        _check_ends(op, ends, extents if through_rows else tensor.padded)
    values = _strided(_with_zeros(data, ends), begins, ends, steps)
    if dtype is tensor.dtype:
        return view(op, values, tensor, requantise=True, memory_config=memory_config)
    return write(op, load(values), tensor, dtype=dtype, memory_config=memory_config)


def _goes_through_rows(tensor: Tensor, begins: list[int], steps: list[int]) -> bool:
    """Say whether the real library slices tiles row by row: a vector, strides, or a start inside a tile."""
    if tensor.layout is Layout.ROW_MAJOR:
        return False
    return len(begins) == 1 or any(step != 1 for step in steps) or any(begin % TILE_SIZE for begin in begins[-2:])


def _row_dtype(op: str, tensor: Tensor, steps: list[int]) -> DataType:
    if not is_block_float(tensor.dtype):
        return tensor.dtype
    if tensor.dtype is not DataType.BFLOAT8_B:
        raise RuntimeError(f"ttnn.{op}: {tensor.dtype.name} cannot start inside a tile, nor be sliced with steps")
    if any(step != 1 for step in steps):
        raise RuntimeError(f"ttnn.{op}: strided slice is not supported for dtype BFLOAT8_B, got steps {steps}")
    return DataType.BFLOAT16


def _check_order(op: str, begins: list[int], ends: list[int]) -> None:
    for dim, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        if begin < 0 or 0 <= end < begin:
            raise RuntimeError(f"ttnn.{op}: End {end} must be greater than or equal to start {begin} (dim {dim})")


def _check_ends(op: str, ends: list[int], limits: tuple[int, ...]) -> None:
    if min(ends, default=0) < 0:
        raise RuntimeError(f"ttnn.{op}: Out of Memory: a negative end counts as a huge one, got {ends}")
    for dim, (end, limit) in enumerate(zip(ends, limits[len(limits) - len(ends) :], strict=True)):
        if end > limit:
            raise RuntimeError(
                f"ttnn.{op}: Ends {end} must be less than or equal to the shape of the tensor {limit} (dim {dim})"
            )


def _strided(data: torch.Tensor, begins: list[int], ends: list[int], steps: list[int]) -> torch.Tensor:
    """Return data[begin:end:step] in each dim; a negative step leaves nothing."""
    for dim, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        at = dim + MESH_DIMS
        if step > 1:
            data = data.index_select(at, torch.arange(begin, end, step))
        elif step < 0:
            data = data.narrow(at, 0, 0)
        elif (begin, end) != (0, data.shape[at]):
            data = data.narrow(at, begin, end - begin)
    return data


def _with_zeros(data: torch.Tensor, ends: Sequence[int]) -> torch.Tensor:
    """Extend data to ``ends`` where they lie beyond it: padding reads as zero."""
    if all(end <= have for have, end in zip(data.shape[MESH_DIMS:], ends, strict=True)):
        return data
    widths: list[int] = []
    for have, end in zip(reversed(data.shape[MESH_DIMS:]), reversed(ends), strict=True):
        widths += [0, max(end - have, 0)]
    return torch.nn.functional.pad(data, widths)


def getitem(input_tensor: Tensor, key: object) -> Tensor:
    """Return ``x[key]``: slices, integers (which drop their dim) and an ellipsis."""
    extents = input_tensor.extents
    bounds = [_bounds(at, item, extents[at]) for at, item in enumerate(_items(key, len(extents)))]
    starts, ends, steps = ([bound[part] for bound in bounds] for part in range(3))
    part = _cut(input_tensor, starts, ends, steps, None) if input_tensor.mesh else _cut_on_host(input_tensor, bounds)
    single = {at for at, item in enumerate(_items(key, len(extents))) if isinstance(item, int)}
    left = [extent for at, extent in enumerate(part.extents) if at not in single]
    return reshape(part, left) if single else part


def _items(key: object, rank: int) -> list[object]:
    """Return one index per dim."""
    if not isinstance(key, (int, builtins.slice, EllipsisType, Iterable)):
        raise TypeError(f"{type(key).__name__!r} object is not iterable")
    items = list(key) if isinstance(key, Iterable) else [key]
    dots = [at for at, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise ValueError("Only one ellipsis ('...') is allowed in a slice.")
    if dots:
        items[dots[0] : dots[0] + 1] = [_ALL] * (rank - len(items) + 1)
    items += [_ALL] * (rank - len(items))
    if len(items) > rank:
        raise IndexError(f"Too many indices for tensor of dimension {rank}")
    return items


def _bounds(at: int, item: object, extent: int) -> tuple[int, int, int]:
    """Return start, end and step; unlike in Python an end beyond the extent is kept, to be refused."""
    if isinstance(item, int):
        start = item + extent if item < 0 else int(item)
        if not 0 <= start < extent:
            raise IndexError(f"Index {item} is out of bounds for dimension {at} of size {extent}")
        return start, start + 1, 1
    if not isinstance(item, builtins.slice):
        raise TypeError(f"Invalid slice type: {item!r}")
    last = extent if item.stop is None else item.stop
    return item.start or 0, last, 1 if item.step is None else item.step


def _cut_on_host(tensor: Tensor, bounds: list[tuple[int, int, int]]) -> Tensor:
    data = held("Tensor.__getitem__", tensor)
    if any(step != 1 for _, _, step in bounds):
        raise RuntimeError("Host tensors cannot be accessed with non-unit stride")
    starts, ends = ([bound[part] for bound in bounds] for part in range(2))
    if tensor.extents != tensor.padded and is_block_float(tensor.dtype):
        raise RuntimeError(f"Tensor.__getitem__: {tensor.dtype.name} must be in ROW_MAJOR layout for unpadding")
    if min(starts + ends, default=0) < 0:
        raise TypeError(f"Tensor.__getitem__: incompatible function arguments, a host tensor from {starts} to {ends}")
    if is_block_float(tensor.dtype):
        raise RuntimeError(f"Tensor.__getitem__: {tensor.dtype.name} must be in ROW_MAJOR layout for unpadding")
    _check_order("Tensor.__getitem__", starts, ends)
    _check_ends("Tensor.__getitem__", ends, tensor.extents)
    return view("Tensor.__getitem__", _strided(data, starts, ends, [1] * len(starts)), tensor)
