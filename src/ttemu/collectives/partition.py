"""Keep on each device the part of its shard that its place along the mesh gives it."""

from __future__ import annotations

import math

from ttemu.axes import MESH_DIMS
from ttemu.collectives.ccl import check_divides, ends_in_tile, mesh_of
from ttemu.collectives.movement import own_part
from ttemu.demands import need_axis, refuse
from ttemu.dtypes import Layout
from ttemu.frame import dim_in, stored, view
from ttemu.memory import MemoryConfig
from ttemu.tensor import Tensor

__all__ = ["mesh_partition"]


def _check_begins(op: str, tensor: Tensor, at: int, count: int) -> None:
    """Refuse to cut a tile: in TILE layout each part of the last two dims must begin on one."""
    rank = len(tensor.extents)
    if tensor.layout is Layout.TILE and rank == 1 and count > 1:
        refuse(op, f"Can only slice tilized tensor with begin index aligned to tiles, {tensor.shape} has one row")
    if ends_in_tile(tensor, at, tensor.extents[at] // count) and count > 1:
        refuse(
            op,
            f"Can only slice tilized tensor with begin index aligned to tiles, dim {at} of size {tensor.extents[at]} "
            f"gives parts of {tensor.extents[at] // count}",
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
    need_axis(op, cluster_axis)
    mesh = mesh_of(op, input_tensor)
    at = dim_in(op, dim, len(input_tensor.extents))
    axes = [axis for axis in range(MESH_DIMS) if mesh.span[axis] > 1] if cluster_axis is None else [cluster_axis]
    count = math.prod(mesh.span[axis] for axis in axes)
    check_divides(op, input_tensor, at, count)
    _check_begins(op, input_tensor, at, count)
    data = stored(op, input_tensor)
    for axis in axes:
        data = own_part(data, axis, at, mesh.span[axis])
    torn = at == len(input_tensor.extents) - 1
    return view(op, data, input_tensor, requantise=torn, memory_config=memory_config)
