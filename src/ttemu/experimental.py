"""Offer ``ttnn.experimental``: heads, caches and asynchronous collectives."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu import names
from ttemu.axes import MESH_DIMS
from ttemu.cache import paged_fill_cache, paged_update_cache
from ttemu.ccl import run_all_gather, run_reduce_scatter
from ttemu.configs import Topology
from ttemu.dtypes import Layout
from ttemu.frame import need_layout, read, write
from ttemu.heads import (
    nlp_concat_heads,
    nlp_concat_heads_decode,
    nlp_create_qkv_heads,
    nlp_create_qkv_heads_decode,
    rotary_embedding_llama,
)
from ttemu.memory import TILE_SIZE, MemoryConfig
from ttemu.mesh import MeshDevice
from ttemu.ops.matmul import minimal_matmul
from ttemu.ops.rearrange import dim_in
from ttemu.semaphore import GlobalSemaphore
from ttemu.tensor import Tensor

__all__ = [
    "all_gather_async",
    "fast_reduce_nc",
    "minimal_matmul",
    "nlp_concat_heads",
    "nlp_concat_heads_decode",
    "nlp_create_qkv_heads",
    "nlp_create_qkv_heads_decode",
    "paged_fill_cache",
    "paged_update_cache",
    "reduce_scatter_minimal_async",
    "rotary_embedding_llama",
]


def __getattr__(name: str) -> object:
    return names.missing("ttnn.experimental", name)


def _check_semaphores(op: str, semaphores: Sequence[GlobalSemaphore] | GlobalSemaphore) -> None:
    listed = [semaphores] if isinstance(semaphores, GlobalSemaphore) else semaphores
    if not all(isinstance(item, GlobalSemaphore) for item in listed):
        raise TypeError(f"ttnn.experimental.{op}: incompatible function arguments, semaphores {semaphores!r}")


def all_gather_async(
    input_tensor: Tensor,
    dim: int,
    *,
    multi_device_global_semaphore: Sequence[GlobalSemaphore] | GlobalSemaphore,
    cluster_axis: int | None = None,
    mesh_device: MeshDevice | None = None,
    topology: Topology | None = None,
    num_links: int | None = None,
    memory_config: MemoryConfig | None = None,
    barrier_semaphore: GlobalSemaphore | None = None,
    subdevice_id: object = None,
    chunks_per_sync: int | None = None,
    num_workers_per_link: int | None = None,
    num_buffers_per_channel: int | None = None,
) -> Tensor:
    """Return the shards along ``cluster_axis`` concatenated along ``dim``, on every device."""
    del mesh_device, topology, num_links, barrier_semaphore, subdevice_id
    del chunks_per_sync, num_workers_per_link, num_buffers_per_channel
    _check_semaphores("all_gather_async", multi_device_global_semaphore)
    return run_all_gather("experimental.all_gather_async", input_tensor, dim, cluster_axis, memory_config)


def reduce_scatter_minimal_async(
    input_tensor: Tensor,
    dim: int,
    *,
    multi_device_global_semaphore: Sequence[GlobalSemaphore] | GlobalSemaphore,
    barrier_semaphore: GlobalSemaphore | None = None,
    num_links: int = 1,
    memory_config: MemoryConfig | None = None,
    intermediate_memory_config: MemoryConfig | None = None,
    topology: Topology = Topology.Ring,
    subdevice_id: object = None,
    cluster_axis: int | None = None,
    chunks_per_sync: int | None = None,
    num_workers_per_link: int | None = None,
    num_buffers_per_channel: int | None = None,
    compute_kernel_config: object = None,
) -> Tensor:
    """Return the sum over ``cluster_axis``, device i keeping the i-th part of ``dim``."""
    del barrier_semaphore, num_links, intermediate_memory_config, topology, subdevice_id, compute_kernel_config
    del chunks_per_sync, num_workers_per_link, num_buffers_per_channel
    op = "experimental.reduce_scatter_minimal_async"
    _check_semaphores("reduce_scatter_minimal_async", multi_device_global_semaphore)
    return run_reduce_scatter(op, input_tensor, dim, cluster_axis, memory_config)


def fast_reduce_nc(
    input: Tensor,  # noqa: A002 - ttnn's own name
    *,
    dims: Sequence[int],
    memory_config: MemoryConfig | None = None,
    compute_kernel_config: object = None,
) -> Tensor:
    """Return the sum over leading dims, each kept with size 1; the last two dims come out padded to the tile."""
    del compute_kernel_config
    op = "experimental.fast_reduce_nc"
    values = read(op, input)
    need_layout(op, input, Layout.TILE)
    rank = len(input.extents)
    found = [dim_in(op, dim, rank) for dim in dims]
    if any(dim >= rank - 2 for dim in found):
        raise RuntimeError(f"ttnn.{op}: dims {list(dims)} must not name the last two dims of {input.shape}")
    total = values.sum([dim + MESH_DIMS for dim in found], keepdim=True)
    height, width = (-extent % TILE_SIZE for extent in input.extents[-2:])
    padded = torch.nn.functional.pad(total, (0, width, 0, height)) if height or width else total
    return write(op, padded, input, memory_config=memory_config)
