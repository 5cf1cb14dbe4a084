"""Put tensors together and take them apart along one dim."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu.axes import MESH_DIMS, mesh_of
from ttemu.dtypes import DataType, is_block_float
from ttemu.formats import load
from ttemu.frame import alias, check_same_device, dim_in, stored, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig
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
    return take(op, tensor, starts, ends, [1] * len(starts), memory_config)
