"""Send tokens to the devices that hold their experts, and bring the results back.

B users, S positions, H width, K chosen experts per token, E experts, D devices; n devices along the axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu.axes import MESH_DIMS, split, spread
from ttemu.collectives.movement import gather_axis
from ttemu.configs import Topology
from ttemu.demands import need_axis, need_dtype, need_memory, need_tensor, refuse
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, need_layout, read, stored, write
from ttemu.memory import MemoryConfig
from ttemu.mesh import MeshDevice
from ttemu.shapes import FULL_RANK
from ttemu.tensor import Tensor

__all__ = ["all_to_all_combine", "all_to_all_dispatch"]

_CUT_DIMS = (1, 2)


def _check_held(op: str, tensors: Sequence[Tensor], cluster_axis: int | None, config: MemoryConfig | None) -> None:
    need_tensor(op, *tensors)
    need_axis(op, cluster_axis)
    for tensor in tensors:
        stored(op, tensor)
    check_same_device(op, *tensors)
    if config is not None and config.is_sharded() and config.shard_spec is None:
        refuse(op, "a sharded memory config must have shard spec")


def _check(op: str, tokens: Tensor, experts: Tensor, mapping: Tensor) -> MeshDevice:
    for tensor, dtype in ((tokens, DataType.BFLOAT16), (experts, DataType.UINT16)):
        need_dtype(op, tensor, (dtype,))
        need_layout(op, tensor, Layout.ROW_MAJOR)
        _need_full(op, tensor)
    _need_full(op, mapping)
    mesh = tokens.mesh
    if mesh is None or mapping.extents[3] != mesh.get_num_devices():
        refuse(op, f"expert mapping {mapping.shape} must match the devices of {mesh}, one column each")
    return mesh


def _need_full(op: str, tensor: Tensor) -> None:
    if len(tensor.extents) != FULL_RANK:
        refuse(op, f"tensor must have rank {FULL_RANK}, got {tensor.shape}")


def _axes(cluster_axis: int | None) -> list[int]:
    return list(range(MESH_DIMS)) if cluster_axis is None else [cluster_axis]


def _need_neighbours(op: str, mesh: MeshDevice, axis: int | None) -> None:
    if (mesh.get_num_devices() if axis is None else mesh.span[axis]) == 1:
        refuse(op, f"No neighbors found, mesh {mesh.rows}x{mesh.cols} has one device along axis {axis}")


def _owned(mapping: torch.Tensor, mesh: MeshDevice) -> torch.Tensor:
    """Return which experts each device holds: [rows, cols, E] of booleans."""
    return (mapping[0, 0, 0, 0] != 0).T.reshape(mesh.rows, mesh.cols, -1)


def all_to_all_dispatch(
    input_tensor: Tensor,
    expert_indices_tensor: Tensor,
    expert_mapping_tensor: Tensor,
    *,
    cluster_axis: int | None = None,
    output_tensors: Sequence[Tensor] | None = None,
    num_links: int | None = None,
    topology: Topology | None = None,
    memory_config: MemoryConfig | None = None,
    subdevice_id: object = None,
    output_concat_dim: int | None = 1,
) -> tuple[Tensor, Tensor]:
    """Gather tokens [B, 1, S, H] along the axis, zeros where a device holds none of a token's experts.

    Returns tokens [1, B * n, S, H], or [1, B, S * n, H] for ``output_concat_dim=2``, and all expert indices [.., K].
    """
    del num_links, topology, subdevice_id
    op = "all_to_all_dispatch"
    _check_dim(op, "output_concat_dim", output_concat_dim)
    if output_tensors is not None:
        raise NotImplementedError(f"ttnn.{op} with output_tensors is not emulated")
    need_memory(op, input_tensor)
    _check_held(op, (input_tensor, expert_indices_tensor, expert_mapping_tensor), cluster_axis, memory_config)
    tokens, experts = read(op, input_tensor), read(op, expert_indices_tensor)
    mesh = _check(op, input_tensor, expert_indices_tensor, expert_mapping_tensor)
    if output_concat_dim not in _CUT_DIMS:
        refuse(op, f"output concat dimension must be 1 or 2, got {output_concat_dim}")
    if input_tensor.extents[:3] != expert_indices_tensor.extents[:3]:
        refuse(op, f"{input_tensor.shape} must match {expert_indices_tensor.shape} but for the last dim")
    if input_tensor.extents[1] != 1:
        refuse(op, f"dim 1 of {input_tensor.shape} must be 1, the real library drops the others")
    _need_neighbours(op, mesh, cluster_axis)
    owned = _owned(read(op, expert_mapping_tensor), mesh)
    for axis in reversed(_axes(cluster_axis)):
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
    output_shard_dim: int | None = 1,
    cluster_axis: int | None = None,
    subdevice_id: object = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    num_links: int | None = None,
    topology: Topology | None = None,
) -> Tensor:
    """Return expert results [E / D, B * n, S, H] to their tokens as [K, B, S, H].

    The slots of other columns' experts are zeros, or what ``output_tensor`` held there: the kernel leaves them alone.

    With ``local_reduce`` the results are [1, B * n, S, H], a device's experts summed already: they take the slot of
    the first choice that the device holds.
    """
    del num_links, topology, subdevice_id
    op = "all_to_all_combine"
    need_memory(op, input_tensor)
    _check_held(op, (input_tensor, expert_metadata_tensor, expert_mapping_tensor), cluster_axis, memory_config)
    need_dtype(op, expert_mapping_tensor, (DataType.UINT16,))
    need_layout(op, expert_mapping_tensor, Layout.ROW_MAJOR)
    mesh = _check(op, input_tensor, expert_metadata_tensor, expert_mapping_tensor)
    axis, dim = _combined_dims(op, expert_metadata_tensor, cluster_axis, output_shard_dim)
    _check_shares(op, input_tensor, expert_metadata_tensor, expert_mapping_tensor, local_reduce=local_reduce)
    count, size = mesh.span[axis], expert_metadata_tensor.extents[dim]
    if size % count:
        refuse(op, f"dim {dim} of {expert_metadata_tensor.shape} must be divisible by {count}, the number of parts")
    _need_neighbours(op, mesh, axis)
    results, experts = read(op, input_tensor), read(op, expert_metadata_tensor)
    owned = _owned(read(op, expert_mapping_tensor), mesh)
    whole, choices = spread(results, mesh.span), spread(experts, mesh.span)[:, :, 0].long()
    fill = _first_slots if local_reduce else _slots
    combined = split(fill(whole, choices, owned).sum(axis, keepdim=True), axis, dim, count)
    if output_tensor is not None:
        answered = fill(torch.ones_like(whole[..., :1]), choices, owned)
        arrived = split(answered.sum(axis, keepdim=True), axis, dim, count) != 0
        combined = torch.where(arrived, combined, read(op, output_tensor))
    return write(op, combined, input_tensor, memory_config=memory_config, output_tensor=output_tensor)


def _check_dim(op: str, name: str, dim: int | None) -> None:
    if dim is not None and (not isinstance(dim, int) or dim < 0):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, {name} {dim!r}")


def _combined_dims(
    op: str, metadata: Tensor, cluster_axis: int | None, output_shard_dim: int | None
) -> tuple[int, int]:
    _check_dim(op, "output_shard_dim", output_shard_dim)
    if cluster_axis is None:
        devices = metadata.mesh.get_num_devices() if metadata.mesh is not None else 1
        if output_shard_dim in _CUT_DIMS and metadata.extents[output_shard_dim] < devices:
            refuse(op, f"each part of {metadata.shape} must be greater than 0; cluster_axis is None")
        refuse(op, "cluster_axis must be specified")
    if output_shard_dim not in _CUT_DIMS:
        refuse(op, f"output shard dimension must be 1 or 2, got {output_shard_dim}")
    return cluster_axis, output_shard_dim


def _check_shares(op: str, results: Tensor, metadata: Tensor, mapping: Tensor, *, local_reduce: bool) -> None:
    experts, devices = mapping.extents[2:]
    if experts % devices:
        refuse(op, f"{experts} experts must be divisible by {devices}, the number of devices")
    if not local_reduce and results.extents[0] != experts // devices:
        refuse(op, f"dim 0 of {results.shape} must match the {experts // devices} experts of a device")
    if results.extents[1:3] != metadata.extents[1:3]:
        refuse(op, f"tokens of {results.shape} must match those of {metadata.shape}")


def _held_choices(experts: torch.Tensor, owned: torch.Tensor) -> torch.Tensor:
    """Return which choices [r, c, K, B, S] of each token a device holds."""
    return owned.gather(2, experts.flatten(MESH_DIMS)).view(experts.shape).movedim(-1, MESH_DIMS)


def _first_slots(results: torch.Tensor, experts: torch.Tensor, owned: torch.Tensor) -> torch.Tensor:
    """Return [r, c, K, B, S, H]: a device's sum for each token at the first choice that it holds, else zeros."""
    mine = _held_choices(experts, owned)
    first = mine & (mine.long().cumsum(MESH_DIMS) == 1)
    return results[:, :, :1] * first.unsqueeze(-1)


def _slots(results: torch.Tensor, experts: torch.Tensor, owned: torch.Tensor) -> torch.Tensor:
    """Return [r, c, K, B, S, H]: a device's result for each choice of each token, zeros for experts elsewhere."""
    place = (owned.long().cumsum(-1) - 1).clamp(min=0)
    which = place.gather(2, experts.flatten(MESH_DIMS)).view(experts.shape).movedim(-1, MESH_DIMS)
    index = which.unsqueeze(-1).expand(*which.shape, results.shape[-1])
    return results.gather(MESH_DIMS, index) * _held_choices(experts, owned).unsqueeze(-1)
