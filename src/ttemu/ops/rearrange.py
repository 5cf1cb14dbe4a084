"""Give the values of a tensor another shape or order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import EllipsisType

import torch

from ttemu.axes import MESH_DIMS, mesh_of
from ttemu.dtypes import DataType, Layout, is_block_float
from ttemu.formats import load
from ttemu.frame import alias, check_same_device, pad_rank, stored, view, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig
from ttemu.shapes import Shape
from ttemu.tensor import Tensor

__all__ = ["chunk", "concat", "getitem", "pad", "permute", "repeat", "repeat_interleave", "reshape", "slice", "split"]
__all__ += ["squeeze", "transpose", "unsqueeze", "unsqueeze_to_4D"]

Extents = Sequence[int] | Shape
FULL_RANK = 4
_NOT_RESHAPED = {DataType.UINT16, DataType.UINT8}


def dim_in(op: str, dim: int, rank: int) -> int:
    """Return ``dim`` counted from the front, refusing one outside a tensor of ``rank``."""
    if not -rank <= dim < rank:
        raise RuntimeError(f"ttnn.{op}: dim {dim} is out of range for a tensor of rank {rank}")
    return dim % rank


def _complete(shape: Sequence[int], volume: int) -> tuple[int, ...] | None:
    """Fill in a -1, or return None if the volumes differ."""
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
    sub_core_grids: object = None,
) -> Tensor:
    """Return the values in ``shape`` (one -1 allowed); with a padded shape too, ``shape`` may be the first rows."""
    del pad_value, sub_core_grids
    op = "reshape"
    data = input_tensor.data(f"ttnn.{op}")
    if not isinstance(shape, (Sequence, Shape)):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, shape {shape!r}")
    wanted = tuple(shape)
    if wanted.count(-1) > 1:
        raise RuntimeError(f"ttnn.{op}: Shape cannot have more than 1 elements that is set to -1! Shape used: {wanted}")
    target = _complete(wanted, input_tensor.logical_volume())
    if target is None and padded_shape is not None:
        data, target = _first_rows(input_tensor, data, wanted), wanted
    if target is None:
        raise RuntimeError(
            f"ttnn.{op}: Invalid arguments to reshape, {input_tensor.shape} has {input_tensor.logical_volume()} "
            f"elements and does not fit {list(shape)}"
        )
    _check_reshape(input_tensor, target, padded_shape)
    torn = target[-1:] != input_tensor.extents[-1:]
    values = data.reshape(*data.shape[:MESH_DIMS], *target)
    return view(op, values, input_tensor, requantise=torn, memory_config=memory_config)


def _first_rows(tensor: Tensor, data: torch.Tensor, target: tuple[int, ...]) -> torch.Tensor:
    """Return the rows of a tensor that ``target`` [1, ..., rows, width] names, as ttnn's view of the same memory."""
    if math.prod(target[:-2]) != 1 or math.prod(tensor.extents[:-2]) != 1 or target[-1] != tensor.extents[-1]:
        raise RuntimeError(
            f"ttnn.reshape: Invalid arguments to reshape, {tensor.shape} to {list(target)} with a padded shape: "
            "only another number of rows is emulated"
        )
    rows = target[-2]
    if rows > tensor.padded[-2]:
        raise RuntimeError(
            f"ttnn.reshape: MeshBuffer must be large enough to hold the tensor, {tensor.shape} to {rows} rows"
        )
    missing = max(rows - tensor.extents[-2], 0)
    return torch.nn.functional.pad(data, (0, 0, 0, missing)).narrow(-2, 0, rows)


def _check_reshape(tensor: Tensor, target: tuple[int, ...], padded: Extents | None) -> None:
    if tensor.layout is Layout.ROW_MAJOR and padded is not None and math.prod(padded) > tensor.volume():
        raise RuntimeError(f"ttnn.reshape: MeshBuffer must be large enough to hold the tensor, padded {list(padded)}")
    moved = target[-2:] != tensor.extents[-2:]
    if tensor.layout is Layout.TILE and tensor.dtype in _NOT_RESHAPED and moved:
        raise RuntimeError(
            f"ttnn.reshape: Can only work with bfloat16/float32 or int32/uint32 tensors, got {tensor.dtype.name}"
        )


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
    named = {dim_in("squeeze", item, rank) for item in wanted}
    gone = {item for item in named if input_tensor.extents[item] == 1}
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


def repeat(input_tensor: Tensor, repeat_dims: Extents, *, memory_config: MemoryConfig | None = None) -> Tensor:
    """Return the tensor repeated along each dim; missing leading counts or dims are ones."""
    tensor = input_tensor
    data = stored("repeat", tensor)
    counts = list(repeat_dims)
    rank = max(len(counts), len(tensor.extents))
    counts = [1] * (rank - len(counts)) + counts
    if all(count == 1 for count in counts) and rank == len(tensor.extents):
        return alias(tensor)
    if tensor.dtype is DataType.BFLOAT4_B:
        raise RuntimeError("ttnn.repeat: BFLOAT4_B cannot be repeated, it has no ROW_MAJOR layout")
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
    tensors: Sequence[Tensor],
    dim: int = 0,
    *,
    memory_config: MemoryConfig | None = None,
    groups: int = 1,
    sub_core_grids: object = None,
) -> Tensor:
    """Return tensors of one layout one after the other along ``dim``, in DRAM unless told otherwise."""
    del sub_core_grids
    if groups != 1:
        raise NotImplementedError("ttnn.concat with groups is not emulated")
    if not tensors:
        raise RuntimeError("ttnn.concat: expected a non-empty list of Tensors!")
    first = tensors[0]
    datas = [stored("concat", tensor) for tensor in tensors]
    at = dim_in("concat", dim, len(first.extents))
    _check_concat(tensors, at)
    if len(tensors) == 1:
        return alias(first)
    dtype = _concat_dtype(tensors, at)
    mesh = mesh_of(*datas)
    values = torch.cat([data.expand(*mesh, *data.shape[MESH_DIMS:]) for data in datas], dim=at + MESH_DIMS)
    return write("concat", load(values), first, dtype=dtype, memory_config=memory_config or DRAM_MEMORY_CONFIG)


def _concat_dtype(tensors: Sequence[Tensor], at: int) -> DataType:
    """Return the dtype of a concatenation: block floats survive only where every piece ends on a tile."""
    dtypes = {tensor.dtype for tensor in tensors}
    aligned = at < len(tensors[0].extents) - 2 or all(tensor.extents[at] % TILE_SIZE == 0 for tensor in tensors)
    if len(dtypes) == 1 and (aligned or not is_block_float(tensors[0].dtype)):
        return tensors[0].dtype
    if dtypes <= {DataType.BFLOAT16, DataType.BFLOAT8_B}:
        return DataType.BFLOAT16
    names = sorted(dtype.name for dtype in dtypes)
    raise RuntimeError(f"ttnn.concat: {', '.join(names)} cannot be concatenated along unaligned dim {at} or mixed")


def _check_concat(tensors: Sequence[Tensor], at: int) -> None:
    first = tensors[0]
    check_same_device("concat", *tensors)
    for other in tensors[1:]:
        if other.layout is not first.layout:
            raise RuntimeError(f"ttnn.concat: expected all input tensors to be in one layout, got {first} and {other}")
        rest = [list(item.extents[:at] + item.extents[at + 1 :]) for item in (first, other)]
        if len(first.extents) != len(other.extents) or rest[0] != rest[1]:
            raise RuntimeError(
                "ttnn.concat: All dimensions must be the same size except for the dimension along which the "
                f"concatenation is taking place, got {first.shape} and {other.shape} along {at}"
            )


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


def chunk(input_tensor: Tensor, chunks: int, dim: int) -> list[Tensor]:
    """Cut a dim into ``chunks`` pieces, the last one shorter."""
    at = dim_in("chunk", dim, len(input_tensor.extents))
    return split(input_tensor, -(-input_tensor.extents[at] // chunks), at)


def _narrow(op: str, tensor: Tensor, at: int, start: int, size: int, memory_config: MemoryConfig | None) -> Tensor:
    starts = [0] * len(tensor.extents)
    ends = list(tensor.extents)
    starts[at], ends[at] = start, start + size
    return _slice(op, tensor, starts, ends, [1] * len(starts), memory_config)


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
    return _slice("slice", input_tensor, begins, stops, list(slice_step or [1] * len(extents)), memory_config)


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
