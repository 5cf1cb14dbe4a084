"""Select the largest or smallest values along one dim of each device's shard."""

from __future__ import annotations

import torch

from ttemu.axes import MESH_DIMS, mesh_of
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, need_layout, overwrite, read, write
from ttemu.memory import MemoryConfig
from ttemu.shapes import FULL_RANK
from ttemu.tensor import Tensor

__all__ = ["topk"]

UINT16_INDICES = 65536
STABLE_WIDTH = 8192
LEAST_WIDTH = 64
_SORTED = {DataType.BFLOAT16, DataType.BFLOAT8_B, DataType.FLOAT32}
_INDEX_DTYPES = {DataType.UINT16, DataType.UINT32, DataType.INT32}


def topk(
    input_tensor: Tensor,
    k: int = 32,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,
    *,
    memory_config: MemoryConfig | None = None,
    sub_core_grids: object = None,
    indices_tensor: Tensor | None = None,
    output_tensor: tuple[Tensor, Tensor] | None = None,
    stable: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the ``k`` largest values in the input's dtype and their indices, uint16 where they fit.

    With ``indices_tensor``, in the input's shape, what it holds at those places is returned instead of the indices.
    """
    del sub_core_grids
    at = _check(input_tensor, k, dim)
    if indices_tensor is not None:
        _check_indices(input_tensor, indices_tensor, at)
    values = read("topk", input_tensor)
    need_layout("topk", input_tensor, Layout.TILE)
    if input_tensor.dtype not in _SORTED:
        raise RuntimeError(f"ttnn.topk: input dtype must be bfloat16, bfloat8_b or float32, got {input_tensor.dtype}")
    best, indices = _select(values, k, at + MESH_DIMS, largest=largest, in_order=sorted)
    if indices_tensor is not None:
        if stable:
            raise RuntimeError("ttnn.topk: stable=True does not support a custom indices tensor")
        indices = _named(indices, indices_tensor)
    if output_tensor is not None:
        return _written(best, indices, output_tensor)
    kind = _index_dtype(input_tensor, at, indices_tensor) if k else input_tensor.dtype
    # The real library transposes another dim to the end, and the way back follows the input.
    place = memory_config if at == len(input_tensor.extents) - 1 else None
    return (
        write("topk", best, input_tensor, memory_config=place),
        write("topk", indices, input_tensor, dtype=kind, memory_config=place),
    )


def _check(tensor: Tensor, k: int, dim: int) -> int:
    """Return ``dim`` counted from the front."""
    if not isinstance(tensor, Tensor) or k < 0:
        raise TypeError(f"ttnn.topk: incompatible function arguments, k is {k}")
    if tensor.mesh is None:
        raise RuntimeError(f"ttnn.topk: input tensor {tensor.shape} must be on device")
    rank = len(tensor.extents)
    if not -rank <= dim < rank:
        raise RuntimeError(f"ttnn.topk: dim {dim} is out of range for a tensor of rank {rank}")
    width = tensor.extents[dim]
    if k > width:
        raise RuntimeError(f"ttnn.topk: K {k} cannot be larger than the dimension size {width}")
    return dim % rank


def _check_indices(tensor: Tensor, indices: Tensor, at: int) -> None:
    check_same_device("topk", tensor, indices)
    rank = len(tensor.extents)
    if indices.extents != tensor.extents:
        raise RuntimeError(f"ttnn.topk: indices tensor {indices.shape} must have the shape {tensor.shape}")
    if at != rank - 1:
        raise RuntimeError(f"ttnn.topk: an indices tensor is only supported for the last dimension, got {at}")
    if tensor.extents[at] < LEAST_WIDTH and rank < FULL_RANK:
        raise RuntimeError(f"ttnn.topk: padding of narrow indices is longer than the tensor rank {rank}")
    wide = tensor.dtype is DataType.FLOAT32 and indices.dtype is DataType.UINT16
    if wide or indices.dtype not in _INDEX_DTYPES:
        raise RuntimeError(f"ttnn.topk: indices dtype {indices.dtype} does not go with {tensor.dtype}")
    need_layout("topk", indices, Layout.TILE)


def _named(places: torch.Tensor, indices: Tensor) -> torch.Tensor:
    names = read("topk", indices)
    mesh = mesh_of(places, names)
    return names.expand(*mesh, *names.shape[MESH_DIMS:]).gather(-1, places.expand(*mesh, *places.shape[MESH_DIMS:]))


def _index_dtype(tensor: Tensor, at: int, indices: Tensor | None) -> DataType:
    if indices is not None:
        return indices.dtype
    small = tensor.extents[at] <= UINT16_INDICES and tensor.dtype is not DataType.FLOAT32
    return DataType.UINT16 if small else DataType.UINT32


def _written(best: torch.Tensor, indices: torch.Tensor, targets: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return overwrite("topk", best, targets[0]), overwrite("topk", indices, targets[1])


def _select(
    values: torch.Tensor, k: int, dim: int, *, largest: bool, in_order: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Select along ``dim``; up to a width of 8192 equal values come lowest index first."""
    if values.shape[dim] > STABLE_WIDTH:
        top = values.topk(k, dim=dim, largest=largest, sorted=in_order)
        return top.values, top.indices
    ordered, indices = torch.sort(values, dim=dim, descending=largest, stable=True)
    return ordered.narrow(dim, 0, k), indices.narrow(dim, 0, k)
