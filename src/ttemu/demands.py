"""Refuse tensors and axes that an op cannot take, in the words that name the fact."""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType
from ttemu.tensor import Tensor

__all__ = ["need_axis", "need_dtype", "need_memory", "need_rank", "need_tensor", "refuse"]


def refuse(op: str, fact: str) -> NoReturn:
    """Raise what ttnn raises for a call that its checks refuse."""
    raise RuntimeError(f"ttnn.{op}: {fact}")


def need_tensor(op: str, *values: object) -> None:
    """Refuse what is no tensor."""
    for value in values:
        if not isinstance(value, Tensor):
            raise TypeError(
                f"ttnn.{op}: incompatible function arguments, expected a ttnn.Tensor, got {type(value).__name__}"
            )


def need_memory(op: str, *tensors: Tensor | None) -> None:
    """Refuse host and dead tensors in ops that ask for a tensor's device before they look whether it has one."""
    for tensor in tensors:
        if tensor is None:
            continue
        need_tensor(op, tensor)
        if tensor.mesh is None or not tensor.is_allocated():
            raise RuntimeError(
                f"ttnn.{op}: tensor {tensor.shape} is on host or was deallocated, the real library crashes here"
            )


def need_dtype(op: str, tensor: Tensor, kinds: Collection[DataType]) -> None:
    """Refuse a tensor whose dtype is none of ``kinds``."""
    if tensor.dtype not in kinds:
        listed = ", ".join(kind.name for kind in kinds)
        raise RuntimeError(f"ttnn.{op}: data type of tensor {tensor.shape} must be {listed}, got {tensor.dtype.name}")


def need_rank(op: str, tensor: Tensor, rank: int) -> None:
    """Refuse a tensor with fewer or more than ``rank`` dims."""
    if len(tensor.extents) != rank:
        raise RuntimeError(
            f"ttnn.{op}: dim {rank - 1} is out of range, expected a tensor of {rank} dims, got {tensor.shape}"
        )


def need_axis(op: str, cluster_axis: int | None) -> None:
    """Refuse what is no axis of a mesh."""
    if cluster_axis is None:
        return
    if not isinstance(cluster_axis, int) or cluster_axis < 0:
        raise TypeError(f"ttnn.{op}: incompatible function arguments, cluster_axis {cluster_axis!r}")
    if cluster_axis >= MESH_DIMS:
        raise RuntimeError(f"ttnn.{op}: cluster_axis {cluster_axis} is invalid, a mesh has axes 0 and 1")
