"""Offer ``ttnn.experimental``: heads, caches and asynchronous collectives."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu import deepseek_prefill, moe_compute_utils, names
from ttemu.attention.heads import (
    HEAD_DTYPES,
    nlp_concat_heads,
    nlp_concat_heads_decode,
    nlp_create_qkv_heads,
    nlp_create_qkv_heads_decode,
)
from ttemu.attention.paged_cache import paged_fill_cache, paged_update_cache
from ttemu.attention.rotary import rotary_embedding_llama
from ttemu.axes import MESH_DIMS
from ttemu.collectives.asynchronous import all_gather_async, reduce_scatter_minimal_async
from ttemu.collectives.fused import minimal_matmul_strided_reduce_scatter_async, topk_router_gpt
from ttemu.demands import need_dtype, need_memory, need_tensor
from ttemu.dtypes import Layout
from ttemu.frame import need_layout, read, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig
from ttemu.ops.matmul import minimal_matmul
from ttemu.tensor import Tensor

__all__ = [
    "all_gather_async",
    "deepseek_prefill",
    "fast_reduce_nc",
    "minimal_matmul",
    "minimal_matmul_strided_reduce_scatter_async",
    "moe_compute_utils",
    "nlp_concat_heads",
    "nlp_concat_heads_decode",
    "nlp_create_qkv_heads",
    "nlp_create_qkv_heads_decode",
    "paged_fill_cache",
    "paged_update_cache",
    "reduce_scatter_minimal_async",
    "rotary_embedding_llama",
    "topk_router_gpt",
]


def __getattr__(name: str) -> object:
    return names.missing("ttnn.experimental", name)


def fast_reduce_nc(
    input: Tensor,
    *,
    dims: Sequence[int] = (),
    output: Tensor | None = None,
    memory_config: MemoryConfig = DRAM_MEMORY_CONFIG,
    compute_kernel_config: object = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return the sum over leading dims, each kept with size 1; the last two dims come out padded to the tile."""
    del compute_kernel_config, sub_core_grids
    op = "experimental.fast_reduce_nc"
    need_tensor(op, input)
    if not dims:
        raise RuntimeError(f"ttnn.{op}: dims should not be empty")
    if input.mesh is not None:
        need_memory(op, input)
    values = read(op, input)
    rank = len(input.extents)
    need_layout(op, input, Layout.TILE)
    need_dtype(op, input, HEAD_DTYPES)
    if any(not 0 <= dim < rank - 2 for dim in dims):
        raise RuntimeError(f"ttnn.{op}: reduces only outer dims, dims {list(dims)} do not fit {input.shape}")
    total = values.sum([dim + MESH_DIMS for dim in dims], keepdim=True)
    height, width = (-extent % TILE_SIZE for extent in input.extents[-2:])
    padded = torch.nn.functional.pad(total, (0, width, 0, height)) if height or width else total
    return write(op, padded, input, memory_config=memory_config, output_tensor=output)
