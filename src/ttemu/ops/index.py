"""Look values up and put values at given places."""

from __future__ import annotations

import torch

from ttemu.axes import MESH_DIMS, mesh_of
from ttemu.dtypes import DataType, Layout, is_floating
from ttemu.formats import load
from ttemu.frame import check_same_device, dim_in, overwrite, read, stored, write
from ttemu.memory import MemoryConfig
from ttemu.tensor import Tensor

__all__ = ["embedding", "gather", "plus_one", "rows_of", "scatter"]


def rows_of(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return table[index] per device: table [r, c, n, ...], index [r, c, *i] -> [r, c, *i, ...]."""
    axes = [torch.arange(size) if size > 1 else torch.zeros(1, dtype=torch.long) for size in table.shape[:MESH_DIMS]]
    rank = index.dim() - MESH_DIMS
    row = axes[0].view(-1, 1, *(1,) * rank)
    col = axes[1].view(1, -1, *(1,) * rank)
    return table[row, col, index.long()]


def embedding(
    input_tensor: Tensor,
    weight: Tensor,
    *,
    padding_idx: int | None = None,
    layout: Layout | None = None,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return the rows of ``weight`` [..., V, H] that ``input_tensor`` [..., B, S] names, as [B, S, H]."""
    index = read("embedding", input_tensor)
    table = stored("embedding", weight)
    check_same_device("embedding", input_tensor, weight)
    if input_tensor.dtype not in {DataType.UINT32, DataType.BFLOAT16}:
        raise RuntimeError(f"ttnn.embedding: input must be UINT32 or BFLOAT16, got {input_tensor.dtype.name}")
    if weight.dtype not in {DataType.BFLOAT16, DataType.BFLOAT8_B}:
        raise RuntimeError(f"ttnn.embedding: weight must be BFLOAT16, got {weight.dtype.name}")
    if padding_idx is not None:
        raise NotImplementedError("ttnn.embedding with padding_idx is not emulated")
    height, width = weight.extents[-2:]
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < height:
        raise RuntimeError(f"ttnn.embedding: an index lies outside the {height} rows; the real library reads past them")
    flat = index if len(input_tensor.extents) == 1 else index.reshape(*index.shape[:MESH_DIMS], -1, index.shape[-1])
    rows = rows_of(table.reshape(*table.shape[:MESH_DIMS], height, width), flat)
    return write(
        "embedding",
        load(rows),
        weight,
        dtype=dtype or DataType.BFLOAT16,
        layout=layout or weight.layout,
        memory_config=memory_config or input_tensor.memory_config(),
    )


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    *,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return ``input`` with the values of ``src`` at ``index`` along ``dim``; bfloat8_b becomes bfloat16."""
    values, source = read("scatter", input), read("scatter", src)
    places = read("scatter", index)
    check_same_device("scatter", input, index, src)
    if is_floating(index.dtype):
        raise RuntimeError(f"ttnn.scatter: index must be of an integer dtype, got {index.dtype.name}")
    at = dim_in("scatter", dim, len(input.extents))
    limits = zip(index.extents, input.extents, src.extents, strict=True)
    for position, (wanted, have, given) in enumerate(limits):
        if wanted > given or (position != at and wanted > have):
            raise RuntimeError(
                f"ttnn.scatter: index {index.shape} must not be larger than {input.shape} or {src.shape}"
            )
    if src.dtype is DataType.FLOAT32 and src.layout is Layout.TILE:
        raise RuntimeError(
            "ttnn.scatter: Scatter doesn't work for fp32 tiled tensors yet, source tensor is FLOAT32 TILE"
        )
    mesh = mesh_of(values, source, places)
    whole, chosen, given_values = (item.expand(*mesh, *item.shape[MESH_DIMS:]) for item in (values, places, source))
    result = whole.scatter(at + MESH_DIMS, chosen.long(), given_values.to(values.dtype))
    dtype = DataType.BFLOAT16 if input.dtype is DataType.BFLOAT8_B else None
    return write("scatter", result, input, dtype=dtype, memory_config=memory_config)


def gather(
    input: Tensor,
    dim: int,
    index: Tensor,
    *,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return the values of ``input`` at ``index`` along ``dim``."""
    values, places = read("gather", input), read("gather", index)
    check_same_device("gather", input, index)
    if index.dtype not in {DataType.UINT32, DataType.UINT16}:
        raise RuntimeError(f"ttnn.gather: index tensor must be of type UINT32 or UINT16. Got: {index.dtype.name}")
    at = dim_in("gather", dim, len(input.extents)) + MESH_DIMS
    mesh = mesh_of(values, places)
    chosen = places.expand(*mesh, *places.shape[MESH_DIMS:]).long()
    result = values.expand(*mesh, *values.shape[MESH_DIMS:]).gather(at, chosen)
    return write("gather", result, input, memory_config=memory_config)


def plus_one(input_tensor: Tensor, *, sub_core_grids: object = None, skip_negative_entries: bool = False) -> Tensor:
    """Add 1 in place, leaving negative entries alone if asked to."""
    del sub_core_grids
    values = read("plus_one", input_tensor)
    if is_floating(input_tensor.dtype):
        raise RuntimeError(f"ttnn.plus_one: expected INT32 or UINT32, got {input_tensor.dtype.name}")
    step = (values >= 0).to(values.dtype) if skip_negative_entries else 1
    return overwrite("plus_one", values + step, input_tensor)
