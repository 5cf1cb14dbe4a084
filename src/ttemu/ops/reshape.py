"""Give the values of a tensor another shape or order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout, is_block_float
from ttemu.frame import alias, dim_in, held, pad_rank, stored, view
from ttemu.memory import TILE_SIZE, MemoryConfig
from ttemu.ops.place import to_memory_config
from ttemu.shapes import FULL_RANK, Shape
from ttemu.tensor import Tensor, padded_extents

__all__ = ["permute", "repeat", "repeat_interleave", "reshape", "squeeze", "transpose", "unsqueeze", "unsqueeze_to_4D"]

Extents = Sequence[int] | Shape
_NOT_RESHAPED = {DataType.UINT16, DataType.UINT8}


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
    if not isinstance(input_tensor, Tensor) or not isinstance(shape, (Sequence, Shape)):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, {input_tensor!r} and shape {shape!r}")
    wanted = tuple(shape)
    if wanted.count(-1) > 1:
        raise RuntimeError(f"ttnn.{op}: Shape cannot have more than 1 elements that is set to -1! Shape used: {wanted}")
    target = _complete(wanted, input_tensor.logical_volume())
    if target is None and padded_shape is None:
        raise RuntimeError(
            f"ttnn.{op}: Invalid arguments to reshape, {input_tensor.shape} has {input_tensor.logical_volume()} "
            f"elements, not those of {list(shape)}"
        )
    data = held(op, input_tensor)
    if target is None:
        data, target = _first_rows(input_tensor, data, wanted), wanted
    stays = memory_config is None or memory_config == input_tensor.memory_config()
    in_place = stays and _keeps_pages(input_tensor, target)
    _check_reshape(input_tensor, target, padded_shape, same_pages=in_place)
    torn = target[-1:] != input_tensor.extents[-1:]
    values = data.reshape(*data.shape[:MESH_DIMS], *target)
    if stays and padded_shape is None and target == input_tensor.extents == input_tensor.padded:
        return alias(input_tensor)
    return view(op, values, input_tensor, requantise=torn, in_place=in_place, memory_config=memory_config)


def _keeps_pages(tensor: Tensor, target: tuple[int, ...]) -> bool:
    """Say whether ``target`` has the same rows, or the same tiles, in the same order: ttnn then moves nothing."""
    rows, cols = ((1, 1, *tensor.extents))[-2:]
    new_rows, new_cols = ((1, 1, *target))[-2:]
    if cols != new_cols or tensor.layout is Layout.ROW_MAJOR:
        return cols == new_cols
    return rows == new_rows or rows % TILE_SIZE == new_rows % TILE_SIZE == 0


def _complete(shape: Sequence[int], volume: int) -> tuple[int, ...] | None:
    """Fill in a -1, or return None if the volumes differ."""
    known = math.prod(extent for extent in shape if extent != -1)
    full = tuple((volume // known if known else 0) if extent == -1 else extent for extent in shape)
    return full if math.prod(full) == volume else None


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


def _check_reshape(tensor: Tensor, target: tuple[int, ...], padded: Extents | None, *, same_pages: bool) -> None:
    if padded is not None and target == tensor.extents != tensor.padded:
        return  # ttnn hands such a tensor through, whatever the padded shape
    if padded is not None and math.prod(padded) > tensor.volume():
        raise RuntimeError(f"ttnn.reshape: MeshBuffer must be large enough to hold the tensor, padded {list(padded)}")
    if padded is not None and tuple(padded) != padded_extents(target, tensor.layout) and tensor.layout is Layout.TILE:
        raise NotImplementedError(
            f"ttnn.reshape: padded shape {list(padded)} of {list(target)} is not emulated, only the least tiles are"
        )
    if tensor.dtype in _NOT_RESHAPED and tensor.mesh is not None and not same_pages:
        raise RuntimeError(
            f"ttnn.reshape: Can only work with bfloat16/float32 or int32/uint32 tensors, got {tensor.dtype.name}"
        )


def unsqueeze(input_tensor: Tensor, dim: int) -> Tensor:
    """Insert a dim of size 1."""
    if not isinstance(input_tensor, Tensor):
        raise TypeError("ttnn.unsqueeze: incompatible function arguments, expected a ttnn.Tensor")
    rank = len(input_tensor.extents)
    at = dim_in("unsqueeze", dim, rank + 1)
    extents = list(input_tensor.extents)
    extents.insert(at, 1)
    return reshape(input_tensor, extents)


def squeeze(input_tensor: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Drop dims of size 1; a dim of another size stays."""
    held("squeeze", input_tensor)
    rank = len(input_tensor.extents)
    wanted = range(rank) if dim is None else [dim] if isinstance(dim, int) else dim
    listed = [dim_in("squeeze", item, rank) for item in wanted]
    named = set(listed)
    if len(named) != len(listed):
        raise RuntimeError(f"ttnn.squeeze: dims {listed} must be unique")
    gone = {item for item in named if input_tensor.extents[item] == 1}
    if not gone:
        return alias(input_tensor)
    return reshape(input_tensor, [extent for at, extent in enumerate(input_tensor.extents) if at not in gone])


def unsqueeze_to_4D(tensor: Tensor) -> Tensor:  # noqa: N802 - ttnn's own name
    """Put ones in front until the rank is 4."""
    held("unsqueeze_to_4D", tensor)
    rank = len(tensor.extents)
    if rank > FULL_RANK:
        raise RuntimeError(f"ttnn.unsqueeze_to_4D: tensor {tensor.shape} has rank {rank}, above 4")
    if rank == FULL_RANK:
        return alias(tensor)
    return reshape(tensor, (1,) * (FULL_RANK - rank) + tensor.extents)


def permute(
    input_tensor: Tensor, dims: Sequence[int], pad_value: float = 0.0, *, memory_config: MemoryConfig | None = None
) -> Tensor:
    """Return the tensor with its dims in another order; the same order gives an alias."""
    del pad_value
    if not isinstance(input_tensor, Tensor):
        raise TypeError("ttnn.permute: incompatible function arguments, expected a ttnn.Tensor")
    rank = len(input_tensor.extents)
    if len(dims) != rank:
        raise RuntimeError(f"ttnn.permute: {len(dims)} dims {list(dims)} for a tensor of rank {rank}")
    if input_tensor.mesh is None:
        raise RuntimeError(f"ttnn.permute: {input_tensor.shape} must be on device")
    order = [dim_in("permute", dim, rank) for dim in dims]
    if len(set(order)) != rank:
        raise NotImplementedError(f"ttnn.permute: duplicate dims {order} are not emulated, the real values are garbage")
    data = stored("permute", input_tensor)
    if order == list(range(rank)) and memory_config is None:
        return alias(input_tensor)
    moved = data.permute(0, 1, *(dim + MESH_DIMS for dim in order))
    return view("permute", moved, input_tensor, requantise=order[-1] != rank - 1, memory_config=memory_config)


def transpose(
    input_tensor: Tensor,
    dim1: int,
    dim2: int,
    pad_value: float | None = None,
    *,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return the tensor with two dims swapped; one dim with itself is nothing to do."""
    del pad_value
    if not isinstance(input_tensor, Tensor):
        raise TypeError("ttnn.transpose: incompatible function arguments, expected a ttnn.Tensor")
    rank = len(input_tensor.extents)
    first, second = dim_in("transpose", dim1, rank), dim_in("transpose", dim2, rank)
    if rank == 1:
        raise RuntimeError(f"ttnn.transpose: cannot convert shape rank of {input_tensor.shape} to rank 2")
    stays = memory_config is None or memory_config == input_tensor.memory_config() or input_tensor.mesh is None
    if first == second and stays and (input_tensor.mesh is not None or not is_block_float(input_tensor.dtype)):
        return alias(input_tensor)
    data = stored("transpose", input_tensor)
    moved = data.transpose(first + MESH_DIMS, second + MESH_DIMS)
    torn = first != second and rank - 1 in {first, second}
    return view("transpose", moved, input_tensor, requantise=torn, memory_config=memory_config)


def repeat(input_tensor: Tensor, repeat_dims: Extents, *, memory_config: MemoryConfig | None = None) -> Tensor:
    """Return the tensor repeated along each dim; missing leading counts or dims are ones."""
    tensor = input_tensor
    counts = list(repeat_dims)
    if any(count < 0 for count in counts):
        raise TypeError(f"ttnn.repeat: incompatible function arguments, counts {counts}")
    data = stored("repeat", tensor)
    rank = max(len(counts), len(tensor.extents))
    counts = [1] * (rank - len(counts)) + counts
    if all(count == 1 for count in counts) and rank == len(tensor.extents):
        return alias(tensor) if memory_config is None else to_memory_config(tensor, memory_config)
    if tensor.dtype is DataType.BFLOAT4_B and _leaves_tiles(tensor, counts):
        raise RuntimeError("ttnn.repeat: BFLOAT4_B cannot be repeated, it has no ROW_MAJOR layout")
    data = pad_rank(data, rank - len(tensor.extents)).repeat(1, 1, *counts)
    return view("repeat", data, tensor, requantise=counts[-1] != 1, memory_config=memory_config)


def _leaves_tiles(tensor: Tensor, counts: list[int]) -> bool:
    """Say whether the real library repeats row by row: matrices that end inside a tile, or rank 5."""
    if 0 in counts or all(count == 1 for count in counts):
        return False
    unaligned = tensor.extents != tensor.padded
    return unaligned and (max(counts[-2:]) > 1 or len(counts) > FULL_RANK)


def repeat_interleave(
    input_tensor: Tensor, repeats: int, dim: int, *, memory_config: MemoryConfig | None = None
) -> Tensor:
    """Return the tensor with each slice along ``dim`` repeated."""
    if repeats < 0:
        raise TypeError(f"ttnn.repeat_interleave: incompatible function arguments, {repeats} repeats")
    if repeats == 1:
        held("repeat_interleave", input_tensor)
        return alias(input_tensor) if memory_config is None else to_memory_config(input_tensor, memory_config)
    held("repeat_interleave", input_tensor)
    at = dim_in("repeat_interleave", dim, len(input_tensor.extents))
    if repeats == 0:
        raise RuntimeError("ttnn.repeat_interleave: expected a non-empty list of Tensors, got 0 repeats")
    data = stored("repeat_interleave", input_tensor)
    values = data.repeat_interleave(repeats, dim=at + MESH_DIMS)
    torn = at == len(input_tensor.extents) - 1
    return view("repeat_interleave", values, input_tensor, requantise=torn, memory_config=memory_config)
