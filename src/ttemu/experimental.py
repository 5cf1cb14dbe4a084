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
from ttemu.frame import dim_in, need_layout, read, write
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


GATHER_SEMAPHORES, SCATTER_SEMAPHORES = 2, 3


def _check_semaphores(op: str, semaphores: object, count: int) -> None:
    if isinstance(semaphores, GlobalSemaphore) and count == GATHER_SEMAPHORES:
        semaphores = [semaphores]
    if not isinstance(semaphores, Sequence) or not all(isinstance(item, GlobalSemaphore) for item in semaphores):
        raise TypeError(f"ttnn.experimental.{op}: incompatible function arguments, semaphores {semaphores!r}")
    if len(semaphores) != count:
        raise RuntimeError(f"ttnn.experimental.{op}: Expected {count} semaphores but got {len(semaphores)}")


def _arrange(
    op: str, positional: tuple[object, ...], names: tuple[str, ...], given: dict[str, object]
) -> dict[str, object]:
    """Join positional arguments with those given by name, in the order of ``names``."""
    placed = dict(zip(names, positional, strict=False))
    named = {name: value for name, value in given.items() if value is not None}
    if len(positional) > len(names) or placed.keys() & named.keys():
        raise TypeError(f"ttnn.experimental.{op}: incompatible function arguments {positional!r}")
    return placed | named


def _dim_of(op: str, arguments: dict[str, object]) -> int:
    dim = arguments.get("dim")
    if not isinstance(dim, int):
        raise TypeError(f"ttnn.experimental.{op}: incompatible function arguments, dim {dim!r}")
    return dim


def all_gather_async(
    input_tensor: Tensor,
    *positional: object,
    dim: int | None = None,
    multi_device_global_semaphore: Sequence[GlobalSemaphore] | GlobalSemaphore | None = None,
    cluster_axis: int | None = None,
    mesh_device: MeshDevice | None = None,
    topology: Topology | None = None,
    persistent_output_buffer: Tensor | None = None,
    num_links: int | None = None,
    memory_config: MemoryConfig | None = None,
    barrier_semaphore: GlobalSemaphore | None = None,
    subdevice_id: object = None,
    chunks_per_sync: int | None = None,
    num_workers_per_link: int | None = None,
    num_buffers_per_channel: int | None = None,
) -> Tensor:
    """Return the shards along ``cluster_axis`` concatenated along ``dim``, on every device.

    The forms of ttnn: (x, dim, semaphores), (x, buffer, dim, semaphores, cluster_axis=...) and
    (x, dim, cluster_axis, mesh_device, topology, semaphores).
    """
    del num_links, barrier_semaphore, subdevice_id, chunks_per_sync, num_workers_per_link, num_buffers_per_channel
    op = "all_gather_async"
    if persistent_output_buffer is not None:
        raise NotImplementedError(f"ttnn.experimental.{op} with a persistent output buffer is not emulated")
    given: dict[str, object] = {
        "dim": dim,
        "cluster_axis": cluster_axis,
        "mesh_device": mesh_device,
        "topology": topology,
        "semaphores": multi_device_global_semaphore,
    }
    arguments = _arrange(op, positional, _gather_form(positional, given), given)
    if "mesh_device" in arguments and "topology" not in arguments:
        raise TypeError(f"ttnn.experimental.{op}: incompatible function arguments, mesh_device= needs topology=")
    _check_semaphores(op, arguments.get("semaphores"), GATHER_SEMAPHORES)
    axis = arguments.get("cluster_axis")
    place = axis if isinstance(axis, int) else None
    return run_all_gather(f"experimental.{op}", input_tensor, _dim_of(op, arguments), place, memory_config)


def _gather_form(positional: tuple[object, ...], given: dict[str, object]) -> tuple[str, ...]:
    """Return the names of the positional arguments of the form that a call chose."""
    if len(positional) > GATHER_SEMAPHORES + 1 or given["mesh_device"] is not None:
        return "dim", "cluster_axis", "mesh_device", "topology", "semaphores"
    if given["cluster_axis"] is not None or (positional and positional[0] is None):
        return "buffer", "dim", "semaphores"
    return "dim", "semaphores"


def reduce_scatter_minimal_async(
    input_tensor: Tensor,
    persistent_output_buffers: Sequence[Tensor] | None = None,
    dim: int | None = None,
    multi_device_global_semaphore: Sequence[GlobalSemaphore] | None = None,
    *,
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
    op = "reduce_scatter_minimal_async"
    if isinstance(persistent_output_buffers, int) or dim is None:
        raise TypeError(f"ttnn.experimental.{op}: incompatible function arguments, dim {dim!r}")
    if persistent_output_buffers is not None:
        raise NotImplementedError(f"ttnn.experimental.{op} with persistent output buffers is not emulated")
    _check_semaphores(op, multi_device_global_semaphore, SCATTER_SEMAPHORES)
    return run_reduce_scatter(f"experimental.{op}", input_tensor, dim, cluster_axis, memory_config)


def fast_reduce_nc(
    input: Tensor,
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
