"""Sum, gather and scatter what lies along an axis of the mesh; nothing here checks."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ttemu.axes import MESH_DIMS, copies, cut, join, split
from ttemu.dtypes import DataType
from ttemu.formats import load, store

__all__ = ["gather_axis", "own_part", "scatter_axis", "set_accumulation", "sum_axis"]

EXACT, HOP = "exact", "hop"


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
