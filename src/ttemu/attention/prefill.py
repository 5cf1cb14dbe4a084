"""Attend with many queries at once, over keys that came with them or over a paged cache."""

from __future__ import annotations

import torch

from ttemu.attention.formula import Scores, attend_causal, attend_masked
from ttemu.attention.inputs import KINDS, check_window, head_groups, prefill_bias, prefill_sink
from ttemu.axes import MESH_DIMS, cut
from ttemu.configs import SDPAProgramConfig
from ttemu.demands import need_dtype, need_memory, need_rank, need_tensor, refuse
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, need_layout, read, stored, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig
from ttemu.ops.index import rows_of
from ttemu.shapes import FULL_RANK
from ttemu.tensor import Tensor

__all__ = ["chunked_scaled_dot_product_attention", "scaled_dot_product_attention", "unpage"]

_PREFILL, _CHUNKED = "transformer.scaled_dot_product_attention", "transformer.chunked_scaled_dot_product_attention"
_PAGES_AT_ONCE = 8


def unpage(cache: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return a cache of blocks that a page table names as [r, c, B, K, S, D]."""
    blocks = rows_of(cache, table.clamp(min=0))
    return blocks.transpose(3, 4).flatten(4, 5)


def _check_inputs(op: str, *tensors: Tensor) -> None:
    for tensor in tensors:
        need_layout(op, tensor, Layout.TILE)
        need_dtype(op, tensor, KINDS)
        if tensor.is_sharded():
            refuse(op, f"operands need to be in memory layout INTERLEAVED, got {tensor.memory_config()}")
    q, k, v = tensors
    need_rank(op, q, FULL_RANK)
    if k.extents[:3] != v.extents[:3] and min(len(k.extents), len(v.extents)) < FULL_RANK:
        refuse(op, f"K {k.shape} must match V {v.shape}")
    for tensor in (k, v):
        need_rank(op, tensor, FULL_RANK)
    if k.extents[3] != q.extents[3] or v.extents[3] != q.extents[3]:
        refuse(op, f"width of K {k.shape} and V {v.shape} must match that of Q {q.shape}")
    if k.extents[1] != v.extents[1]:
        refuse(op, f"heads of K {k.shape} must match those of V {v.shape}")
    head_groups(op, q.extents[1], k.extents[1])


def _check_chunks(op: str, config: SDPAProgramConfig | None) -> None:
    if config is None:
        return
    for name, size in (("q_chunk_size", config.q_chunk_size), ("k_chunk_size", config.k_chunk_size)):
        if size <= 0 or size % TILE_SIZE:
            refuse(op, f"{name} must be a positive multiple of {TILE_SIZE}, got {size}")


def scaled_dot_product_attention(
    input_tensor_q: Tensor,
    input_tensor_k: Tensor,
    input_tensor_v: Tensor,
    *,
    attn_mask: Tensor | None = None,
    is_causal: bool = True,
    scale: float | None = None,
    sliding_window_size: int | None = None,
    memory_config: MemoryConfig | None = None,
    program_config: SDPAProgramConfig | None = None,
    compute_kernel_config: object = None,
    attention_sink: Tensor | None = None,
    cu_window_seqlens: Tensor | None = None,
    windowed_q_token_offset: int = 0,
    windowed_q_token_offset_tensor: Tensor | None = None,
    output_concat_heads: bool = False,
    attn_mask_block_map: Tensor | None = None,
) -> Tensor:
    """Return attention of q [B, N, S, D] over k, v [B, K, S', D] in the dtype of q; the sink is scaled too."""
    del compute_kernel_config
    op = _PREFILL
    if cu_window_seqlens is not None or windowed_q_token_offset or windowed_q_token_offset_tensor is not None:
        raise NotImplementedError(f"ttnn.{op} with cu_window_seqlens is not emulated")
    if attn_mask_block_map is not None:
        raise NotImplementedError(f"ttnn.{op} with attn_mask_block_map is not emulated")
    window = check_window(op, sliding_window_size)
    tensors = (input_tensor_q, input_tensor_k, input_tensor_v)
    need_tensor(op, *tensors)
    need_memory(op, input_tensor_q)
    for tensor in (*tensors, attn_mask, attention_sink):
        if tensor is not None:
            stored(op, tensor)
    check_same_device(op, *tensors, attn_mask, attention_sink)
    if attn_mask is not None and (is_causal or window):
        refuse(op, f"attn_mask and {'is_causal' if is_causal else 'sliding_window_size'} cannot be given together")
    _check_inputs(op, *tensors)
    _check_lengths(op, *tensors, is_causal=is_causal)
    bias = prefill_bias(op, attn_mask, input_tensor_q, input_tensor_k)
    heads, width = input_tensor_q.extents[1], input_tensor_q.extents[3]
    kv_heads = input_tensor_k.extents[1]
    how = Scores(
        scale=width**-0.5 if scale is None else scale,
        window=window,
        sink=prefill_sink(op, attention_sink, heads, kv_heads),
    )
    _check_chunks(op, program_config)
    q, k, v = (read(op, tensor) for tensor in tensors)
    grouped = cut(q, 3, (kv_heads, heads // kv_heads))
    if is_causal:
        result = attend_causal(grouped, k.unsqueeze(4), v.unsqueeze(4), how)
    else:
        hidden = None if window is None else _outside(q.shape[-2], k.shape[-2], window)
        result = attend_masked(grouped, k.unsqueeze(4), v.unsqueeze(4), how, hidden, bias)
    joined = result.flatten(3, 4)
    if output_concat_heads:
        joined = joined.transpose(3, 4).flatten(4).unsqueeze(3)
    return write(op, joined, input_tensor_q, memory_config=memory_config or DRAM_MEMORY_CONFIG)


def _check_lengths(op: str, q: Tensor, k: Tensor, v: Tensor, *, is_causal: bool) -> None:
    if q.extents[0] != k.extents[0] or q.extents[0] != v.extents[0]:
        refuse(op, f"batch of Q, K and V must match, got {q.shape}, {k.shape} and {v.shape}")
    if k.extents[2] != v.extents[2]:
        refuse(op, f"keys of K {k.shape} must match those of V {v.shape}")
    if is_causal and q.extents[2] != k.extents[2]:
        refuse(op, f"causal attention needs equal lengths, got {q.extents[2]} queries and {k.extents[2]} keys")


def _outside(queries: int, keys: int, window: int) -> torch.Tensor:
    """Return which keys [S, S'] lie outside a window around each query; the last query stands at the last key."""
    query = torch.arange(queries).unsqueeze(1) + max(0, keys - queries)
    return (torch.arange(keys) - query).abs() > window // 2


def chunked_scaled_dot_product_attention(
    input_tensor_q: Tensor,
    input_tensor_k: Tensor,
    input_tensor_v: Tensor,
    page_table_tensor: Tensor,
    chunk_start_idx: int | None = None,
    *,
    chunk_start_idx_tensor: Tensor | None = None,
    scale: float | None = None,
    memory_config: MemoryConfig | None = None,
    program_config: SDPAProgramConfig | None = None,
    compute_kernel_config: object = None,
    paged_cache_geometry: object = None,
    sliding_window_size: int | None = None,
    attention_sink: Tensor | None = None,
) -> Tensor:
    """Return causal attention of q [B, N, s, D], at positions from the start index on, over a paged cache.

    The cache is of blocks [blocks, K, block, D], the page table [B, pages]; the start is an int or a tensor [1].
    """
    del compute_kernel_config
    op = _CHUNKED
    if paged_cache_geometry is not None:
        raise NotImplementedError(f"ttnn.{op} with paged_cache_geometry is not emulated")
    if chunk_start_idx is None and chunk_start_idx_tensor is None:
        refuse(op, "exactly one chunk_start_idx, as int or as tensor, is needed")
    _check_single(op, scale)
    window = check_window(op, sliding_window_size)
    tensors = (input_tensor_q, input_tensor_k, input_tensor_v)
    others = (page_table_tensor, chunk_start_idx_tensor, attention_sink)
    need_tensor(op, *tensors, page_table_tensor)
    need_memory(op, input_tensor_q)
    for tensor in (*tensors, *others):
        if tensor is not None:
            stored(op, tensor)
    check_same_device(op, *tensors, *others)
    _check_inputs(op, *tensors)
    _check_pages(op, *tensors, page_table_tensor)
    start = _start(op, chunk_start_idx, chunk_start_idx_tensor, page_table_tensor, program_config)
    keys = page_table_tensor.extents[1] * input_tensor_k.extents[2]
    _check_reach(op, input_tensor_q.extents[2], int(start.max()), keys, chunk_start_idx_tensor)
    _, heads, length, width = input_tensor_q.extents
    kv_heads = input_tensor_k.extents[1]
    how = Scores(
        scale=width**-0.5 if scale is None else scale,
        sink=prefill_sink(op, attention_sink, heads, kv_heads),
    )
    table = read(op, page_table_tensor)
    k, v = (unpage(read(op, cache), table).unsqueeze(4) for cache in tensors[1:])
    query = (start + torch.arange(length)).view(*start.shape[:MESH_DIMS], 1, 1, 1, length, 1)
    hidden = torch.arange(keys) > query
    if window is not None:
        hidden = hidden | (torch.arange(keys) <= query - window)
    grouped = cut(read(op, input_tensor_q), 3, (kv_heads, -1))
    result = attend_masked(grouped, k, v, how, hidden, None)
    return write(op, result.flatten(3, 4), input_tensor_q, memory_config=memory_config or DRAM_MEMORY_CONFIG)


def _check_pages(op: str, q: Tensor, k: Tensor, v: Tensor, table: Tensor) -> None:
    need_rank(op, table, 2)
    need_dtype(op, table, (DataType.INT32,))
    need_layout(op, table, Layout.ROW_MAJOR)
    if table.extents[0] != q.extents[0]:
        refuse(op, f"page table {table.shape} must match the batch of Q {q.shape}")
    if k.extents[2] != v.extents[2]:
        refuse(op, f"blocks of K {k.shape} must match those of V {v.shape}")


def _start(
    op: str, number: int | None, tensor: Tensor | None, table: Tensor, config: SDPAProgramConfig | None
) -> torch.Tensor:
    """Return the position of the first query: [r, c, 1]."""
    _check_chunks(op, config)
    if tensor is not None:
        need_dtype(op, tensor, (DataType.INT32,))
        if tensor.extents != (1,):
            refuse(op, f"chunk_start_idx tensor must have shape [1], got {tensor.shape}")
        if table.extents[1] % _PAGES_AT_ONCE:
            refuse(op, f"page table {table.shape} must be a multiple of {_PAGES_AT_ONCE} pages wide")
        return read(op, tensor)
    if number is None or number < 0:
        refuse(op, f"chunk_start_idx must be non-negative, got {number}")
    if config is not None and (number % config.q_chunk_size or number % config.k_chunk_size):
        refuse(op, f"chunk_start_idx {number} must be a multiple of q_chunk_size and k_chunk_size")
    return torch.tensor([[[number]]])


def _check_single(op: str, scale: object) -> None:
    """Refuse a scale that is no float, or that 32 bits do not hold exactly: this op's binding converts none."""
    if scale is not None and not (isinstance(scale, float) and torch.tensor(scale).item() == scale):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, scale {scale!r} is no float of 32 bits")


def _check_reach(op: str, length: int, start: int, keys: int, tensor: Tensor | None) -> None:
    if start + length > keys:
        remark = "" if tensor is None else "; the real library reads past its end"
        refuse(op, f"{keys} keys, must be greater than or equal to {start} + {length} queries{remark}")
