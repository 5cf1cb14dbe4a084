"""Compute fused kernels as the ops that they fuse: the GPT-OSS router, and a matmul with its reduce-scatter."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu.collectives.ccl import run_reduce_scatter
from ttemu.collectives.semaphore import GlobalSemaphore
from ttemu.configs import MinimalMatmulConfig, Topology
from ttemu.cores import CoreCoord
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, read, stored, write
from ttemu.memory import L1_MEMORY_CONFIG, TILE_SIZE, MemoryConfig
from ttemu.ops.matmul import minimal_matmul
from ttemu.tensor import Tensor

__all__ = ["minimal_matmul_strided_reduce_scatter_async", "topk_router_gpt"]

_ROUTER, _MATMUL_SCATTER = "experimental.topk_router_gpt", "experimental.minimal_matmul_strided_reduce_scatter_async"
_MATRIX_RANK = 2
_ROUTED_EXPERTS = 128  # four groups of cores take 32 each
_SCATTERED_DIM = 3
_SEMAPHORES = 3


def _need(op: str, what: str, is_met: bool) -> None:
    if not is_met:
        raise RuntimeError(f"ttnn.{op}: {what}")


def _check_matrix(name: str, tensor: Tensor, rows: int, columns: int) -> None:
    stored(_ROUTER, tensor)
    _need(_ROUTER, f"{name} tensor must be rank 2, got {tensor.shape}", len(tensor.extents) == _MATRIX_RANK)
    _need(_ROUTER, f"{name} tensor must be in TILE layout, got {tensor.layout.name}", tensor.layout is Layout.TILE)
    _need(_ROUTER, f"{name} dtype must be BFLOAT16, got {tensor.dtype.name}", tensor.dtype is DataType.BFLOAT16)
    _need(
        _ROUTER,
        f"{name} tensor {tensor.shape} must match [{rows}, {columns}]",
        tuple(tensor.extents) == (rows, columns),
    )


def topk_router_gpt(
    input_tensor: Tensor, *, weight_tensor: Tensor, bias_tensor: Tensor, k: int = 4, num_experts: int = _ROUTED_EXPERTS
) -> tuple[Tensor, Tensor]:
    """Return the ``k`` best experts of each token, uint16, and the softmax of their scores, both ROW_MAJOR [B, k]."""
    _need(_ROUTER, f"requires k in range [1, {TILE_SIZE}], got {k}", 1 <= k <= TILE_SIZE)
    _need(_ROUTER, f"only supports num_experts={_ROUTED_EXPERTS}, got {num_experts}", num_experts == _ROUTED_EXPERTS)
    stored(_ROUTER, input_tensor)
    _need(_ROUTER, f"input tensor must be rank 2, got {input_tensor.shape}", len(input_tensor.extents) == _MATRIX_RANK)
    batch, hidden = input_tensor.extents
    _need(_ROUTER, f"requires batch_size in [1, {TILE_SIZE}], got {batch}", 1 <= batch <= TILE_SIZE)
    _check_matrix("input", input_tensor, batch, hidden)
    _check_matrix("weight", weight_tensor, hidden, num_experts)
    _check_matrix("bias", bias_tensor, batch, num_experts)
    check_same_device(_ROUTER, input_tensor, weight_tensor, bias_tensor)
    logits = torch.matmul(read(_ROUTER, input_tensor), read(_ROUTER, weight_tensor)) + read(_ROUTER, bias_tensor)
    scores, experts = logits.bfloat16().float().sort(dim=-1, descending=True, stable=True)
    place: dict[str, object] = {"layout": Layout.ROW_MAJOR, "memory_config": L1_MEMORY_CONFIG}
    indices = write(_ROUTER, experts[..., :k], input_tensor, dtype=DataType.UINT16, **place)  # type: ignore[arg-type]
    weights = write(_ROUTER, scores[..., :k].softmax(-1), input_tensor, **place)  # type: ignore[arg-type]
    return indices, weights


def minimal_matmul_strided_reduce_scatter_async(
    input_tensor: Tensor,
    weight_tensor: Tensor,
    dim: int,
    multi_device_global_semaphore: Sequence[GlobalSemaphore],
    reduce_scatter_core_grid_offset: CoreCoord,
    *,
    compute_kernel_config: object,
    num_links: int = 1,
    memory_config_mm: MemoryConfig | None = None,
    rs_output_mem_config: MemoryConfig | None = None,
    rs_intermediate_mem_config: MemoryConfig | None = None,
    topology: Topology = Topology.Ring,
    cluster_axis: int | None = None,
    bias: Tensor | None = None,
    config: MinimalMatmulConfig | None = None,
    barrier_semaphore: GlobalSemaphore | None = None,
    num_workers_per_link: int | None = None,
    num_buffers_per_channel: int | None = None,
    chunk_width_in_mm_blocks: int | None = None,
    dtype: DataType | None = None,
) -> list[Tensor]:
    """Return input @ weight + bias, and what reduce_scatter makes of it."""
    del reduce_scatter_core_grid_offset, num_links, rs_intermediate_mem_config, barrier_semaphore
    del num_workers_per_link, num_buffers_per_channel, chunk_width_in_mm_blocks
    op = _MATMUL_SCATTER
    _need(op, f"requires dim={_SCATTERED_DIM}, got {dim}", dim == _SCATTERED_DIM)
    _need(op, f"only supports Ring topology, got {topology.name}", topology is Topology.Ring)
    found = len(multi_device_global_semaphore)
    _need(op, f"Expected {_SEMAPHORES} semaphores but got {found}", found == _SEMAPHORES)
    _need(op, "requires a matmul config", config is not None)
    product = minimal_matmul(
        input_tensor,
        weight_tensor,
        bias_tensor=bias,
        config=config,
        memory_config=memory_config_mm or input_tensor.memory_config(),
        dtype=dtype,
        compute_kernel_config=compute_kernel_config,  # type: ignore[arg-type]
    )
    span = product.mesh.span if product.mesh is not None else (1, 1)
    ring = span[0] * span[1] if cluster_axis is None else span[cluster_axis]
    tiles = product.padded[-1] // TILE_SIZE
    _need(op, f"MM output N_tiles ({tiles}) must be divisible by ring_size ({ring})", tiles % ring == 0)
    return [product, run_reduce_scatter(op, product, dim, cluster_axis, rs_output_mem_config)]
