"""Send tokens to the devices that hold their experts, and bring the results back.

B users, S positions, H width, K chosen experts per token, E experts, D devices; n devices along the axis.
"""

from __future__ import annotations

import torch

from ttemu.axes import MESH_DIMS, split, spread
from ttemu.ccl import gather_axis
from ttemu.configs import Topology
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, need_layout, read, write
from ttemu.memory import MemoryConfig
from ttemu.mesh import MeshDevice
from ttemu.tensor import Tensor

__all__ = ["all_to_all_combine", "all_to_all_dispatch"]

FULL_RANK = 4
_CUT_DIMS = (1, 2)


def _check(op: str, tokens: Tensor, experts: Tensor, mapping: Tensor) -> MeshDevice:
    check_same_device(op, tokens, experts, mapping)
    for tensor, dtype in ((tokens, DataType.BFLOAT16), (experts, DataType.UINT16), (mapping, DataType.UINT16)):
        need_layout(op, tensor, Layout.ROW_MAJOR)
        if tensor.dtype is not dtype or len(tensor.extents) != FULL_RANK:
            raise RuntimeError(f"ttnn.{op}: expected rank 4 in {dtype.name}, got {tensor}")
    mesh = tokens.mesh
    if mesh is None or mapping.extents[3] != mesh.get_num_devices():
        raise RuntimeError(f"ttnn.{op}: expert mapping {mapping.shape} must have one column per device of {mesh}")
    if mapping.extents[2] % mapping.extents[3]:
        raise RuntimeError(f"ttnn.{op}: {mapping.extents[2]} experts must be divisible by {mapping.extents[3]} devices")
    return mesh


def _axes(op: str, mesh: MeshDevice, cluster_axis: int | None) -> list[int]:
    if cluster_axis is None:
        return list(range(MESH_DIMS))
    if cluster_axis not in range(MESH_DIMS):
        raise RuntimeError(f"ttnn.{op}: cluster_axis {cluster_axis} is invalid, mesh {mesh.shape} has axes 0 and 1")
    return [cluster_axis]


def _owned(mapping: torch.Tensor, mesh: MeshDevice) -> torch.Tensor:
    """Return which experts each device holds: [rows, cols, E] of booleans."""
    return (mapping[0, 0, 0, 0] != 0).T.reshape(mesh.rows, mesh.cols, -1)


def all_to_all_dispatch(
    input_tensor: Tensor,
    expert_indices_tensor: Tensor,
    expert_mapping_tensor: Tensor,
    *,
    cluster_axis: int | None = None,
    num_links: int | None = None,
    topology: Topology | None = None,
    memory_config: MemoryConfig | None = None,
    subdevice_id: object = None,
    output_concat_dim: int = 1,
) -> tuple[Tensor, Tensor]:
    """Gather tokens [B, 1, S, H] along the axis, zeros where a device holds none of a token's experts.

    Returns tokens [1, B * n, S, H], or [1, B, S * n, H] for ``output_concat_dim=2``, and all expert indices [.., K].
    """
    del num_links, topology, subdevice_id
    op = "all_to_all_dispatch"
    tokens, experts = read(op, input_tensor), read(op, expert_indices_tensor)
    mesh = _check(op, input_tensor, expert_indices_tensor, expert_mapping_tensor)
    if output_concat_dim not in _CUT_DIMS or input_tensor.extents[:3] != expert_indices_tensor.extents[:3]:
        raise RuntimeError(
            f"ttnn.{op}: output_concat_dim {output_concat_dim} must be 1 or 2, and {input_tensor.shape} and "
            f"{expert_indices_tensor.shape} must agree but for the last dim"
        )
    owned = _owned(read(op, expert_mapping_tensor), mesh)
    for axis in reversed(_axes(op, mesh, cluster_axis)):
        tokens = _gathered(tokens, axis, output_concat_dim, mesh)
        experts = _gathered(experts, axis, output_concat_dim, mesh)
    tokens, experts = _batch_second(tokens), _batch_second(experts)
    wanted = spread(experts, mesh.span).long()
    hits = owned.gather(2, wanted.flatten(MESH_DIMS)).view(wanted.shape).any(-1, keepdim=True)
    sent = tokens * hits
    return (
        write(op, sent, input_tensor, memory_config=memory_config),
        write(op, experts, expert_indices_tensor, memory_config=memory_config),
    )


def _gathered(data: torch.Tensor, axis: int, dim: int, mesh: MeshDevice) -> torch.Tensor:
    """Concatenate [B, 1, S, x] along users (dim 1 of the result) or positions (dim 2)."""
    return gather_axis(data, axis, 0 if dim == 1 else dim, mesh.span[axis])


def _batch_second(data: torch.Tensor) -> torch.Tensor:
    return data.transpose(2, 3)


def all_to_all_combine(
    input_tensor: Tensor,
    expert_metadata_tensor: Tensor,
    expert_mapping_tensor: Tensor,
    *,
    local_reduce: bool = False,
    num_links: int | None = None,
    topology: Topology | None = None,
    memory_config: MemoryConfig | None = None,
    cluster_axis: int | None = None,
    subdevice_id: object = None,
    output_shard_dim: int = 1,
) -> Tensor:
    """Return expert results [E / D, B * n, S, H] to their tokens as [K, B, S, H]; other columns' slots are zeros."""
    del num_links, topology, subdevice_id
    op = "all_to_all_combine"
    results, experts = read(op, input_tensor), read(op, expert_metadata_tensor)
    mesh = _check(op, input_tensor, expert_metadata_tensor, expert_mapping_tensor)
    if local_reduce:
        raise NotImplementedError(f"ttnn.{op} with local_reduce is not emulated")
    if cluster_axis is None or output_shard_dim not in _CUT_DIMS:
        raise RuntimeError(
            f"ttnn.{op}: cluster_axis must be given and output_shard_dim be 1 or 2, got {output_shard_dim}"
        )
    axis = _axes(op, mesh, cluster_axis)[0]
    count, size = mesh.span[axis], expert_metadata_tensor.extents[output_shard_dim]
    local = expert_mapping_tensor.extents[2] // mesh.get_num_devices()
    if size % count or input_tensor.extents[0] != local:
        raise RuntimeError(
            f"ttnn.{op}: input {input_tensor.shape} must have {local} experts first, and dim {output_shard_dim} of "
            f"{expert_metadata_tensor.shape} be divisible by {count} devices"
        )
    owned = _owned(read(op, expert_mapping_tensor), mesh)
    slots = _slots(spread(results, mesh.span), spread(experts, mesh.span)[:, :, 0].long(), owned)
    return write(
        op,
        split(slots.sum(axis, keepdim=True), axis, output_shard_dim, count),
        input_tensor,
        memory_config=memory_config,
    )


def _slots(results: torch.Tensor, experts: torch.Tensor, owned: torch.Tensor) -> torch.Tensor:
    """Return [r, c, K, B, S, H]: a device's result for each choice of each token, zeros for experts elsewhere."""
    place = (owned.long().cumsum(-1) - 1).clamp(min=0)
    flat = experts.flatten(MESH_DIMS)
    mine = owned.gather(2, flat).view(experts.shape).movedim(-1, MESH_DIMS)
    which = place.gather(2, flat).view(experts.shape).movedim(-1, MESH_DIMS)
    index = which.unsqueeze(-1).expand(*which.shape, results.shape[-1])
    return results.gather(MESH_DIMS, index) * mine.unsqueeze(-1)
