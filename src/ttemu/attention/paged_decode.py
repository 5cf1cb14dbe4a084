"""Attend with one query per user over caches of blocks that a page table names."""

from __future__ import annotations

import torch

from ttemu.attention.decode import (
    Call,
    attend,
    check_devices,
    check_grid,
    check_heads,
    check_inputs,
    held_positions,
    read_mask,
)
from ttemu.attention.inputs import check_window
from ttemu.attention.prefill import unpage
from ttemu.configs import SDPAProgramConfig
from ttemu.demands import need_dtype, need_rank, need_tensor, refuse
from ttemu.dtypes import DataType
from ttemu.frame import read
from ttemu.memory import MemoryConfig
from ttemu.shapes import FULL_RANK
from ttemu.tensor import Tensor

__all__ = ["paged_scaled_dot_product_attention_decode"]

_PAGED = "transformer.paged_scaled_dot_product_attention_decode"


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
    paged_cache_geometry: object = None,
    cache_position_modulo: int | None = None,
    spec_multi_pos_tiles: int = 0,
) -> Tensor:
    """Return decode attention over caches of blocks [blocks, K, block, D] that a page table [B, n] names."""
    del compute_kernel_config
    op = _PAGED
    if paged_cache_geometry is not None or cache_position_modulo is not None or spec_multi_pos_tiles:
        raise NotImplementedError(
            f"ttnn.{op} with paged_cache_geometry, cache_position_modulo or spec_multi_pos_tiles is not emulated"
        )
    need_tensor(op, page_table_tensor)
    call = Call(
        op=op,
        query=input_tensor_q,
        keys=input_tensor_k,
        values=input_tensor_v,
        causal=is_causal,
        mask=attn_mask,
        sink=attention_sink,
        scale=scale,
        window=check_window(op, sliding_window_size),
        memory_config=memory_config,
        program_config=program_config,
    )
    check_devices(call, page_table_tensor, cur_pos_tensor)
    check_inputs(call)
    positions = _paged_positions(call, page_table_tensor, cur_pos_tensor)
    _check_blocks(call, page_table_tensor)
    table = read(op, page_table_tensor)
    k, v = (unpage(read(op, cache), table) for cache in (input_tensor_k, input_tensor_v))
    bias = read_mask(call, k.shape[4], checked=False)
    check_grid(call, input_tensor_q.extents[1])
    return attend(call, k, v, positions, bias)


def _paged_positions(call: Call, table: Tensor, positions: Tensor | None) -> torch.Tensor | None:
    op = call.op
    need_dtype(op, table, (DataType.INT32,))
    if not call.causal:
        if call.program_config is not None and call.program_config.k_chunk_size <= 0:
            refuse(op, "k_chunk_size must be specified for paged attention that is not causal")
        return None
    if positions is None:
        refuse(op, "cur_pos_tensor must be specified for paged causal attention")
    need_dtype(op, positions, (DataType.INT32,))
    return held_positions(op, positions, table.padded[0], exact=True)


def _check_blocks(call: Call, table: Tensor) -> None:
    """Refuse caches of different blocks, and a page table without a row for each user."""
    op, q, k, v = call.op, call.query, call.keys, call.values
    if k.padded[2] != v.padded[2]:
        refuse(op, f"blocks of K {k.shape} must match those of V {v.shape}")
    for tensor in (q, k, v):
        need_rank(op, tensor, FULL_RANK)
    need_rank(op, table, 2)
    if k.extents[3] != q.extents[3] or v.extents[3] != q.extents[3]:
        refuse(op, f"width of K {k.shape} and V {v.shape} must match that of Q {q.shape}")
    check_heads(call)
    if table.extents[0] != q.extents[1]:
        refuse(op, f"page table {table.shape} must match the {q.extents[1]} users of Q")
