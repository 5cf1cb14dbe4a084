"""Move and sum values between the devices along an axis of the mesh.

``sum_axis``, ``gather_axis`` and ``scatter_axis`` are the whole arithmetic; the ops around them check and round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ttemu.axes import MESH_DIMS, copies, cut, join, split
from ttemu.configs import Topology
from ttemu.dtypes import DataType, Layout
from ttemu.fabric import FabricConfig
from ttemu.formats import load, store
from ttemu.frame import dim_in, overwrite, read, stored, view, write
from ttemu.memory import TILE_SIZE, MemoryConfig
from ttemu.mesh import MeshDevice
from ttemu.tensor import Tensor

__all__ = ["all_gather", "all_reduce", "mesh_partition", "reduce_scatter", "set_accumulation"]

EXACT, HOP = "exact", "hop"
_ONE_DIMENSIONAL = {
    FabricConfig.FABRIC_1D,
    FabricConfig.FABRIC_1D_RING,
    FabricConfig.FABRIC_1D_NEIGHBOR_EXCHANGE,
}


@dataclass(slots=True)
class _Setting:
    accumulation: str = EXACT


_setting = _Setting()


def set_accumulation(mode: str) -> None:
    """Sum in float32 and round once (``exact``), or round after every hop as the links do (``hop``)."""
    if mode not in {EXACT, HOP}:
        raise ValueError(f"accumulation {mode!r}: expected {EXACT!r} or {HOP!r}")
    _setting.accumulation = mode


def sum_axis(values: torch.Tensor, axis: int, count: int, dtype: DataType) -> torch.Tensor:
    """Return the sum over mesh axis ``axis`` of ``count`` devices, with that axis of size 1."""
    if _setting.accumulation == HOP:
        return _sum_hops(copies(values, axis, count), axis, dtype)
    if values.shape[axis] == 1:
        return values * count
    return values.sum(axis, keepdim=True)


def _sum_hops(values: torch.Tensor, axis: int, dtype: DataType) -> torch.Tensor:
    total = values.narrow(axis, 0, 1)
    for device in range(1, values.shape[axis]):
        total = load(store(total + values.narrow(axis, device, 1), dtype))
    return total


def gather_axis(data: torch.Tensor, axis: int, dim: int, count: int) -> torch.Tensor:
    """Return the shards along mesh axis ``axis`` concatenated in axis order along tensor dim ``dim``."""
    return join(copies(data, axis, count), axis, dim)


def scatter_axis(data: torch.Tensor, axis: int, dim: int, count: int) -> torch.Tensor:
    """Give device i along ``axis`` the i-th part of what all of them hold."""
    return split(data, axis, dim, count)


def own_part(data: torch.Tensor, axis: int, dim: int, count: int) -> torch.Tensor:
    """Give device i along ``axis`` the i-th part of its own shard."""
    if data.shape[axis] == 1:
        return split(data, axis, dim, count)
    at = dim + MESH_DIMS
    parts = cut(data, at, (count, data.shape[at] // count))
    return parts.diagonal(dim1=axis, dim2=at).movedim(-1, axis)


def _mesh_of(op: str, tensor: Tensor) -> MeshDevice:
    """Return the mesh of a tensor that may take part in a collective."""
    if isinstance(tensor, Tensor) and tensor.mesh is None:
        raise RuntimeError(
            f"ttnn.{op}: input tensor must be on device, got a host tensor (the real library crashes here)"
        )
    stored(op, tensor)
    if tensor.mesh is None:
        raise AssertionError("stored() refuses host tensors")
    return tensor.mesh


def _check_fabric(op: str, mesh: MeshDevice) -> None:
    if mesh.fabric_config is FabricConfig.DISABLED:
        raise RuntimeError(
            f"ttnn.{op}: trying to get un-initialized fabric context; call ttnn.set_fabric_config before "
            "opening the mesh"
        )


def _axes(op: str, mesh: MeshDevice, cluster_axis: int | None, *, flattens: bool) -> list[int]:
    """Return the mesh axes that a collective runs over."""
    _check_fabric(op, mesh)
    if cluster_axis is None:
        long = [axis for axis in range(MESH_DIMS) if mesh.span[axis] > 1]
        if len(long) > 1 and not flattens and mesh.fabric_config in _ONE_DIMENSIONAL:
            raise RuntimeError(
                f"ttnn.{op}: cluster_axis is needed on a two-dimensional mesh {mesh.shape} with 1D fabric"
            )
        axes = long
    elif cluster_axis in range(MESH_DIMS):
        axes = [cluster_axis] if mesh.span[cluster_axis] > 1 else []
    else:
        raise RuntimeError(f"ttnn.{op}: cluster_axis {cluster_axis} is invalid, a mesh has axes 0 and 1")
    if not axes:
        fact = "only work for num_devices > 1" if not flattens else "forward_coord or backward_coord is null"
        raise RuntimeError(f"ttnn.{op}: {fact}, got cluster_axis {cluster_axis} on mesh {mesh.shape}")
    return axes


def run_all_gather(
    op: str, tensor: Tensor, dim: int, cluster_axis: int | None, memory_config: MemoryConfig | None
) -> Tensor:
    """Concatenate shards along ``dim``; every device gets the whole."""
    mesh = _mesh_of(op, tensor)
    axes = _axes(op, mesh, cluster_axis, flattens=False)
    data = stored(op, tensor)
    at = dim_in(op, dim, len(tensor.extents))
    for axis in reversed(axes):
        data = gather_axis(data, axis, at, mesh.span[axis])
    torn = at == len(tensor.extents) - 1
    if torn:
        _check_width(op, tensor, tensor.extents[-1])
    return view(op, data, tensor, requantise=torn, memory_config=memory_config)


def _check_width(op: str, tensor: Tensor, width: int) -> None:
    """Refuse a bfloat4_b shard that ends inside a tile: it would have to be untilised."""
    if tensor.dtype is DataType.BFLOAT4_B and width % TILE_SIZE:
        raise RuntimeError(f"ttnn.{op}: BFLOAT4_B shards must be a multiple of {TILE_SIZE} wide, got {width}")


def run_reduce_scatter(
    op: str, tensor: Tensor, dim: int, cluster_axis: int | None, memory_config: MemoryConfig | None
) -> Tensor:
    """Sum over the axis and give device i the i-th part of ``dim``."""
    mesh = _mesh_of(op, tensor)
    axes = _axes(op, mesh, cluster_axis, flattens=True)
    at = dim_in(op, dim, len(tensor.extents))
    _check_divides(op, tensor, at, mesh, axes)
    if at == len(tensor.extents) - 1:
        _check_width(op, tensor, tensor.extents[at] // math.prod(mesh.span[axis] for axis in axes))
    values = read(op, tensor)
    for axis in axes:
        values = sum_axis(values, axis, mesh.span[axis], tensor.dtype)
    for axis in axes:
        values = scatter_axis(values, axis, at, mesh.span[axis])
    return write(op, values, tensor, memory_config=memory_config)


def _check_divides(op: str, tensor: Tensor, at: int, mesh: MeshDevice, axes: list[int]) -> None:
    count = math.prod(mesh.span[axis] for axis in axes)
    if tensor.extents[at] % count:
        raise RuntimeError(f"ttnn.{op}: dim {at} of size {tensor.extents[at]} must be divisible by {count} devices")


def all_gather(
    input_tensor: Tensor,
    dim: int,
    *,
    cluster_axis: int | None = None,
    subdevice_id: object = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    num_links: int | None = None,
    topology: Topology | None = None,
    chunks_per_sync: int | None = None,
    num_workers_per_link: int | None = None,
    num_buffers_per_channel: int | None = None,
) -> Tensor:
    """Return the shards along ``cluster_axis`` concatenated along ``dim``, on every device."""
    del subdevice_id, num_links, topology, chunks_per_sync, num_workers_per_link, num_buffers_per_channel
    result = run_all_gather("all_gather", input_tensor, dim, cluster_axis, memory_config)
    return result if output_tensor is None else overwrite("all_gather", read("all_gather", result), output_tensor)


def reduce_scatter(
    input_tensor: Tensor,
    dim: int,
    *,
    cluster_axis: int | None = None,
    subdevice_id: object = None,
    memory_config: MemoryConfig | None = None,
    intermediate_memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    num_links: int | None = None,
    topology: Topology | None = None,
    chunks_per_sync: int | None = None,
    num_workers_per_link: int | None = None,
    num_buffers_per_channel: int | None = None,
    compute_kernel_config: object = None,
) -> Tensor:
    """Return the sum over ``cluster_axis``, device i keeping the i-th part of ``dim``."""
    del subdevice_id, intermediate_memory_config, num_links, topology, compute_kernel_config
    del chunks_per_sync, num_workers_per_link, num_buffers_per_channel
    result = run_reduce_scatter("reduce_scatter", input_tensor, dim, cluster_axis, memory_config)
    if output_tensor is None:
        return result
    return overwrite("reduce_scatter", read("reduce_scatter", result), output_tensor)


def all_reduce(
    input_tensor: Tensor,
    *,
    cluster_axis: int | None = None,
    subdevice_id: object = None,
    memory_config: MemoryConfig | None = None,
    num_links: int | None = None,
    topology: Topology | None = None,
) -> Tensor:
    """Return the sum over ``cluster_axis`` on every device."""
    del subdevice_id, num_links, topology
    mesh = _mesh_of("all_reduce", input_tensor)
    values = read("all_reduce", input_tensor)
    axes = _axes("all_reduce", mesh, cluster_axis, flattens=True)
    _check_summed(input_tensor, math.prod(mesh.span[axis] for axis in axes))
    for axis in axes:
        values = sum_axis(values, axis, mesh.span[axis], input_tensor.dtype)
    return write("all_reduce", values, input_tensor, memory_config=memory_config)


def _check_summed(tensor: Tensor, count: int) -> None:
    """Refuse what ttnn's way of summing whole shards cannot add."""
    scattered = bool(tensor.extents) and tensor.extents[-1] % (TILE_SIZE * count) == 0
    if not scattered and tensor.dtype in {DataType.BFLOAT4_B, DataType.UINT16, DataType.UINT32}:
        raise RuntimeError(
            f"ttnn.all_reduce: moreh_sum input only supports specific data types, got {tensor.dtype.name}"
        )


def _check_begins(op: str, tensor: Tensor, at: int, count: int) -> None:
    """Refuse to cut a tile: in TILE layout each part of the last two dims must begin on one."""
    inner = at >= len(tensor.extents) - 2
    if tensor.layout is Layout.TILE and inner and tensor.extents[at] // count % TILE_SIZE:
        raise RuntimeError(
            f"ttnn.{op}: Can only slice tilized tensor with begin index aligned to tiles, dim {at} of size "
            f"{tensor.extents[at]} gives parts of {tensor.extents[at] // count}"
        )


def mesh_partition(
    input_tensor: Tensor,
    dim: int,
    cluster_axis: int | None = None,
    *,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return the i-th part of ``dim`` of its own shard on device i along ``cluster_axis``; nothing is sent."""
    op = "mesh_partition"
    mesh = _mesh_of(op, input_tensor)
    at = dim_in(op, dim, len(input_tensor.extents))
    axes = [axis for axis in range(MESH_DIMS) if mesh.span[axis] > 1] if cluster_axis is None else [cluster_axis]
    _check_divides(op, input_tensor, at, mesh, axes)
    _check_begins(op, input_tensor, at, math.prod(mesh.span[axis] for axis in axes))
    data = stored(op, input_tensor)
    for axis in axes:
        data = own_part(data, axis, at, mesh.span[axis])
    torn = at == len(input_tensor.extents) - 1
    return view(op, data, input_tensor, requantise=torn, memory_config=memory_config)
