"""Offer ``ttnn.transformer``: attention for prefill and decode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import torch

from ttemu import names
from ttemu.attention import Scores, attend_causal, attend_masked
from ttemu.axes import MESH_DIMS, cut
from ttemu.configs import SDPAProgramConfig
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, need_layout, read, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig
from ttemu.ops.index import rows_of
from ttemu.tensor import Tensor

__all__ = [
    "paged_scaled_dot_product_attention_decode",
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_decode",
]

_KINDS = {DataType.BFLOAT16, DataType.BFLOAT8_B, DataType.BFLOAT4_B}
_PREFILL, _DECODE = "transformer.scaled_dot_product_attention", "transformer.scaled_dot_product_attention_decode"
_PAGED = "transformer.paged_scaled_dot_product_attention_decode"
FULL_RANK = 4


def __getattr__(name: str) -> object:
    return names.missing("ttnn.transformer", name)


def _refuse(op: str, fact: str) -> NoReturn:
    raise RuntimeError(f"ttnn.{op}: {fact}")


def _check_inputs(op: str, *tensors: Tensor) -> None:
    check_same_device(op, *tensors)
    for tensor in tensors:
        need_layout(op, tensor, Layout.TILE)
        if tensor.dtype not in _KINDS:
            _refuse(op, f"Data type of input tensor must be BFLOAT16, BFLOAT8_B or BFLOAT4_B, got {tensor.dtype.name}")
        if len(tensor.extents) != FULL_RANK:
            _refuse(op, f"input tensors must have rank 4, got {tensor.shape}")


def _groups(op: str, num_heads: int, num_kv_heads: int) -> int:
    if num_heads % num_kv_heads:
        _refuse(op, f"Q num_heads {num_heads} must be divisible by K num_heads {num_kv_heads}")
    return num_heads // num_kv_heads


def _sink(op: str, sink: Tensor | None, shape: tuple[int, ...], num_kv_heads: int) -> torch.Tensor | None:
    """Return sink logits as [r, c, 1, K, G, 1, 1]."""
    if sink is None:
        return None
    if sink.dtype not in _KINDS:
        _refuse(op, f"attention sink must be BFLOAT16, BFLOAT8_B or BFLOAT4_B, got {sink.dtype.name}")
    if sink.extents != shape:
        _refuse(op, f"attention sink must have shape {list(shape)}, got {sink.shape}")
    # Prefill gives [1, N, 1, 1], decode [N, 32] with the logit in column 0: either way the first of a row.
    heads = read(op, sink)[..., 0]
    return heads.reshape(*heads.shape[:MESH_DIMS], 1, num_kv_heads, -1, 1, 1)


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
) -> Tensor:
    """Return attention of q [B, N, S, D] over k, v [B, K, S', D] in the dtype of q; the sink is scaled too."""
    del program_config, compute_kernel_config
    op = _PREFILL
    q, k, v = read(op, input_tensor_q), read(op, input_tensor_k), read(op, input_tensor_v)
    _check_inputs(op, input_tensor_q, input_tensor_k, input_tensor_v)
    _, heads, length, width = input_tensor_q.extents
    kv_heads, keys = input_tensor_k.extents[1:3]
    groups = _groups(op, heads, kv_heads)
    if input_tensor_q.extents[0] != input_tensor_k.extents[0]:
        _refuse(op, f"Q, K and V batch must match, got {input_tensor_q.shape} and {input_tensor_k.shape}")
    if is_causal and attn_mask is not None:
        _refuse(op, "is_causal and attn_mask cannot be given together")
    if is_causal and length != keys:
        _refuse(op, f"causal attention needs equal lengths, got {length} queries and {keys} keys")
    if sliding_window_size is not None and not is_causal:
        raise NotImplementedError(f"ttnn.{op}: a sliding window without is_causal is not emulated")
    how = Scores(
        scale=width**-0.5 if scale is None else scale,
        window=sliding_window_size,
        sink=_sink(op, attention_sink, (1, heads, 1, 1), kv_heads),
    )
    grouped = cut(q, 3, (kv_heads, groups))
    k, v = k.unsqueeze(4), v.unsqueeze(4)
    if is_causal:
        result = attend_causal(grouped, k, v, how)
    else:
        result = attend_masked(grouped, k, v, how, None, _bias(op, attn_mask, kv_heads, groups))
    return write(op, result.flatten(3, 4), input_tensor_q, memory_config=memory_config or DRAM_MEMORY_CONFIG)


def _bias(op: str, mask: Tensor | None, kv_heads: int, groups: int) -> torch.Tensor | None:
    """Return a mask [B, N or 1, S, S'] as [r, c, B, K or 1, G or 1, S, S']."""
    if mask is None:
        return None
    values = read(op, mask)
    return values.unsqueeze(4) if values.shape[3] == 1 else cut(values, 3, (kv_heads, groups))


def _positions(op: str, cur_pos: Sequence[int], tensor: Tensor | None, batch: int) -> torch.Tensor:
    """Return the position of each user's newest key: [r, c, B]."""
    if tensor is None and not cur_pos:
        raise IndexError(
            f"ttnn.{op}: neither cur_pos nor cur_pos_tensor is given (the real library indexes an empty list)"
        )
    if tensor is None and len(cur_pos) < batch:
        raise IndexError(f"ttnn.{op}: cur_pos has {len(cur_pos)} entries for {batch} users")
    if tensor is None:
        positions = torch.tensor([[list(cur_pos)]], dtype=torch.int32)
    else:
        if tensor.dtype not in {DataType.INT32, DataType.UINT32} or tensor.layout is not Layout.ROW_MAJOR:
            _refuse(
                op, f"cur_pos tensor must hold all positions in its last dim as integers in ROW_MAJOR, got {tensor}"
            )
        raw = read(op, tensor)
        positions = raw.reshape(*raw.shape[:MESH_DIMS], -1)
    if positions.shape[-1] != batch:
        _refuse(op, f"cur_pos must have one entry per user, got {positions.shape[-1]} for {batch}")
    return positions


def _decode(
    op: str,
    query: Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    positions: torch.Tensor | None,
    how: Scores,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """Return [r, c, 1, B, N, D] for q [1, B, N, D] and k, v [r, c, B, K, S, D]."""
    kv_heads, keys = k.shape[3], k.shape[4]
    hidden = None
    if positions is not None:
        if positions.numel() and int(positions.max()) >= keys:
            _refuse(op, f"cur_pos {int(positions.max())} lies beyond the {keys} keys of the cache")
        # Keys that no user sees cost nothing.
        keys = max(int(positions.max()) + 1, 1)
        k, v = k[..., :keys, :], v[..., :keys, :]
        newest = positions[..., None, None, None, None]
        index = torch.arange(keys)
        hidden = index > newest
        if how.window is not None:
            hidden = hidden | (index <= newest - how.window)
    grouped = cut(read(op, query)[:, :, 0], 3, (kv_heads, -1)).unsqueeze(-2)
    result = attend_masked(grouped, k.unsqueeze(4), v.unsqueeze(4), how, hidden, bias)
    if positions is not None and bool((positions < 0).any()):
        # A user at position -1 is skipped.
        result = result.masked_fill((positions < 0)[..., None, None, None, None], 0.0)
    return result.squeeze(-2).flatten(3, 4).unsqueeze(2)


def scaled_dot_product_attention_decode(
    input_tensor_q: Tensor,
    input_tensor_k: Tensor,
    input_tensor_v: Tensor,
    *,
    is_causal: bool = True,
    attn_mask: Tensor | None = None,
    cur_pos: Sequence[int] = (),
    cur_pos_tensor: Tensor | None = None,
    attention_sink: Tensor | None = None,
    scale: float | None = None,
    sliding_window_size: int | None = None,
    memory_config: MemoryConfig | None = None,
    program_config: SDPAProgramConfig | None = None,
    compute_kernel_config: object = None,
) -> Tensor:
    """Return attention of one query per user, q [1, B, N, D], over caches [B, K, S, D]; the sink is scaled too."""
    del program_config, compute_kernel_config
    op = _DECODE
    k, v = read(op, input_tensor_k), read(op, input_tensor_v)
    _check_inputs(op, input_tensor_q, input_tensor_k, input_tensor_v)
    batch, kv_heads = input_tensor_q.extents[1], input_tensor_k.extents[1]
    _check_query(op, input_tensor_q, kv_heads)
    if input_tensor_k.extents[0] != batch:
        _refuse(op, f"Q batch {batch} must equal K batch {input_tensor_k.extents[0]}")
    if input_tensor_k.extents[2] % TILE_SIZE:
        _refuse(op, f"k_chunk_size must be a multiple of {TILE_SIZE}, the cache has {input_tensor_k.extents[2]} keys")
    how = _decode_scores(op, input_tensor_q, kv_heads, scale, sliding_window_size, attention_sink)
    positions = _positions(op, cur_pos, cur_pos_tensor, batch) if is_causal else None
    # The decode kernel scales the mask with the scores (tt-metal #55337); prefill adds it unscaled.
    bias = None if attn_mask is None else _decode_bias(op, attn_mask, kv_heads) * how.scale
    result = _decode(op, input_tensor_q, k, v, positions, how, bias)
    return write(op, result, input_tensor_q, memory_config=_decode_memory(op, memory_config, kv_heads))


def _check_query(op: str, query: Tensor, kv_heads: int) -> None:
    if kv_heads > 1 and query.dtype is not DataType.BFLOAT16:
        _refuse(op, f"GQA expects BFLOAT16 input tensor, but got {query.dtype.name}")


def _decode_scores(
    op: str, query: Tensor, kv_heads: int, scale: float | None, window: int | None, sink: Tensor | None
) -> Scores:
    heads, width = query.extents[2:]
    _groups(op, heads, kv_heads)
    return Scores(
        scale=width**-0.5 if scale is None else scale,
        window=window,
        sink=_sink(op, sink, (heads, TILE_SIZE), kv_heads),
    )


def _decode_bias(op: str, mask: Tensor, kv_heads: int) -> torch.Tensor:
    """Return a mask [B, 1, N, S] as [r, c, B, K, G, 1, S]."""
    return cut(read(op, mask).squeeze(3), 3, (kv_heads, -1)).unsqueeze(-2)


def _decode_memory(op: str, config: MemoryConfig | None, kv_heads: int) -> MemoryConfig:
    if config is not None and config.is_sharded() and kv_heads > 1:
        _refuse(op, "Sharded output not supported for GQA; ask for DRAM and call to_memory_config")
    return config or DRAM_MEMORY_CONFIG


def paged_scaled_dot_product_attention_decode(
    input_tensor_q: Tensor,
    input_tensor_k: Tensor,
    input_tensor_v: Tensor,
    page_table_tensor: Tensor,
    *,
    is_causal: bool = True,
    attn_mask: Tensor | None = None,
    cur_pos_tensor: Tensor | None = None,
    attention_sink: Tensor | None = None,
    scale: float | None = None,
    sliding_window_size: int | None = None,
    memory_config: MemoryConfig | None = None,
    program_config: SDPAProgramConfig | None = None,
    compute_kernel_config: object = None,
) -> Tensor:
    """Return decode attention over caches of blocks [blocks, K, block, D] that a page table [B, n] names."""
    del program_config, compute_kernel_config
    op = _PAGED
    _check_inputs(op, input_tensor_q, input_tensor_k, input_tensor_v)
    if page_table_tensor.dtype is not DataType.INT32:
        _refuse(op, f"page table must be INT32, got {page_table_tensor.dtype.name}")
    if not is_causal or attn_mask is not None:
        raise NotImplementedError(f"ttnn.{op}: only causal attention without a mask is emulated")
    if cur_pos_tensor is None:
        _refuse(op, "Must have cur_pos tensor for paged attention in causal mode")
    table = read(op, page_table_tensor)
    _check_query(op, input_tensor_q, input_tensor_k.extents[1])
    batch, kv_heads = input_tensor_q.extents[1], input_tensor_k.extents[1]
    if page_table_tensor.extents[0] != batch:
        _refuse(op, f"page table has {page_table_tensor.extents[0]} rows for {batch} users")
    k, v = (_unpage(read(op, cache), table) for cache in (input_tensor_k, input_tensor_v))
    how = _decode_scores(op, input_tensor_q, kv_heads, scale, sliding_window_size, attention_sink)
    positions = _positions(op, (), cur_pos_tensor, batch)
    result = _decode(op, input_tensor_q, k, v, positions, how, None)
    return write(op, result, input_tensor_q, memory_config=_decode_memory(op, memory_config, kv_heads))


def _unpage(cache: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return a paged cache as [r, c, B, K, S, D]."""
    blocks = rows_of(cache, table.clamp(min=0))
    return blocks.transpose(3, 4).flatten(4, 5)
