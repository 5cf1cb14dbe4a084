"""Give the values of a tensor another shape or order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import EllipsisType

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout, is_block_float
from ttemu.formats import load
from ttemu.frame import alias, check_same_device, pad_rank, stored, view, write
from ttemu.memory import TILE_SIZE, MemoryConfig
from ttemu.shapes import Shape
from ttemu.tensor import Tensor

__all__ = ["chunk", "concat", "getitem", "pad", "permute", "repeat", "repeat_interleave", "reshape", "slice", "split"]
__all__ += ["squeeze", "transpose", "unsqueeze", "unsqueeze_to_4D", "view_shape"]

Extents = Sequence[int] | Shape
FULL_RANK = 4


def dim_in(op: str, dim: int, rank: int) -> int:
    """Return ``dim`` counted from the front, refusing one outside a tensor of ``rank``."""
    if not -rank <= dim < rank:
        raise RuntimeError(f"ttnn.{op}: dim {dim} is out of range for a tensor of rank {rank}")
    return dim % rank


def _complete(shape: Sequence[int], volume: int) -> tuple[int, ...] | None:
    """Fill in a -1, or return None if the volumes differ."""
    if list(shape).count(-1) > 1:
        return None
    known = math.prod(extent for extent in shape if extent != -1)
    full = tuple((volume // known if known else 0) if extent == -1 else extent for extent in shape)
    return full if math.prod(full) == volume else None


def reshape(
    input_tensor: Tensor,
    shape: Extents,
    padded_shape: Extents | None = None,
    *,
    memory_config: MemoryConfig | None = None,
    pad_value: float | None = None,
) -> Tensor:
    """Return the values in ``shape`` (one -1 allowed), or in a logical and a padded shape."""
    del pad_value
    data = stored("reshape", input_tensor)
    if not isinstance(shape, (Sequence, Shape)):
        raise TypeError(f"ttnn.reshape: incompatible function arguments, shape {shape!r}")
    target = _complete(list(shape), input_tensor.volume())
    if target is not None:
        return _reshaped(input_tensor, data, target, padded_shape, memory_config)
    if padded_shape is not None:
        return _reshape_padded(input_tensor, data, tuple(shape), tuple(padded_shape), memory_config)
    raise RuntimeError(
        f"ttnn.reshape: Invalid arguments to reshape, {input_tensor.shape} has {input_tensor.volume()} elements "
        f"and does not fit {list(shape)}"
    )


def _reshaped(
    tensor: Tensor,
    data: torch.Tensor,
    target: tuple[int, ...],
    padded: Extents | None,
    memory_config: MemoryConfig | None,
) -> Tensor:
    torn = target[-1:] != tensor.extents[-1:]
    values = data.reshape(*data.shape[:MESH_DIMS], *target)
    result = view("reshape", values, tensor, requantise=torn, memory_config=memory_config)
    if padded is None:
        return result
    return with_padding(result, tuple(padded))


def with_padding(tensor: Tensor, padded: tuple[int, ...]) -> Tensor:
    """Return another handle whose padded shape is ``padded``."""
    return Tensor(tensor.buffer, tensor.dtype, tensor.layout, tensor.memory_config(), tensor.mesh, tensor.span, padded)


def _reshape_padded(
    tensor: Tensor,
    data: torch.Tensor,
    logical: tuple[int, ...],
    padded: tuple[int, ...],
    memory_config: MemoryConfig | None,
) -> Tensor:
    """Reinterpret the padded memory: zeros where the input has padding, cut to ``logical``."""
    if math.prod(padded) != tensor.physical_volume() or any(a > b for a, b in zip(logical, padded, strict=True)):
        raise RuntimeError(
            f"ttnn.reshape: Invalid arguments to reshape, {tensor.shape} padded to {tensor.padded_shape} does not fit "
            f"{list(logical)} padded to {list(padded)}"
        )
    whole = with_tile_padding(data, tensor).reshape(*data.shape[:MESH_DIMS], *padded)
    for dim, extent in enumerate(logical):
        whole = whole.narrow(dim + MESH_DIMS, 0, extent)
    result = view("reshape", whole, tensor, requantise=logical[-1:] != tensor.extents[-1:], memory_config=memory_config)
    return with_padding(result, padded)


def with_tile_padding(data: torch.Tensor, tensor: Tensor) -> torch.Tensor:
    """Return stored data with zeros up to the tensor's padded shape."""
    padded = tensor.padded
    data = pad_rank(data, len(padded) - len(tensor.extents))
    widths: list[int] = []
    for have, want in zip(reversed(data.shape[MESH_DIMS:]), reversed(padded), strict=True):
        widths += [0, want - have]
    return torch.nn.functional.pad(data, widths)


view_shape = reshape


def unsqueeze(input_tensor: Tensor, dim: int) -> Tensor:
    """Insert a dim of size 1."""
    rank = len(input_tensor.extents)
    at = dim_in("unsqueeze", dim, rank + 1)
    extents = list(input_tensor.extents)
    extents.insert(at, 1)
    return reshape(input_tensor, extents)


def squeeze(input_tensor: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Drop dims of size 1; a dim of another size stays."""
    rank = len(input_tensor.extents)
    wanted = range(rank) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {dim_in("squeeze", item, rank) for item in wanted if input_tensor.extents[item] == 1}
    return reshape(input_tensor, [extent for at, extent in enumerate(input_tensor.extents) if at not in gone])


def unsqueeze_to_4D(tensor: Tensor) -> Tensor:  # noqa: N802 - ttnn's own name
    """Put ones in front until the rank is 4."""
    rank = len(tensor.extents)
    if rank > FULL_RANK:
        raise RuntimeError(f"ttnn.unsqueeze_to_4D: tensor {tensor.shape} has rank {rank}, above 4")
    if rank == FULL_RANK:
        stored("unsqueeze_to_4D", tensor)
        return alias(tensor)
    return reshape(tensor, (1,) * (FULL_RANK - rank) + tensor.extents)


def permute(
    input_tensor: Tensor, dims: Sequence[int], *, memory_config: MemoryConfig | None = None, pad_value: float = 0.0
) -> Tensor:
    """Return the tensor with its dims in another order; the same order gives an alias."""
    del pad_value
    data = stored("permute", input_tensor)
    rank = len(input_tensor.extents)
    if len(dims) != rank:
        raise RuntimeError(f"ttnn.permute: {len(dims)} dims {list(dims)} for a tensor of rank {rank}")
    order = [dim_in("permute", dim, rank) for dim in dims]
    if len(set(order)) != rank:
        raise NotImplementedError(f"ttnn.permute: duplicate dims {list(dims)}; the real result is not defined")
    if order == list(range(rank)) and memory_config is None:
        return alias(input_tensor)
    moved = data.permute(0, 1, *(dim + MESH_DIMS for dim in order))
    return view("permute", moved, input_tensor, requantise=order[-1] != rank - 1, memory_config=memory_config)


def transpose(
    input_tensor: Tensor,
    dim1: int,
    dim2: int,
    *,
    memory_config: MemoryConfig | None = None,
    pad_value: float | None = None,
) -> Tensor:
    """Return the tensor with two dims swapped."""
    del pad_value
    data = stored("transpose", input_tensor)
    rank = len(input_tensor.extents)
    first, second = dim_in("transpose", dim1, rank), dim_in("transpose", dim2, rank)
    moved = data.transpose(first + MESH_DIMS, second + MESH_DIMS)
    torn = first != second and rank - 1 in {first, second}
    return view("transpose", moved, input_tensor, requantise=torn, memory_config=memory_config)


def repeat(tensor: Tensor, repeat_dims: Extents, *, memory_config: MemoryConfig | None = None) -> Tensor:
    """Return the tensor repeated along each dim; missing leading counts or dims are ones."""
    data = stored("repeat", tensor)
    counts = list(repeat_dims)
    rank = max(len(counts), len(tensor.extents))
    counts = [1] * (rank - len(counts)) + counts
    if all(count == 1 for count in counts) and rank == len(tensor.extents):
        return alias(tensor)
    data = pad_rank(data, rank - len(tensor.extents)).repeat(1, 1, *counts)
    return view("repeat", data, tensor, requantise=counts[-1] != 1, memory_config=memory_config)


def repeat_interleave(
    input_tensor: Tensor, repeats: int, dim: int, *, memory_config: MemoryConfig | None = None
) -> Tensor:
    """Return the tensor with each slice along ``dim`` repeated."""
    data = stored("repeat_interleave", input_tensor)
    at = dim_in("repeat_interleave", dim, len(input_tensor.extents))
    values = data.repeat_interleave(repeats, dim=at + MESH_DIMS)
    torn = at == len(input_tensor.extents) - 1
    return view("repeat_interleave", values, input_tensor, requantise=torn, memory_config=memory_config)


def concat(
    tensors: Sequence[Tensor], dim: int = 0, *, memory_config: MemoryConfig | None = None, groups: int = 1
) -> Tensor:
    """Return tensors of one dtype and layout one after the other along ``dim``."""
    if groups != 1:
        raise NotImplementedError("ttnn.concat with groups is not emulated")
    if not tensors:
        raise RuntimeError("ttnn.concat: expected a non-empty list of tensors")
    first = tensors[0]
    datas = [stored("concat", tensor) for tensor in tensors]
    at = dim_in("concat", dim, len(first.extents))
    _check_concat(tensors, at)
    if len(tensors) == 1:
        return alias(first)
    mesh = torch.broadcast_shapes(*(data.shape[:MESH_DIMS] for data in datas))
    values = torch.cat([data.expand(*mesh, *data.shape[MESH_DIMS:]) for data in datas], dim=at + MESH_DIMS)
    torn = at == len(first.extents) - 1
    return view("concat", values, first, requantise=torn, memory_config=memory_config)


def _check_concat(tensors: Sequence[Tensor], at: int) -> None:
    first = tensors[0]
    check_same_device("concat", *tensors)
    for other in tensors[1:]:
        if other.dtype is not first.dtype or other.layout is not first.layout:
            raise RuntimeError(f"ttnn.concat: all tensors must have the same dtype and layout, got {first} and {other}")
        rest = [list(item.extents[:at] + item.extents[at + 1 :]) for item in (first, other)]
        if len(first.extents) != len(other.extents) or rest[0] != rest[1]:
            raise RuntimeError(f"ttnn.concat: {first.shape} and {other.shape} must agree in every dim but {at}")


def split(
    input_tensor: Tensor, split_size: int | Sequence[int], dim: int = 0, *, memory_config: MemoryConfig | None = None
) -> list[Tensor]:
    """Cut a dim into pieces of ``split_size``, the last one shorter, or of listed sizes."""
    at = dim_in("split", dim, len(input_tensor.extents))
    total = input_tensor.extents[at]
    if isinstance(split_size, int):
        sizes = [min(split_size, total - start) for start in range(0, total, split_size)]
    else:
        sizes = list(split_size)
    if sum(sizes) != total:
        raise RuntimeError(f"ttnn.split: sizes {sizes} do not add up to {total} (dim {at} of {input_tensor.shape})")
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [
        _narrow("split", input_tensor, at, start, size, memory_config)
        for start, size in zip(starts, sizes, strict=True)
    ]


def chunk(
    input_tensor: Tensor, chunks: int, dim: int = 0, *, memory_config: MemoryConfig | None = None
) -> list[Tensor]:
    """Cut a dim into ``chunks`` pieces, the last one shorter."""
    at = dim_in("chunk", dim, len(input_tensor.extents))
    return split(input_tensor, -(-input_tensor.extents[at] // chunks), at, memory_config=memory_config)


def _narrow(op: str, tensor: Tensor, at: int, start: int, size: int, memory_config: MemoryConfig | None) -> Tensor:
    starts = [0] * len(tensor.extents)
    ends = list(tensor.extents)
    starts[at], ends[at] = start, start + size
    return _slice(op, tensor, starts, ends, [1] * len(starts), memory_config)


def slice(  # noqa: A001 - ttnn's own name
    input_tensor: Tensor,
    starts: Sequence[int] | None = None,
    ends: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
    *,
    slice_start: Sequence[int] | None = None,
    slice_end: Sequence[int] | None = None,
    slice_step: Sequence[int] | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return the part from ``starts`` up to ``ends``; ends may reach into the padding, not beyond it."""
    starts = slice_start if starts is None else starts
    ends = slice_end if ends is None else ends
    steps = slice_step if steps is None else steps
    if starts is None or ends is None:
        raise TypeError("ttnn.slice: incompatible function arguments, starts and ends are needed")
    stored("slice", input_tensor)
    rank = len(input_tensor.extents)
    if not rank == len(starts) == len(ends):
        raise RuntimeError(f"ttnn.slice: starts {list(starts)} and ends {list(ends)} do not match rank {rank}")
    extents = input_tensor.extents
    begins = [start + extent if start < 0 else start for start, extent in zip(starts, extents, strict=True)]
    stops = [end + extent if end < 0 else end for end, extent in zip(ends, extents, strict=True)]
    return _slice("slice", input_tensor, begins, stops, list(steps or [1] * rank), memory_config)


def _slice(
    op: str,
    tensor: Tensor,
    begins: list[int],
    ends: list[int],
    steps: list[int],
    memory_config: MemoryConfig | None,
) -> Tensor:
    data = tensor.data(f"ttnn.{op}")
    extents = tensor.extents
    if begins == [0] * len(extents) and tuple(ends) == extents and set(steps) <= {1}:
        return alias(tensor)
    padded = tensor.padded[-len(extents) :] if extents else ()
    for dim, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        if not 0 <= begin <= end or end > padded[dim] or step < 1:
            raise RuntimeError(
                f"ttnn.{op}: dim {dim} from {begin} to {end} step {step} leaves the padded shape {tensor.padded_shape}"
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
        return write(op, load(data), tensor, dtype=DataType.BFLOAT16, memory_config=memory_config)
    return view(op, data, tensor, requantise=True, memory_config=memory_config)


def getitem(input_tensor: Tensor, key: object) -> Tensor:
    """Return ``x[key]``: slices, integers (which drop their dim) and an ellipsis."""
    items = list(key) if isinstance(key, tuple) else [key]
    rank = len(input_tensor.extents)
    if Ellipsis in items:
        at = items.index(Ellipsis)
        items[at : at + 1] = [_ALL] * (rank - len(items) + 1)
    items += [_ALL] * (rank - len(items))
    if len(items) > rank:
        raise RuntimeError(f"Tensor.__getitem__: {len(items)} indices for a tensor of rank {rank}")
    bounds = [_bounds(item, extent) for item, extent in zip(items, input_tensor.extents, strict=True)]
    starts, ends, steps = ([bound[part] for bound in bounds] for part in range(3))
    part = _slice("slice", input_tensor, starts, ends, steps, None)
    dropped = [extent for item, extent in zip(items, part.extents, strict=True) if not isinstance(item, int)]
    return part if len(dropped) == rank else reshape(part, dropped)


_ALL: object = None


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
    padding: Sequence[tuple[int, int]] | None = None,
    value: float = 0.0,
    *,
    output_padded_shape: Extents | None = None,
    input_tensor_start: Extents | None = None,
    use_multicore: bool = False,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return the tensor with ``value`` around it; TILE tensors cannot be padded in front."""
    del use_multicore
    data = stored("pad", input_tensor)
    rank = len(input_tensor.extents)
    if padding is None:
        padding = _padding_to(input_tensor, output_padded_shape, input_tensor_start)
    pairs = [(0, 0)] * (rank - len(padding)) + [(pair[0], pair[1]) for pair in padding]
    if len(pairs) > rank or any(low < 0 or high < 0 for low, high in pairs):
        raise RuntimeError(f"ttnn.pad: padding {list(padding)} does not fit a tensor of rank {rank}")
    if input_tensor.layout is Layout.TILE and any(low for low, _ in pairs):
        raise RuntimeError(f"ttnn.pad: on device tile padding does not support front padding, got {list(padding)}")
    widths = [width for pair in reversed(pairs) for width in pair]
    padded = torch.nn.functional.pad(data, widths, value=value)
    return view("pad", padded, input_tensor, requantise=True, memory_config=memory_config)


def _padding_to(tensor: Tensor, target: Extents | None, start: Extents | None) -> list[tuple[int, int]]:
    if target is None:
        raise TypeError("ttnn.pad: incompatible function arguments, padding or output_padded_shape is needed")
    fronts = list(start) if start is not None else [0] * len(tensor.extents)
    return [
        (front, want - have - front) for front, want, have in zip(fronts, list(target), tensor.extents, strict=True)
    ]
