"""Write keys and values into caches, in place."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu.axes import MESH_DIMS, mesh_of
from ttemu.dtypes import DataType, Layout, is_floating
from ttemu.formats import load, store
from ttemu.frame import alias, check_same_device, read, stored
from ttemu.tensor import Tensor

__all__ = ["fill_cache", "paged_fill_cache", "paged_update_cache", "update_cache"]


def _writable(op: str, cache: Tensor, mesh: Sequence[int]) -> torch.Tensor:
    """Return the cache's own memory, with at least the mesh dims of what will be written."""
    data = stored(op, cache)
    full = (max(mesh[0], data.shape[0]), max(mesh[1], data.shape[1]))
    if cache.buffer.borrowed or full != data.shape[:MESH_DIMS]:
        data = data.expand(*full, *data.shape[MESH_DIMS:]).clone(memory_format=torch.contiguous_format)
        cache.buffer.data = data
        cache.buffer.borrowed = False
    return data


def _put(data: torch.Tensor, places: tuple[torch.Tensor, ...], values: torch.Tensor, kept: torch.Tensor) -> None:
    """Write values [r, c, B, K, D] to data[r, c, first, :, second] where ``kept`` [r, c, B]."""
    first, second = places
    mesh = mesh_of(kept, values, data)
    whole = (*mesh, kept.shape[-1])
    row = torch.arange(mesh[0]).view(-1, 1, 1).expand(whole)
    col = torch.arange(mesh[1]).view(1, -1, 1).expand(whole)
    kept = kept.expand(whole)
    values = values.expand(*whole, *values.shape[3:])
    chosen = (row[kept], col[kept], first.expand(whole)[kept])
    data[chosen[0], chosen[1], chosen[2], :, second.expand(whole)[kept]] = values[kept]


def paged_update_cache(
    cache_tensor: Tensor,
    input_tensor: Tensor,
    *,
    update_idxs: Sequence[int] = (),
    update_idxs_tensor: Tensor | None = None,
    share_cache: bool | None = None,
    page_table: Tensor | None = None,
    batch_offset: int = 0,
    compute_kernel_config: object = None,
    mesh_coords: object = None,
) -> Tensor:
    """Write [1, B, K, D] at each user's position into a cache [B, K, S, D] or, with a page table, of blocks."""
    del compute_kernel_config
    op = "experimental.paged_update_cache"
    if mesh_coords is not None:
        raise RuntimeError(f"ttnn.{op}: mesh_coords crashes the real library")
    if share_cache or batch_offset:
        raise NotImplementedError(f"ttnn.{op} with share_cache or batch_offset is not emulated")
    values = read(op, input_tensor)[:, :, 0]
    check_same_device(op, cache_tensor, input_tensor, update_idxs_tensor, page_table)
    _check_update(op, cache_tensor, input_tensor, update_idxs_tensor)
    index = _update_index(op, update_idxs, update_idxs_tensor, input_tensor.extents[1])
    kept = index >= 0
    heads = cache_tensor.extents[1]
    rounded = store(values[..., :heads, :], cache_tensor.dtype)
    _check_page_table(op, page_table)
    users = torch.arange(index.shape[-1]).view(1, 1, -1)
    if page_table is None:
        _check_batch(op, cache_tensor, input_tensor)
        places = (users, _inside(op, index, cache_tensor.extents[2]))
        mesh = mesh_of(values, index)
    else:
        places = _page_places(op, read(op, page_table), index, cache_tensor)
        mesh = mesh_of(values, places[0])
    _put(_writable(op, cache_tensor, mesh), places, rounded, kept)
    return alias(cache_tensor)


def _check_update(op: str, cache: Tensor, values: Tensor, index: Tensor | None) -> None:
    if not values.is_sharded():
        raise RuntimeError(f"ttnn.{op}: Expect input_tensor to be sharded, got {values}")
    if values.dtype not in {DataType.BFLOAT16, DataType.FLOAT32}:
        raise RuntimeError(f"ttnn.{op}: input must be BFLOAT16 or FLOAT32, got {values.dtype.name}")
    if index is not None and (index.dtype is not DataType.INT32 or index.layout is not Layout.ROW_MAJOR):
        raise RuntimeError(f"ttnn.{op}: update_idxs_tensor must be INT32 in ROW_MAJOR layout, got {index}")
    if cache.extents[-1] != values.extents[-1] or values.extents[2] < cache.extents[1]:
        raise RuntimeError(f"ttnn.{op}: input {values.shape} does not fit the heads and width of cache {cache.shape}")


def _check_page_table(op: str, table: Tensor | None) -> None:
    if table is not None and table.dtype is not DataType.INT32:
        raise RuntimeError(f"ttnn.{op}: page table must be INT32, got {table.dtype.name}")


def _check_batch(op: str, cache: Tensor, values: Tensor) -> None:
    if cache.extents[0] != values.extents[1]:
        raise RuntimeError(f"ttnn.{op}: input batch {values.extents[1]} must equal cache batch {cache.extents[0]}")


def _update_index(op: str, listed: Sequence[int], tensor: Tensor | None, batch: int) -> torch.Tensor:
    if (tensor is None) == (not listed):
        raise RuntimeError(f"ttnn.{op}: give exactly one of update_idxs and update_idxs_tensor")
    if tensor is None:
        index = torch.tensor([[list(listed)]])
    else:
        raw = read(op, tensor)
        index = raw.reshape(*raw.shape[:MESH_DIMS], -1).long()
    if index.shape[-1] != batch:
        raise RuntimeError(f"ttnn.{op}: {index.shape[-1]} update indices for {batch} users")
    return index


def _inside(op: str, index: torch.Tensor, length: int) -> torch.Tensor:
    if index.numel() and int(index.max()) >= length:
        raise RuntimeError(
            f"ttnn.{op}: index {int(index.max())} lies outside a cache of {length} positions; "
            "the real library writes past its end"
        )
    return index


def _page_places(op: str, table: torch.Tensor, index: torch.Tensor, cache: Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return block and position in it of each user's index."""
    size = cache.extents[2]
    _inside(op, index, size * table.shape[-1])
    mesh = mesh_of(table, index)
    slot = (index.clamp(min=0) // size).expand(*mesh, -1)
    block = table.expand(*mesh, *table.shape[MESH_DIMS:]).long().gather(-1, slot.unsqueeze(-1)).squeeze(-1)
    return block, index % size


def fill_cache(cache_tensor: Tensor, input_tensor: Tensor, batch_idx: int) -> Tensor:
    """Write [1, K, s, D] into user ``batch_idx`` of a cache [B, K, S, D] from position 0."""
    op = "fill_cache"
    data = stored(op, input_tensor)
    _check_fill(op, cache_tensor, input_tensor)
    if not 0 <= batch_idx < cache_tensor.extents[0]:
        raise RuntimeError(f"ttnn.{op}: batch_idx {batch_idx} lies outside a cache of {cache_tensor.extents[0]} users")
    length = input_tensor.extents[2]
    if length > cache_tensor.extents[2]:
        raise RuntimeError(f"ttnn.{op}: {length} positions do not fit a cache of {cache_tensor.extents[2]}")
    _writable(op, cache_tensor, data.shape[:MESH_DIMS])[:, :, batch_idx, :, :length] = data[:, :, 0]
    return alias(cache_tensor)


def _check_fill(op: str, cache: Tensor, values: Tensor) -> None:
    check_same_device(op, cache, values)
    if values.extents[0] != 1:
        raise RuntimeError(f"ttnn.{op}: Input tensor batch size must be 1 but got {values.extents[0]}")
    if cache.dtype is not values.dtype or not is_floating(cache.dtype):
        raise RuntimeError(f"ttnn.{op}: input dtype {values.dtype.name} must equal cache dtype {cache.dtype.name}")
    if (values.extents[1], values.extents[3]) != (cache.extents[1], cache.extents[3]):
        raise RuntimeError(f"ttnn.{op}: input {values.shape} does not fit the heads and width of cache {cache.shape}")


def paged_fill_cache(cache_tensor: Tensor, input_tensor: Tensor, page_table: Tensor, *, batch_idx: int = 0) -> Tensor:
    """Write [1, K, s, D] into the blocks [blocks, K, block, D] that row ``batch_idx`` of a page table names."""
    op = "experimental.paged_fill_cache"
    data = stored(op, input_tensor)
    _check_fill(op, cache_tensor, input_tensor)
    _check_page_table(op, page_table)
    if not 0 <= batch_idx < page_table.extents[0]:
        raise RuntimeError(
            f"ttnn.{op}: batch_idx {batch_idx} must be within the page_table batch size {page_table.extents[0]}"
        )
    table = read(op, page_table)[:, :, batch_idx]
    size, length = cache_tensor.extents[2], input_tensor.extents[2]
    if length > size * table.shape[-1]:
        raise RuntimeError(f"ttnn.{op}: {length} positions do not fit {table.shape[-1]} blocks of {size}")
    position = torch.arange(length)
    block, offset = table[..., position // size].long(), (position % size).view(1, 1, -1)
    mesh = mesh_of(data, table)
    values = data[:, :, 0].transpose(2, 3)
    _put(_writable(op, cache_tensor, mesh), (block, offset), values, block >= 0)
    return alias(cache_tensor)


def update_cache(
    cache: Tensor,
    input: Tensor,
    update_idx: int,
    *,
    batch_offset: int = 0,
    compute_kernel_config: object = None,
) -> Tensor:
    """Write [1, K, B, D] at one position of every user of a cache [B, K, S, D]."""
    del compute_kernel_config
    op = "update_cache"
    if batch_offset:
        raise NotImplementedError(f"ttnn.{op} with batch_offset is not emulated")
    values = load(stored(op, input))
    check_same_device(op, cache, input)
    users = cache.extents[0]
    if input.extents[1] != cache.extents[1] or input.extents[2] < users:
        raise RuntimeError(f"ttnn.{op}: input {input.shape} does not fit cache {cache.shape}")
    if not 0 <= update_idx < cache.extents[2]:
        raise RuntimeError(f"ttnn.{op}: update_idx {update_idx} lies outside a cache of {cache.extents[2]}")
    rounded = store(values[:, :, 0, :, :users].transpose(2, 3), cache.dtype)
    _writable(op, cache, values.shape[:MESH_DIMS])[:, :, :, :, update_idx] = rounded
    return alias(cache)
