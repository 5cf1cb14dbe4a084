"""Write keys and values into caches, in place."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu.axes import MESH_DIMS, mesh_of
from ttemu.cores import divup
from ttemu.demands import need_dtype, need_memory, refuse
from ttemu.dtypes import DataType, Layout
from ttemu.formats import load, store
from ttemu.frame import alias, check_same_device, need_layout, stored
from ttemu.memory import TILE_SIZE
from ttemu.tensor import Tensor

__all__ = ["fill_cache", "need_index", "put", "update_cache", "writable"]

_KINDS = (DataType.FLOAT32, DataType.BFLOAT16, DataType.BFLOAT8_B)


def writable(op: str, cache: Tensor, mesh: Sequence[int]) -> torch.Tensor:
    """Return the cache's own memory, with at least the mesh dims of what will be written."""
    data = stored(op, cache)
    full = (max(mesh[0], data.shape[0]), max(mesh[1], data.shape[1]))
    if cache.buffer.borrowed or full != data.shape[:MESH_DIMS]:
        data = data.expand(*full, *data.shape[MESH_DIMS:]).clone(memory_format=torch.contiguous_format)
        cache.buffer.data = data
        cache.buffer.borrowed = False
    return data


def put(data: torch.Tensor, places: tuple[torch.Tensor, ...], values: torch.Tensor, kept: torch.Tensor) -> None:
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


def need_index(op: str, name: str, value: int) -> None:
    """Refuse what is no unsigned integer."""
    if not isinstance(value, int) or value < 0:
        raise TypeError(f"ttnn.{op}: incompatible function arguments, {name} {value!r}")


def _check(op: str, cache: Tensor, values: Tensor) -> None:
    """Refuse what neither a fill nor an update takes."""
    check_same_device(op, cache, values)
    for tensor in (values, cache):
        need_layout(op, tensor, Layout.TILE)
    for tensor in (values, cache):
        need_dtype(op, tensor, _KINDS)
    if cache.extents[-1] != values.extents[-1]:
        refuse(op, f"width of input {values.shape} must equal that of cache {cache.shape}")
    if values.extents[0] != 1:
        refuse(op, f"input tensor batch size must be 1, got {values.extents[0]}")
    if values.extents[1] != cache.extents[1]:
        refuse(op, f"heads of input {values.shape} must equal those of cache {cache.shape}")


def fill_cache(cache_tensor: Tensor, input_tensor: Tensor, batch_idx: int, *, update_idx: int = 0) -> Tensor:
    """Write [1, K, s, D] into user ``batch_idx`` of a cache [B, K, S, D] from position ``update_idx`` on."""
    op = "fill_cache"
    need_index(op, "batch_idx", batch_idx)
    need_index(op, "update_idx", update_idx)
    stored(op, cache_tensor)
    data = stored(op, input_tensor)
    _check(op, cache_tensor, input_tensor)
    if cache_tensor.dtype is not input_tensor.dtype:
        refuse(op, f"input dtype {input_tensor.dtype.name} must equal cache dtype {cache_tensor.dtype.name}")
    if batch_idx >= cache_tensor.extents[0]:
        refuse(op, f"batch index {batch_idx} must be less than the {cache_tensor.extents[0]} users of the cache")
    if update_idx % TILE_SIZE:
        refuse(op, f"update_idx {update_idx} must be a multiple of {TILE_SIZE}")
    length = input_tensor.extents[2]
    if update_idx + input_tensor.padded[2] > cache_tensor.padded[2]:
        refuse(op, f"{length} positions from {update_idx} on do not fit a cache of {cache_tensor.extents[2]}")
    place = slice(update_idx, update_idx + length)
    writable(op, cache_tensor, data.shape[:MESH_DIMS])[:, :, batch_idx, :, place] = data[:, :, 0]
    return alias(cache_tensor)


def update_cache(
    cache: Tensor,
    input: Tensor,
    update_idx: int,
    *,
    batch_offset: int = 0,
    compute_kernel_config: object = None,
) -> Tensor:
    """Write rows ``batch_offset`` on of [1, K, B, D] at one position of every user of a cache [B, K, S, D]."""
    del compute_kernel_config
    op = "update_cache"
    need_index(op, "update_idx", update_idx)
    need_index(op, "batch_offset", batch_offset)
    need_memory(op, input)
    stored(op, cache)
    values = load(stored(op, input))
    _check(op, cache, input)
    users = cache.extents[0]
    _check_users(op, users, input.padded[2], batch_offset)
    if update_idx >= cache.extents[2]:
        refuse(op, f"update_idx {update_idx} lies outside a cache of {cache.extents[2]}, ttnn writes past it")
    # Users beyond the logical ones lie in the padding of the tile.
    rows = torch.nn.functional.pad(values[:, :, 0], (0, 0, 0, input.padded[2] - input.extents[2]))
    chosen = rows[..., batch_offset : batch_offset + users, :].transpose(2, 3)
    writable(op, cache, values.shape[:MESH_DIMS])[:, :, :, :, update_idx] = store(chosen, cache.dtype)
    return alias(cache)


def _check_users(op: str, users: int, rows: int, batch_offset: int) -> None:
    if users <= TILE_SIZE and rows != TILE_SIZE:
        refuse(op, f"input of {rows} rows must equal the {users} users of the cache, rounded up to {TILE_SIZE}")
    if users > rows:
        refuse(op, f"the {users} users of the cache do not fit the {rows} rows of the input")
    if users >= TILE_SIZE and batch_offset:
        refuse(op, f"batch_offset must be 0 for {users} users, got {batch_offset}")
    if batch_offset and batch_offset + users > TILE_SIZE:
        refuse(op, f"batch_offset {batch_offset} and {users} users must not exceed {TILE_SIZE}")
    if users > TILE_SIZE and rows != divup(users, TILE_SIZE) * TILE_SIZE:
        refuse(op, f"input of {rows} rows must equal the {users} users of the cache, rounded up to {TILE_SIZE}")
