"""Spread the routing weights of a mixture of experts over the mesh."""

from __future__ import annotations

import torch

from ttemu.axes import MESH_DIMS, copies
from ttemu.dtypes import Layout
from ttemu.frame import need_layout, stored, view
from ttemu.memory import MemoryConfig
from ttemu.tensor import Tensor

__all__ = ["moe_routing_remap"]

WEIGHT_RANK = 2


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
) -> Tensor:
    """Return weights [1, E] of which each device along ``cluster_axis`` keeps its group of the non-zeros."""
    op = "moe_routing_remap"
    data = stored(op, routing_weights_tensor)
    need_layout(op, routing_weights_tensor, Layout.ROW_MAJOR)
    mesh = routing_weights_tensor.mesh
    if mesh is None or cluster_axis not in range(MESH_DIMS):
        raise RuntimeError(f"ttnn.{op}: cluster_axis {cluster_axis} is invalid, a mesh has axes 0 and 1")
    extents = routing_weights_tensor.extents
    if len(extents) != WEIGHT_RANK or extents[0] != 1:
        raise RuntimeError(f"ttnn.{op}: routing weights must be [1, experts], got {routing_weights_tensor.shape}")
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
    return view(op, kept, routing_weights_tensor, memory_config=memory_config)
