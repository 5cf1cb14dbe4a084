"""Put tensors together and take them apart along one dim."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu.axes import MESH_DIMS, mesh_of
from ttemu.dtypes import DataType, Layout, is_block_float
from ttemu.formats import load
from ttemu.frame import alias, check_same_device, dim_in, held, stored, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig
from ttemu.ops.place import to_memory_config
from ttemu.ops.slicing import take
from ttemu.tensor import Tensor

__all__ = ["chunk", "concat", "split"]


def concat(
    tensors: Sequence[Tensor],
    dim: int = 0,
    *,
    memory_config: MemoryConfig | None = None,
    groups: int = 1,
    sub_core_grids: object = None,
) -> Tensor:
    """Return tensors one after the other along ``dim``, in DRAM unless told otherwise, in rows if one of them is."""
    del sub_core_grids
    if not tensors:
        raise RuntimeError("ttnn.concat: expected a non-empty list of Tensors!")
    first = tensors[0]
    if len(tensors) == 1:
        return to_memory_config(first, memory_config or DRAM_MEMORY_CONFIG)
    datas = [_part(tensor, is_first=number == 0) for number, tensor in enumerate(tensors)]
    at = dim_in("concat", dim, len(first.extents))
    dtype, layout = _check_concat(tensors, at)
    if groups > 1:
        raise NotImplementedError(
            "ttnn.concat with groups is not emulated: only the real kernel for height sharded pairs heeds them"
        )
    mesh = mesh_of(*datas)
    values = torch.cat([data.expand(*mesh, *data.shape[MESH_DIMS:]) for data in datas], dim=at + MESH_DIMS)
    place = memory_config or DRAM_MEMORY_CONFIG
    return write("concat", load(values), first, dtype=dtype, layout=layout, memory_config=place)


def _part(tensor: Tensor, *, is_first: bool) -> torch.Tensor:
    """Return what a tensor holds, refusing what the real library reads without a look."""
    if isinstance(tensor, Tensor) and (tensor.mesh is None or (is_first and not tensor.is_allocated())):
        raise RuntimeError(f"ttnn.concat: {tensor.shape} is not on device, the real library crashes here")
    return stored("concat", tensor)


def _is_aligned(tensors: Sequence[Tensor], at: int) -> bool:
    """Say whether every piece of a matrix ends on a tile along the dim."""
    if len(tensors[0].extents) == 1:
        return False
    return at < len(tensors[0].extents) - 2 or all(tensor.extents[at] % TILE_SIZE == 0 for tensor in tensors)


def _check_concat(tensors: Sequence[Tensor], at: int) -> tuple[DataType, Layout]:
    """Return dtype and layout of a concatenation, refusing pieces that do not go together."""
    first = tensors[0]
    check_same_device("concat", *tensors)
    for other in tensors[1:]:
        rest = [list(item.extents[:at] + item.extents[at + 1 :]) for item in (first, other)]
        if len(first.extents) != len(other.extents) or rest[0] != rest[1]:
            raise RuntimeError(
                "ttnn.concat: All dimensions must be the same size except for the dimension along which the "
                f"concatenation is taking place, got {first.shape} and {other.shape} along {at}"
            )
    aligned = _is_aligned(tensors, at)
    if all(tensor.layout is first.layout for tensor in tensors):
        return _one_dtype(tensors, at, in_rows=not aligned), first.layout
    if not aligned:
        raise RuntimeError("ttnn.concat: expected all input tensors to be in one layout where pieces end inside a tile")
    return _one_dtype(tensors, at, in_rows=True, mixed=True), Layout.ROW_MAJOR


def _one_dtype(tensors: Sequence[Tensor], at: int, *, in_rows: bool, mixed: bool = False) -> DataType:
    """Return the dtype that all pieces have; what goes through rows is bfloat16 in place of bfloat8_b."""
    if in_rows and any(tensor.dtype is DataType.BFLOAT4_B for tensor in tensors):
        raise RuntimeError(f"ttnn.concat: BFLOAT4_B cannot be in ROW_MAJOR layout, which dim {at} needs here")
    dtypes = {tensor.dtype for tensor in tensors}
    # Along the last dim the dtypes are compared before anything goes into rows.
    if in_rows and (mixed or len(dtypes) == 1 or at == len(tensors[0].extents) - 2):
        dtypes = {DataType.BFLOAT16 if is_block_float(dtype) else dtype for dtype in dtypes}
    if len(dtypes) > 1:
        names = sorted(dtype.name for dtype in dtypes)
        raise RuntimeError(f"ttnn.concat: all tensors must have one dtype, got {', '.join(names)}")
    return dtypes.pop()


def split(
    input_tensor: Tensor, split_size: int | Sequence[int], dim: int = 0, *, memory_config: MemoryConfig | None = None
) -> list[Tensor]:
    """Cut a dim into pieces of ``split_size``, the last one shorter, or of listed sizes."""
    held("split", input_tensor)
    if not isinstance(split_size, (int, Sequence)):
        raise TypeError(f"ttnn.split: incompatible function arguments, size {split_size!r}")
    at = dim_in("split", dim, len(input_tensor.extents))
    total = input_tensor.extents[at]
    listed = [split_size] if isinstance(split_size, int) else list(split_size)
    if not listed:
        raise RuntimeError("ttnn.split: sizes must not be empty")
    if any(size <= 0 for size in listed):
        raise RuntimeError(f"ttnn.split: sizes {listed} must be greater than 0")
    if isinstance(split_size, int):
        sizes = [min(split_size, total - start) for start in range(0, total, split_size)]
    else:
        sizes = listed
    if sum(sizes) != total:
        raise RuntimeError(f"ttnn.split: sizes {sizes} do not add up to {total} (dim {at} of {input_tensor.shape})")
    if input_tensor.mesh is None:
        raise RuntimeError("ttnn.split: the tensor is on host, the real library crashes here")
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [
        _narrow("split", input_tensor, at, start, size, memory_config)
        for start, size in zip(starts, sizes, strict=True)
    ]


def chunk(input_tensor: Tensor, chunks: int, dim: int) -> list[Tensor]:
    """Cut a dim into ``chunks`` pieces, the last one shorter."""
    if chunks < 0:
        raise TypeError(f"ttnn.chunk: incompatible function arguments, {chunks} chunks")
    held("chunk", input_tensor)
    if chunks == 0:
        raise RuntimeError("ttnn.chunk: number of chunks must be greater than 0")
    at = dim_in("chunk", dim, len(input_tensor.extents))
    size = -(-input_tensor.extents[at] // chunks)
    if size == input_tensor.extents[at]:
        return [alias(input_tensor)]
    stored("chunk", input_tensor)
    return split(input_tensor, size, at)


def _narrow(op: str, tensor: Tensor, at: int, start: int, size: int, memory_config: MemoryConfig | None) -> Tensor:
    starts = [0] * len(tensor.extents)
    ends = list(tensor.extents)
    starts[at], ends[at] = start, start + size
    return take(op, tensor, starts, ends, [1] * len(starts), memory_config)
