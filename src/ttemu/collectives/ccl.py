"""Move and sum values between the devices along an axis of the mesh: check, move, round.

A tensor in tiles whose gathered or scattered dim does not end on a tile goes another way in ttnn, through ops on
whole tensors: that way takes no output tensor, and gathers into DRAM whatever it is told.
"""

from __future__ import annotations

import math

from ttemu.axes import MESH_DIMS
from ttemu.collectives.movement import gather_axis, scatter_axis, set_accumulation, sum_axis
from ttemu.configs import Topology
from ttemu.demands import need_axis, need_memory, refuse
from ttemu.dtypes import DataType, Layout
from ttemu.fabric import FabricConfig
from ttemu.frame import dim_in, overwrite, read, stored, view, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, BufferType, MemoryConfig
from ttemu.mesh import MeshDevice
from ttemu.tensor import Tensor

__all__ = [
    "all_gather",
    "all_reduce",
    "check_divides",
    "ends_in_tile",
    "goes_by_tiles",
    "mesh_of",
    "reduce_scatter",
    "run_all_gather",
    "run_reduce_scatter",
    "set_accumulation",
]

_ONE_DIMENSIONAL = {
    FabricConfig.FABRIC_1D,
    FabricConfig.FABRIC_1D_RING,
    FabricConfig.FABRIC_1D_NEIGHBOR_EXCHANGE,
}


def mesh_of(op: str, tensor: Tensor) -> MeshDevice:
    """Return the mesh of a tensor that may take part in a collective."""
    need_memory(op, tensor)
    stored(op, tensor)
    if tensor.mesh is None:
        raise AssertionError("stored() refuses host tensors")
    return tensor.mesh


def _need_counts(op: str, *counts: int | None) -> None:
    for count in counts:
        if count is not None and (not isinstance(count, int) or count < 0):
            raise TypeError(f"ttnn.{op}: incompatible function arguments, {count!r} is no number of links or chunks")


def _check_fabric(op: str, mesh: MeshDevice) -> None:
    if mesh.fabric_config is FabricConfig.DISABLED:
        raise RuntimeError(
            f"ttnn.{op}: trying to get un-initialized fabric context; call ttnn.set_fabric_config before "
            "opening the mesh"
        )


def _axes(op: str, mesh: MeshDevice, cluster_axis: int | None, *, gathers: bool, flattens: bool) -> list[int]:
    """Return the mesh axes that a collective runs over."""
    _check_fabric(op, mesh)
    if cluster_axis is None:
        axes = [axis for axis in range(MESH_DIMS) if mesh.span[axis] > 1]
        if len(axes) > 1 and not flattens and mesh.fabric_config in _ONE_DIMENSIONAL:
            raise RuntimeError(
                f"ttnn.{op}: cluster_axis is needed on a two-dimensional mesh {mesh.shape} with 1D fabric"
            )
    else:
        axes = [cluster_axis] if mesh.span[cluster_axis] > 1 else []
    if not axes:
        fact = "only work for num_devices > 1" if gathers else "forward_coord or backward_coord is null"
        refuse(op, f"{fact}, got cluster_axis {cluster_axis} on mesh {mesh.shape}")
    return axes


def ends_in_tile(tensor: Tensor, at: int, extent: int) -> bool:
    """Say whether dim ``at`` of a tensor in tiles would end amid a tile at ``extent``."""
    return tensor.layout is Layout.TILE and at >= len(tensor.extents) - 2 and extent % TILE_SIZE != 0


def goes_by_tiles(tensor: Tensor, dim: int, part: Tensor | None = None) -> bool:
    """Say whether ttnn has a kernel for a collective along ``dim``, the result's ``part`` given if it scatters."""
    if not tensor.extents or not -len(tensor.extents) <= dim < len(tensor.extents):
        return True
    at = dim % len(tensor.extents)
    extent = (tensor if part is None else part).extents[at]
    return tensor.layout is Layout.TILE and not ends_in_tile(tensor, at, extent)


def _check_untiling(op: str, tensor: Tensor) -> None:
    if tensor.dtype is DataType.BFLOAT4_B:
        refuse(op, "BFLOAT4_B is untiled on this way but needs TILE layout: give parts that end on a tile")


def run_all_gather(
    op: str,
    tensor: Tensor,
    dim: int,
    cluster_axis: int | None,
    memory_config: MemoryConfig | None,
    output_tensor: Tensor | None = None,
    *,
    whole: bool = False,
) -> Tensor:
    """Concatenate shards along ``dim``; ``whole``: by ops on whole tensors, whatever the tiles."""
    need_axis(op, cluster_axis)
    mesh = mesh_of(op, tensor)
    at = dim_in(op, dim, len(tensor.extents))
    torn = whole or ends_in_tile(tensor, at, tensor.extents[at])
    axes = _axes(op, mesh, cluster_axis, gathers=True, flattens=torn)
    if torn:
        _check_untiling(op, tensor)
        memory_config, output_tensor = DRAM_MEMORY_CONFIG, None
    data = stored(op, tensor)
    for axis in reversed(axes):
        data = gather_axis(data, axis, at, mesh.span[axis])
    requantise = at == len(tensor.extents) - 1
    result = view(op, data, tensor, requantise=requantise, memory_config=memory_config or tensor.memory_config())
    if output_tensor is None:
        return result
    _check_output(op, result, output_tensor)
    _check_same_place(op, memory_config, output_tensor)
    return overwrite(op, read(op, result), output_tensor)


def _check_output(op: str, result: Tensor, target: Tensor) -> None:
    stored(op, target)
    if target.extents != result.extents:
        refuse(op, f"output tensor {target.shape} must have the shape {result.shape}")
    if target.dtype is not result.dtype:
        refuse(op, f"output tensor dtype {target.dtype.name} must be {result.dtype.name}")


def _check_same_place(op: str, memory_config: MemoryConfig | None, target: Tensor) -> None:
    if memory_config is not None and memory_config != target.memory_config():
        refuse(op, f"output tensor memory config must be {memory_config}")


def run_reduce_scatter(
    op: str,
    tensor: Tensor,
    dim: int,
    cluster_axis: int | None,
    memory_config: MemoryConfig | None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Sum over the axis and give device i the i-th part of ``dim``."""
    need_axis(op, cluster_axis)
    mesh = mesh_of(op, tensor)
    at = dim_in(op, dim, len(tensor.extents))
    if len(tensor.extents) < 2:
        refuse(op, f"tensor rank must be 2 at minimum, got {tensor.shape}")
    axes = _axes(op, mesh, cluster_axis, gathers=False, flattens=True)
    count = math.prod(mesh.span[axis] for axis in axes)
    check_divides(op, tensor, at, count)
    torn = ends_in_tile(tensor, at, tensor.extents[at] // count)
    if torn:
        _check_untiling(op, tensor)
    values = read(op, tensor)
    for axis in axes:
        values = sum_axis(values, axis, mesh.span[axis], tensor.dtype)
    for axis in axes:
        values = scatter_axis(values, axis, at, mesh.span[axis])
    result = write(op, values, tensor, memory_config=memory_config or tensor.memory_config())
    if output_tensor is None or torn or tensor.layout is Layout.ROW_MAJOR:
        return result
    _check_output(op, result, output_tensor)
    _check_same_place(op, memory_config, output_tensor)
    return overwrite(op, values, output_tensor)


def check_divides(op: str, tensor: Tensor, at: int, count: int) -> None:
    """Refuse a dim that does not cut into ``count`` equal parts."""
    if tensor.extents[at] % count:
        refuse(op, f"dim {at} of size {tensor.extents[at]} must be divisible by {count}, the number of parts")


def all_gather(
    input_tensor: Tensor,
    dim: int,
    *,
    cluster_axis: int | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    subdevice_id: object = None,
    sub_core_grids: object = None,
    num_links: int | None = None,
    topology: Topology | None = None,
    chunks_per_sync: int | None = None,
    num_workers_per_link: int | None = None,
    num_buffers_per_channel: int | None = None,
    use_l1_small_for_semaphores: bool = False,
) -> Tensor:
    """Return the shards along ``cluster_axis`` concatenated along ``dim``, on every device."""
    del subdevice_id, sub_core_grids, topology, num_workers_per_link, num_buffers_per_channel
    del use_l1_small_for_semaphores
    _need_counts("all_gather", num_links, chunks_per_sync)
    return run_all_gather("all_gather", input_tensor, dim, cluster_axis, memory_config, output_tensor)


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
    use_l1_small_for_semaphores: bool = False,
) -> Tensor:
    """Return the sum over ``cluster_axis``, device i keeping the i-th part of ``dim``."""
    del subdevice_id, intermediate_memory_config, topology, compute_kernel_config
    del num_workers_per_link, num_buffers_per_channel
    op = "reduce_scatter"
    _need_counts(op, num_links, chunks_per_sync)
    result = run_reduce_scatter(op, input_tensor, dim, cluster_axis, memory_config, output_tensor)
    if use_l1_small_for_semaphores and result.mesh is not None:
        result.mesh.allocator.claim_counter(BufferType.L1_SMALL, 1)
    return result


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
    del subdevice_id, topology
    op = "all_reduce"
    _need_counts(op, num_links)
    need_axis(op, cluster_axis)
    if cluster_axis is not None and isinstance(input_tensor, Tensor) and not input_tensor.is_allocated():
        refuse(op, f"mesh device is required, tensor {input_tensor.shape} has no memory on a device")
    if cluster_axis is not None and isinstance(input_tensor, Tensor) and input_tensor.mesh is None:
        refuse(op, f"mesh device is required, tensor {input_tensor.shape} is on host")
    mesh = mesh_of(op, input_tensor)
    values = read(op, input_tensor)
    axes = _axes(op, mesh, cluster_axis, gathers=False, flattens=True)
    _check_summed(input_tensor, math.prod(mesh.span[axis] for axis in axes))
    for axis in axes:
        values = sum_axis(values, axis, mesh.span[axis], input_tensor.dtype)
    return write(op, values, input_tensor, memory_config=memory_config)


def _check_summed(tensor: Tensor, count: int) -> None:
    """Refuse what ttnn's way of summing whole shards cannot add."""
    if tensor.dtype not in {DataType.BFLOAT4_B, DataType.UINT16, DataType.UINT32}:
        return
    units = [TILE_SIZE if at >= len(tensor.extents) - 2 else 1 for at in range(len(tensor.extents))]
    parts = (extent % (unit * count) == 0 for extent, unit in zip(tensor.extents, units, strict=True))
    if tensor.layout is Layout.ROW_MAJOR or not any(parts):
        raise RuntimeError(
            f"ttnn.all_reduce: moreh_sum input only supports specific data types, got {tensor.dtype.name}"
        )
