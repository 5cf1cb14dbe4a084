"""Move values between the two leading mesh dims of a tensor and its own dims.

Data is ``[rows or 1, cols or 1, *shard]``: size 1 means that all devices along that axis hold the same values.
"""

from __future__ import annotations

import torch

__all__ = ["MESH_DIMS", "copies", "cut", "join", "mesh_of", "split", "spread"]

MESH_DIMS = 2


def cut(data: torch.Tensor, at: int, sizes: tuple[int, ...]) -> torch.Tensor:
    """Cut dim ``at`` of the data into several; one size may be -1."""
    at %= data.dim()
    return data.reshape(*data.shape[:at], *sizes, *data.shape[at + 1 :])


def mesh_of(*datas: torch.Tensor) -> tuple[int, int]:
    """Return the mesh dims that several operands broadcast to."""
    rows, cols = (max(data.shape[axis] for data in datas) for axis in range(MESH_DIMS))
    return rows, cols


def split(data: torch.Tensor, axis: int, dim: int, parts: int) -> torch.Tensor:
    """Cut tensor dim ``dim`` into ``parts`` and lay them along mesh axis ``axis``, which must have size 1."""
    at = dim + MESH_DIMS
    return cut(data, at, (parts, data.shape[at] // parts)).movedim(at, axis).squeeze(axis + 1)


def join(data: torch.Tensor, axis: int, dim: int) -> torch.Tensor:
    """Concatenate the shards along mesh axis ``axis`` into tensor dim ``dim``; the axis gets size 1."""
    before = dim + MESH_DIMS - 1
    return data.movedim(axis, before).flatten(before, before + 1).unsqueeze(axis)


def copies(data: torch.Tensor, axis: int, count: int) -> torch.Tensor:
    """Give mesh axis ``axis`` its full size, as a view without a copy."""
    if data.shape[axis] == count:
        return data
    sizes = list(data.shape)
    sizes[axis] = count
    return data.expand(sizes)


def spread(data: torch.Tensor, span: tuple[int, int]) -> torch.Tensor:
    """Give both mesh axes their full size, as a view without a copy."""
    return data.expand(*span, *data.shape[MESH_DIMS:])
