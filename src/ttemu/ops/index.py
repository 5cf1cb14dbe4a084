"""Look values up and put values at given places."""

from __future__ import annotations

import math

import torch

from ttemu.axes import MESH_DIMS, mesh_of
from ttemu.dtypes import DataType, Layout, is_floating
from ttemu.formats import load
from ttemu.frame import check_same_device, dim_in, held, need_layout, overwrite, read, stored, write
from ttemu.memory import TILE_SIZE, MemoryConfig
from ttemu.tensor import Tensor

__all__ = ["embedding", "gather", "plus_one", "rows_of", "scatter"]


MAX_RANK = 4
_REDUCTIONS = {"add": "sum", "multiply": "prod"}


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
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Return the rows of ``weight`` [..., V, H] that ``input_tensor`` [B, ..., S] names, as [B, S, H].

    Of dims between B and S only the first B rows are looked up, as in ttnn. ``padding_idx`` changes no value: only the
    PADDED kind of ttnn's embeddings heeds it.
    """
    del padding_idx
    index = read("embedding", input_tensor)
    table = stored("embedding", weight)
    check_same_device("embedding", input_tensor, weight)
    if input_tensor.dtype not in {DataType.UINT32, DataType.BFLOAT16}:
        raise RuntimeError(f"ttnn.embedding: input must be UINT32 or BFLOAT16, got {input_tensor.dtype.name}")
    height, width = ((1, 1, *weight.extents))[-2:]
    kept, place = _embedded(input_tensor, weight, layout, dtype)
    if weight.dtype not in {DataType.BFLOAT16, DataType.BFLOAT8_B}:
        raise RuntimeError(f"ttnn.embedding: weight must be BFLOAT16, got {weight.dtype.name}")
    if math.prod(weight.extents[:-2]) != 1:
        raise RuntimeError(f"ttnn.embedding: dims of the weight before the last two must be 1 but got {weight.shape}")
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < height:
        raise RuntimeError(f"ttnn.embedding: an index lies outside the {height} rows; the real library reads past them")
    flat = index if len(input_tensor.extents) == 1 else _first_rows(index)
    rows = rows_of(table.reshape(*table.shape[:MESH_DIMS], height, width), flat)
    return write(
        "embedding",
        load(rows),
        weight,
        dtype=kept,
        layout=place,
        memory_config=memory_config or input_tensor.memory_config(),
        output_tensor=output_tensor,
    )


def _first_rows(index: torch.Tensor) -> torch.Tensor:
    """Return the first B rows of index [r, c, B, ..., S]."""
    rows = index.reshape(*index.shape[:MESH_DIMS], -1, index.shape[-1])
    return rows[:, :, : index.shape[MESH_DIMS]]


def _embedded(index: Tensor, weight: Tensor, layout: Layout | None, dtype: DataType | None) -> tuple[DataType, Layout]:
    """Return dtype and layout of an embedding; rows stay in bfloat16."""
    place = layout or weight.layout
    if place is Layout.TILE:
        return dtype or DataType.BFLOAT16, place
    aligned = index.extents[-1] % TILE_SIZE == weight.extents[-1] % TILE_SIZE == 0
    if dtype not in {None, DataType.BFLOAT16} and layout is None and aligned:
        raise RuntimeError(f"ttnn.embedding: only TILE layout can be given another dtype, got {dtype}")
    return DataType.BFLOAT16, place


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    *,
    memory_config: MemoryConfig | None = None,
    reduce: str | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return ``input`` with the values of ``src`` at ``index`` along ``dim``; bfloat8_b becomes bfloat16.

    ``reduce``: "add" or "multiply" what was there.
    """
    del sub_core_grids
    for tensor in (input, index, src):
        held("scatter", tensor)
    at = dim_in("scatter", dim, len(input.extents))
    _check_scatter(input, index, src, at)
    values, source, places = read("scatter", input), read("scatter", src), read("scatter", index)
    check_same_device("scatter", input, index, src)
    if is_floating(index.dtype):
        raise RuntimeError(f"ttnn.scatter: index must be of an integer dtype, got {index.dtype.name}")
    if reduce is not None and reduce not in _REDUCTIONS:
        raise RuntimeError(f"ttnn.scatter: reduce must be either 'add' or 'multiply', got {reduce!r}")
    mesh = mesh_of(values, source, places)
    whole, chosen, given = (item.expand(*mesh, *item.shape[MESH_DIMS:]) for item in (values, places, source))
    where, what = chosen.long(), given.to(values.dtype)
    if reduce is None:
        result = whole.scatter(at + MESH_DIMS, where, what)
    else:
        result = whole.scatter_reduce(at + MESH_DIMS, where, what, _REDUCTIONS[reduce])
    return write("scatter", result, input, dtype=_in_rows(input.dtype), memory_config=memory_config)


def _in_rows(dtype: DataType) -> DataType:
    return DataType.BFLOAT16 if dtype is DataType.BFLOAT8_B else dtype


def _check_scatter(input: Tensor, index: Tensor, src: Tensor, at: int) -> None:
    for tensor in (input, src):
        if tensor.dtype is DataType.FLOAT32 and tensor.layout is Layout.TILE:
            raise RuntimeError(f"ttnn.scatter: Scatter doesn't work for fp32 in TILE layout yet, got {tensor}")
    rank = len(input.extents)
    if len(index.extents) < rank:
        raise RuntimeError(f"ttnn.scatter: shape[] index out of range, {index.shape} for a tensor of rank {rank}")
    if len(index.extents) != rank or len(src.extents) != rank:
        raise RuntimeError(f"ttnn.scatter: index {index.shape} and source {src.shape} must have rank {rank}")
    limits = zip(index.extents, input.extents, src.extents, strict=True)
    for position, (wanted, have, given) in enumerate(limits):
        if wanted > given or (position != at and wanted > have):
            raise RuntimeError(
                f"ttnn.scatter: index {index.shape} must not be larger than {input.shape} or {src.shape}"
            )
    if _in_rows(input.dtype) is not _in_rows(src.dtype):
        raise RuntimeError(f"ttnn.scatter: input dtype {input.dtype.name} differs from source dtype {src.dtype.name}")
    if input.dtype is DataType.BFLOAT4_B:
        raise RuntimeError("ttnn.scatter: BFLOAT4_B cannot be in ROW_MAJOR layout")


def gather(
    input: Tensor,
    dim: int,
    index: Tensor,
    *,
    sparse_grad: bool = False,
    memory_config: MemoryConfig | None = None,
    out: Tensor | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return the values of ``input`` at ``index`` along ``dim``."""
    del sub_core_grids
    held("gather", input)
    held("gather", index)
    rank = len(input.extents)
    at = dim_in("gather", dim, rank)
    if len(index.extents) != rank:
        raise RuntimeError(f"ttnn.gather: index {index.shape} must have rank {rank}")
    values, places = read("gather", input), read("gather", index)
    check_same_device("gather", input, index)
    _check_gather(input, index, at)
    if sparse_grad:
        raise RuntimeError("ttnn.gather: sparse gradient is not supported")
    mesh = mesh_of(values, places)
    chosen = places.expand(*mesh, *places.shape[MESH_DIMS:]).long()
    result = values.expand(*mesh, *values.shape[MESH_DIMS:]).gather(at + MESH_DIMS, chosen)
    # The real library transposes another dim to the end, and the way back follows the index.
    place = memory_config if at == rank - 1 else index.memory_config()
    return write("gather", result, input, memory_config=place, output_tensor=out)


def _check_gather(input: Tensor, index: Tensor, at: int) -> None:
    rank = len(input.extents)
    if index.dtype not in {DataType.UINT32, DataType.UINT16}:
        raise RuntimeError(f"ttnn.gather: index tensor must be of type UINT32 or UINT16. Got: {index.dtype.name}")
    if input.layout is not index.layout:
        raise RuntimeError(f"ttnn.gather: input and index must be in one layout, got {input} and {index}")
    if rank == 1:
        raise RuntimeError("ttnn.gather: cannot convert shape rank 1 to the rank 2 that gather works in")
    if any(
        wanted > have for dim, (wanted, have) in enumerate(zip(index.extents, input.extents, strict=True)) if dim != at
    ):
        raise RuntimeError(f"ttnn.gather: index {index.shape} must not be larger than {input.shape} but in dim {at}")


def plus_one(input_tensor: Tensor, sub_core_grids: object = None, skip_negative_entries: bool = False) -> Tensor:
    """Add 1 in place, leaving negative entries alone if asked to."""
    del sub_core_grids
    values = read("plus_one", input_tensor)
    if input_tensor.dtype not in {DataType.INT32, DataType.UINT32}:
        raise RuntimeError(f"ttnn.plus_one: expected INT32 or UINT32, got {input_tensor.dtype.name}")
    need_layout("plus_one", input_tensor, Layout.ROW_MAJOR)
    if not 1 <= len(input_tensor.extents) <= MAX_RANK:
        raise RuntimeError(f"ttnn.plus_one: input {input_tensor.shape} must have rank 1 to {MAX_RANK}")
    step = (values >= 0).to(values.dtype) if skip_negative_entries else 1
    return overwrite("plus_one", values + step, input_tensor)
