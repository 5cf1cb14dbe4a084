"""Write keys and values into caches whose blocks a page table names, or at a place of each user's own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ttemu.attention.cache import need_index, put, writable
from ttemu.axes import MESH_DIMS, mesh_of
from ttemu.demands import need_dtype, need_rank, need_tensor, refuse
from ttemu.dtypes import DataType, Layout
from ttemu.formats import store
from ttemu.frame import alias, check_same_device, need_layout, read, stored
from ttemu.memory import TILE_SIZE
from ttemu.shapes import FULL_RANK
from ttemu.tensor import Tensor

__all__ = ["paged_fill_cache", "paged_update_cache"]

_UPDATE, _FILL = "experimental.paged_update_cache", "experimental.paged_fill_cache"
_CACHES = (DataType.FLOAT32, DataType.BFLOAT16, DataType.BFLOAT8_B, DataType.BFLOAT4_B)
_UPDATES = (DataType.FLOAT32, DataType.BFLOAT16)


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
    block_size: int | None = None,
    num_kv_heads: int | None = None,
    cache_position_modulo: int | None = None,
) -> Tensor:
    """Write [1, B, K, D] at each user's position into a cache [B, K, S, D] or, with a page table, of blocks.

    With ``share_cache`` all users write into the one user of the cache.
    """
    del compute_kernel_config
    op = _UPDATE
    if mesh_coords is not None:
        refuse(op, "mesh_coords crashes the real library")
    for position in update_idxs:
        need_index(op, "update_idxs", position)
    need_index(op, "batch_offset", batch_offset)
    need_tensor(op, cache_tensor, input_tensor)
    for tensor in (cache_tensor, input_tensor, update_idxs_tensor, page_table):
        if tensor is not None:
            stored(op, tensor)
    check_same_device(op, cache_tensor, input_tensor, update_idxs_tensor, page_table)
    _check_geometry(op, cache_tensor, input_tensor, page_table, (block_size, num_kv_heads))
    _check_update(op, cache_tensor, input_tensor)
    if page_table is not None and update_idxs_tensor is None:
        refuse(op, "paged cache requires update_idxs tensor")
    if not input_tensor.is_sharded():
        refuse(op, f"input tensor must be sharded, got {input_tensor}")
    if batch_offset:
        refuse(op, f"batch_offset must be 0, got {batch_offset}")
    if page_table is None:
        _check_unpaged(op, cache_tensor, input_tensor, cache_position_modulo, share=bool(share_cache))
    index = _update_index(op, update_idxs, update_idxs_tensor, input_tensor.extents[1])
    if page_table is None:
        users = torch.zeros(index.shape[-1:]) if share_cache else torch.arange(index.shape[-1])
        places = (users.long().view(1, 1, -1), _inside(op, index, cache_tensor.extents[2]))
    else:
        if share_cache:
            refuse(op, "share_cache not supported with paged cache")
        _check_page_table(op, page_table, cache_tensor, input_tensor.extents[1])
        if cache_position_modulo is not None:
            _check_modulo(op, cache_position_modulo, cache_tensor.extents[2], page_table.extents[1])
            index = torch.where(index < 0, index, index % cache_position_modulo)
        places = _page_places(op, read(op, page_table), index, cache_tensor)
    values = _heads(op, read(op, input_tensor)[:, :, 0], cache_tensor.extents[1], input_tensor.padded[2])
    put(writable(op, cache_tensor, mesh_of(values, *places)), places, store(values, cache_tensor.dtype), index >= 0)
    return alias(cache_tensor)


def _check_geometry(
    op: str, cache: Tensor, values: Tensor, page_table: Tensor | None, view: tuple[int | None, int | None]
) -> None:
    """Refuse a call whose blocks hold another number of values than those of the cache."""
    block, heads = (None if page_table is None else view[0]), view[1]
    if page_table is None:
        if cache.padded[-1] != values.padded[-1]:
            refuse(op, f"width of input {values.shape} must match that of cache {cache.shape}")
        return
    named = (heads or cache.extents[1]), (block or cache.padded[2]), values.padded[-1]
    if named[1] % TILE_SIZE:
        refuse(op, f"block size {named[1]} must be a multiple of {TILE_SIZE}")
    _check_blocks(op, cache, named)


def _check_blocks(op: str, cache: Tensor, named: tuple[int, int, int]) -> None:
    held = (cache.extents[1], cache.padded[2], cache.padded[-1])
    if math.prod(held) != math.prod(named):
        refuse(op, f"geometry mismatch: the cache has blocks of {list(held)}, the call of {list(named)}")
    if held != named:
        raise NotImplementedError(f"ttnn.{op}: a cache of blocks {list(held)} seen as {list(named)} is not emulated")


def _check_update(op: str, cache: Tensor, values: Tensor) -> None:
    need_dtype(op, values, _UPDATES)
    need_layout(op, values, Layout.TILE)
    need_layout(op, cache, Layout.TILE)
    need_dtype(op, cache, _CACHES)
    if values.extents[0] != 1:
        refuse(op, f"dim 0 of input tensor must be 1, got {values.shape}")


def _update_index(op: str, listed: Sequence[int], tensor: Tensor | None, batch: int) -> torch.Tensor:
    if (tensor is None) == (not listed):
        refuse(op, "give exactly one of update_idxs and update_idxs_tensor")
    if tensor is None:
        index = torch.tensor([[list(listed)]])
    else:
        need_layout(op, tensor, Layout.ROW_MAJOR)
        need_dtype(op, tensor, (DataType.INT32,))
        raw = read(op, tensor)
        index = raw.reshape(*raw.shape[:MESH_DIMS], -1).long()
    if index.shape[-1] != batch or (tensor is not None and tensor.extents[:1] not in {(), (batch,)}):
        refuse(op, f"{index.shape[-1]} update indices should match batch size {batch}")
    return index


def _check_unpaged(op: str, cache: Tensor, values: Tensor, modulo: int | None, *, share: bool) -> None:
    if modulo is not None:
        refuse(op, "cache_position_modulo is only supported in paged mode, with a page table")
    if share and cache.extents[0] != 1:
        refuse(op, f"share_cache expects a cache with batch of 1, got {cache.shape}")
    if not share and cache.extents[0] != values.extents[1]:
        refuse(op, f"batch of input {values.shape} must equal that of cache {cache.shape}")
    need_rank(op, cache, FULL_RANK)


def _check_page_table(op: str, table: Tensor, cache: Tensor, batch: int) -> None:
    need_dtype(op, table, (DataType.INT32,))
    need_layout(op, table, Layout.ROW_MAJOR)
    if table.extents[0] != batch:
        refuse(op, f"page table {table.shape} must match the {batch} users of the input")
    if table.extents[-1] > cache.extents[0]:
        refuse(op, f"page table {table.shape} must not be larger than the blocks of cache {cache.shape}")
    need_rank(op, cache, FULL_RANK)
    need_rank(op, table, 2)


def _check_modulo(op: str, modulo: int, block: int, pages: int) -> None:
    if modulo <= 0 or modulo % block:
        refuse(op, f"cache_position_modulo {modulo} must be a positive multiple of the block size {block}")
    if modulo > block * pages:
        refuse(op, f"cache_position_modulo {modulo} must fit {pages} blocks of {block}")


def _heads(op: str, values: torch.Tensor, heads: int, rows: int) -> torch.Tensor:
    """Return values [r, c, B, K, D] of as many heads as the cache has; the padding of the tile holds zeros."""
    if heads > rows:
        refuse(op, f"input of {rows} rows has no {heads} heads; the real library reads past its end")
    missing = heads - values.shape[3]
    return torch.nn.functional.pad(values, (0, 0, 0, missing)) if missing > 0 else values[..., :heads, :]


def _inside(op: str, index: torch.Tensor, length: int) -> torch.Tensor:
    if index.numel() and int(index.max()) >= length:
        refuse(
            op,
            f"index {int(index.max())} lies outside a cache of {length} positions, the real library writes past it",
        )
    return index


def _page_places(op: str, table: torch.Tensor, index: torch.Tensor, cache: Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return block and position in it of each user's index."""
    size = cache.extents[2]
    _inside(op, index, size * table.shape[-1])
    mesh = mesh_of(table, index)
    slot = (index.clamp(min=0) // size).expand(*mesh, -1)
    block = table.expand(*mesh, *table.shape[MESH_DIMS:]).long().gather(-1, slot.unsqueeze(-1)).squeeze(-1)
    _check_written_blocks(op, block[(index >= 0).expand(*mesh, -1)], cache)
    return block, index % size


def _check_written_blocks(op: str, blocks: torch.Tensor, cache: Tensor) -> None:
    """Refuse blocks that the cache does not have, which the real library does not look at and writes somewhere."""
    odd = blocks[(blocks < 0) | (blocks >= cache.extents[0])]
    if odd.numel():
        refuse(op, f"page table names block {int(odd[0])}, the cache {cache.shape} has {cache.extents[0]} blocks")


def paged_fill_cache(
    cache_tensor: Tensor,
    input_tensor: Tensor,
    page_table: Tensor,
    *,
    batch_idx_tensor: Tensor | None = None,
    batch_idx: int = 0,
    compute_kernel_config: object = None,
    mesh_coords: object = None,
    block_size: int | None = None,
    cache_position_modulo: int | None = None,
    valid_seq_len_tensor: Tensor | None = None,
) -> Tensor:
    """Write [n, K, s, D] into the blocks [blocks, K, block, D] that rows of a page table name.

    The rows are those of ``batch_idx_tensor``, one for each of the input's n, or the one row ``batch_idx``.
    """
    del compute_kernel_config
    op = _FILL
    if mesh_coords is not None or valid_seq_len_tensor is not None:
        raise NotImplementedError(f"ttnn.{op} with mesh_coords or valid_seq_len_tensor is not emulated")
    need_index(op, "batch_idx", batch_idx)
    for tensor in (cache_tensor, input_tensor, page_table):
        stored(op, tensor)
    check_same_device(op, cache_tensor, input_tensor, page_table)
    if batch_idx_tensor is None and batch_idx >= page_table.extents[0]:
        refuse(op, f"batch_idx {batch_idx} must be within the page_table of {page_table.extents[0]} rows")
    _check_fill(op, cache_tensor, input_tensor, page_table, block_size)
    size, pages = cache_tensor.extents[2], page_table.extents[1]
    if cache_position_modulo is not None:
        _check_modulo(op, cache_position_modulo, size, pages)
    elif input_tensor.extents[2] > size * pages:
        refuse(op, f"{input_tensor.extents[2]} positions must fit {pages} blocks of {size}")
    rows = _filled_rows(op, input_tensor, batch_idx_tensor, batch_idx)
    data = stored(op, input_tensor)
    for number in range(input_tensor.extents[0]):
        table = _row(read(op, page_table), rows[..., number])
        _fill(op, cache_tensor, data[:, :, number], table, cache_position_modulo)
    return alias(cache_tensor)


def _check_fill(op: str, cache: Tensor, values: Tensor, table: Tensor, block_size: int | None) -> None:
    need_rank(op, cache, FULL_RANK)
    need_rank(op, values, FULL_RANK)
    need_rank(op, table, 2)
    if cache.dtype is not values.dtype:
        refuse(op, f"input dtype {values.dtype.name} must match cache dtype {cache.dtype.name}")
    need_dtype(op, cache, _CACHES)
    need_dtype(op, table, (DataType.INT32,))
    _check_blocks(op, cache, (values.extents[1], block_size or cache.padded[2], values.padded[3]))


def _filled_rows(op: str, values: Tensor, tensor: Tensor | None, batch_idx: int) -> torch.Tensor:
    """Return the row of the page table of each of the input's batch: [r, c, n]."""
    batch = values.extents[0]
    if tensor is None:
        if batch != 1:
            refuse(op, f"input_batch must be 1 without a batch_idx_tensor, got {batch}")
        return torch.tensor([[[batch_idx]]])
    need_dtype(op, tensor, (DataType.INT32, DataType.UINT32))
    if math.prod(tensor.padded) != batch:
        refuse(op, f"batch_idx_tensor {tensor.shape} must have input_tensor batch dim, {batch} elements")
    raw = read(op, tensor)
    return raw.reshape(*raw.shape[:MESH_DIMS], batch).long()


def _row(table: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Return row ``row`` [r, c] of a page table [r, c, rows, pages] as [r, c, pages]."""
    mesh = mesh_of(table, row)
    index = row.view(*row.shape, 1, 1).expand(*mesh, 1, table.shape[-1])
    return table.expand(*mesh, *table.shape[MESH_DIMS:]).gather(2, index).squeeze(2)


def _fill(op: str, cache: Tensor, values: torch.Tensor, table: torch.Tensor, modulo: int | None) -> None:
    """Write values [r, c, K, s, D] into the blocks ``table`` [r, c, pages], around a ring of ``modulo`` positions."""
    size, length = cache.extents[2], values.shape[3]
    first = 0 if modulo is None else max(0, -(-(length - modulo) // TILE_SIZE) * TILE_SIZE)
    position = torch.arange(first, length)
    place = position if modulo is None else position % modulo
    block, offset = table[..., place // size].long(), (place % size).view(1, 1, -1)
    rows = values[..., first:, :].transpose(2, 3)
    _check_written_blocks(op, block[block >= 0], cache)  # a negative one is skipped
    put(writable(op, cache, mesh_of(rows, table)), (block, offset), rows, block >= 0)
