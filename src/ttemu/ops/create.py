"""Make tensors from nothing but a shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu.dtypes import DataType, Layout, is_block_float
from ttemu.formats import store
from ttemu.frame import write
from ttemu.memory import DRAM_MEMORY_CONFIG, MemoryConfig
from ttemu.mesh import MeshDevice
from ttemu.shapes import Shape
from ttemu.tensor import Buffer, Tensor

__all__ = ["allocate_tensor_on_device", "arange", "empty", "empty_like", "full", "full_like", "moreh_full", "ones"]
__all__ += ["ones_like", "zeros", "zeros_like"]

Extents = Sequence[int] | Shape


def full(
    shape: Extents,
    fill_value: float,
    dtype: DataType | None = None,
    layout: Layout | None = None,
    device: MeshDevice | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return a tensor of one value, on host if no device is given."""
    kind = dtype or DataType.BFLOAT16
    place = Layout.TILE if is_block_float(kind) else layout or Layout.ROW_MAJOR
    data = store(torch.full((1, 1, *shape), float(fill_value)), kind)
    if device is None:
        return Tensor(Buffer(data), kind, place, None, None, (1, 1))
    device.check_open("ttnn.full")
    return Tensor(Buffer(data), kind, place, memory_config or DRAM_MEMORY_CONFIG, device, device.span)


def zeros(
    shape: Extents,
    dtype: DataType | None = None,
    layout: Layout | None = None,
    device: MeshDevice | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return a tensor of zeros."""
    return full(shape, 0.0, dtype=dtype, layout=layout, device=device, memory_config=memory_config)


def ones(
    shape: Extents,
    dtype: DataType | None = None,
    layout: Layout | None = None,
    device: MeshDevice | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return a tensor of ones."""
    return full(shape, 1.0, dtype=dtype, layout=layout, device=device, memory_config=memory_config)


def empty(
    shape: Extents,
    dtype: DataType | None = None,
    layout: Layout | None = None,
    device: MeshDevice | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return a device tensor whose values are not to be read; they are zeros here."""
    if device is None:
        raise TypeError("ttnn.empty: incompatible function arguments, device is needed")
    return full(shape, 0.0, dtype, layout, device, memory_config)


def moreh_full(
    shape: Extents,
    fill_value: float,
    device: MeshDevice,
    *,
    dtype: DataType | None = None,
    layout: Layout | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return a device tensor of one value."""
    return full(shape, fill_value, dtype=dtype, layout=layout, device=device, memory_config=memory_config)


def allocate_tensor_on_device(
    shape: Extents,
    dtype: DataType,
    layout: Layout,
    mesh_device: MeshDevice,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return a device tensor whose values are not to be read; they are zeros here."""
    return full(shape, 0.0, dtype=dtype, layout=layout, device=mesh_device, memory_config=memory_config)


def full_like(
    tensor: Tensor,
    fill_value: float,
    dtype: DataType | None = None,
    layout: Layout | None = None,
    device: MeshDevice | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return a tensor of one value in the shape of another."""
    del device
    tensor.data("ttnn.full_like")
    values = torch.full((1, 1, *tensor.extents), float(fill_value))
    return write("full_like", values, tensor, dtype=dtype, layout=layout, memory_config=memory_config)


def zeros_like(
    tensor: Tensor,
    dtype: DataType | None = None,
    layout: Layout | None = None,
    device: MeshDevice | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return zeros in the shape of a tensor."""
    return full_like(tensor, 0.0, dtype=dtype, layout=layout, device=device, memory_config=memory_config)


def empty_like(
    tensor: Tensor,
    *,
    dtype: DataType | None = None,
    layout: Layout | None = None,
    device: MeshDevice | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return a tensor in the shape of another whose values are not to be read; they are zeros here."""
    return zeros_like(tensor, dtype, layout, device, memory_config)


def ones_like(
    tensor: Tensor,
    dtype: DataType | None = None,
    layout: Layout | None = None,
    device: MeshDevice | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return ones in the shape of a tensor."""
    return full_like(tensor, 1.0, dtype=dtype, layout=layout, device=device, memory_config=memory_config)


def arange(
    start: int,
    end: int | None = None,
    step: int = 1,
    dtype: DataType | None = None,
    device: MeshDevice | None = None,
    memory_config: MemoryConfig | None = None,
    *,
    layout: Layout | None = None,
) -> Tensor:
    """Return start, start + step, ... below ``end`` as [n]."""
    first, last = (0, start) if end is None else (start, end)
    kind = dtype or DataType.BFLOAT16
    data = store(torch.arange(first, last, step)[None, None], kind)
    place = layout or Layout.ROW_MAJOR
    if device is None:
        return Tensor(Buffer(data), kind, place, None, None, (1, 1))
    return Tensor(Buffer(data), kind, place, memory_config or DRAM_MEMORY_CONFIG, device, device.span)
