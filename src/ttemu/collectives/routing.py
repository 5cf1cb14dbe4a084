"""Spread the routing weights of a mixture of experts over the mesh, and map tokens to a device's experts."""

from __future__ import annotations

import torch

from ttemu.axes import MESH_DIMS, copies, spread
from ttemu.demands import need_axis, need_dtype, need_rank, need_tensor
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, need_layout, overwrite, read, stored, view, write
from ttemu.memory import MemoryConfig
from ttemu.mesh import MeshDevice
from ttemu.tensor import Tensor

__all__ = ["moe_expert_token_remap", "moe_routing_remap"]

WEIGHT_RANK, TOKEN_RANK = 2, 4


def keep_share(weights: torch.Tensor, axis: int, parts: int, share: int) -> torch.Tensor:
    """Return weights [r, c, 1, E] of which device i along ``axis`` keeps the i-th ``share`` non-zeros."""
    order = (weights != 0).cumsum(-1) - 1
    shape = [1] * weights.dim()
    shape[axis] = parts
    owner = torch.arange(parts).view(shape)
    mine = (weights != 0) & (order >= owner * share) & (order < (owner + 1) * share)
    return copies(weights, axis, parts) * mine


def moe_routing_remap(
    routing_weights_tensor: Tensor,
    non_zero_weight_size: int,
    expert_parallel_size: int,
    cluster_axis: int,
    *,
    memory_config: MemoryConfig | None = None,
    optional_output_tensor: Tensor | None = None,
) -> Tensor:
    """Return weights [1, E] of which each device along ``cluster_axis`` keeps its group of the non-zeros."""
    op = "moe_routing_remap"
    need_axis(op, cluster_axis)
    data = stored(op, routing_weights_tensor)
    need_layout(op, routing_weights_tensor, Layout.ROW_MAJOR)
    mesh = routing_weights_tensor.mesh
    if mesh is None or cluster_axis not in range(MESH_DIMS):
        raise RuntimeError(f"ttnn.{op}: cluster_axis {cluster_axis} is invalid, a mesh has axes 0 and 1")
    extents = routing_weights_tensor.extents
    if len(extents) != WEIGHT_RANK or extents[0] != 1:
        raise RuntimeError(f"ttnn.{op}: expected input shape [1, experts], got {routing_weights_tensor.shape}")
    if mesh.span[cluster_axis] != expert_parallel_size:
        raise RuntimeError(
            f"ttnn.{op}: expert_parallel_size {expert_parallel_size} must equal the {mesh.span[cluster_axis]} devices "
            f"of axis {cluster_axis} of {mesh.shape}"
        )
    for name, size in (("non_zero_weight_size", non_zero_weight_size), ("number of experts", extents[1])):
        if size % expert_parallel_size:
            raise RuntimeError(
                f"ttnn.{op}: {name} {size} must be divisible by expert_parallel_size {expert_parallel_size}"
            )
    kept = keep_share(data, cluster_axis, expert_parallel_size, non_zero_weight_size // expert_parallel_size)
    if optional_output_tensor is not None:
        return overwrite(op, kept, optional_output_tensor)
    return view(op, kept, routing_weights_tensor, memory_config=memory_config)


def moe_expert_token_remap(
    topk_tensor: Tensor,
    expert_mapping_tensor: Tensor,
    expert_metadata_tensor: Tensor,
    *,
    memory_config: MemoryConfig | None = None,
    optional_output_mapping_tensor: Tensor | None = None,
    optional_output_reduced_tensor: Tensor | None = None,
    reduction_size: int = 16,
) -> tuple[Tensor, Tensor]:
    """Return each token's scores for a device's experts, and which experts the tokens of a chunk chose.

    Scores [1, B, S, E], mapping [1, 1, E, D] and choices [1, B, S, K] give [1, B, S, E / D], zeros where not chosen,
    and ones and zeros [1, 1, B * S / ``reduction_size``, E / D].
    """
    op = "moe_expert_token_remap"
    tensors = (topk_tensor, expert_mapping_tensor, expert_metadata_tensor)
    need_tensor(op, *tensors)
    for tensor in tensors:
        stored(op, tensor)
    check_same_device(op, *tensors)
    mesh, local = _check_remap(op, *tensors, reduction_size)
    scores, choices = read(op, topk_tensor), read(op, expert_metadata_tensor)
    held = (read(op, expert_mapping_tensor)[0, 0, 0, 0] != 0).T.long()
    if bool((held.sum(-1) > local).any()):
        raise RuntimeError(f"ttnn.{op}: expert mapping gives a device more than its {local} experts, ttnn drops them")
    # A device's experts in their order; a device with fewer has places that nobody chooses.
    order = held.sort(dim=-1, descending=True, stable=True)
    experts = order.indices[:, :local].view(mesh.rows, mesh.cols, 1, 1, 1, local)
    is_held = order.values[:, :local].view(experts.shape) != 0
    chosen = (choices.long().unsqueeze(-1) == experts.unsqueeze(-2)).any(-2) & is_held
    whole = spread(scores, mesh.span)
    kept = whole.gather(-1, experts.expand(*whole.shape[:-1], local)) * chosen
    reduced = chosen.reshape(mesh.rows, mesh.cols, 1, 1, -1, reduction_size, local).any(-2).int()
    return (
        write(op, kept, topk_tensor, memory_config=memory_config, output_tensor=optional_output_mapping_tensor),
        write(
            op,
            reduced,
            expert_metadata_tensor,
            memory_config=memory_config or topk_tensor.memory_config(),
            output_tensor=optional_output_reduced_tensor,
        ),
    )


def _check_remap(
    op: str, scores: Tensor, mapping: Tensor, metadata: Tensor, reduction_size: int
) -> tuple[MeshDevice, int]:
    """Return the mesh and the number of experts of each device."""
    if not isinstance(reduction_size, int) or reduction_size < 0:
        raise TypeError(f"ttnn.{op}: incompatible function arguments, reduction_size {reduction_size!r}")
    for tensor in (scores, mapping, metadata):
        need_layout(op, tensor, Layout.ROW_MAJOR)
    need_dtype(op, scores, (DataType.BFLOAT16,))
    for tensor in (mapping, metadata):
        need_dtype(op, tensor, (DataType.UINT16,))
    mesh = scores.mesh
    assert mesh is not None
    if mapping.extents[-1] != mesh.get_num_devices():
        raise RuntimeError(f"ttnn.{op}: expert mapping {mapping.shape} must match the devices of mesh {mesh.shape}")
    if scores.extents[1] != metadata.extents[1]:
        raise RuntimeError(f"ttnn.{op}: tokens of {metadata.shape} must match those of {scores.shape}")
    for tensor in (scores, mapping, metadata):
        need_rank(op, tensor, TOKEN_RANK)
    tokens = scores.extents[1] * scores.extents[2]
    if reduction_size == 0:
        raise RuntimeError(f"ttnn.{op}: reduction_size must be positive")
    if tokens % reduction_size:
        raise RuntimeError(f"ttnn.{op}: {tokens} tokens must be divisible by reduction_size {reduction_size}")
    return mesh, mapping.extents[2] // mapping.extents[3]
