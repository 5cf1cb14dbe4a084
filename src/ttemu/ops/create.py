"""Make tensors from nothing but a shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout, is_block_float
from ttemu.formats import store
from ttemu.frame import held, write
from ttemu.memory import DRAM_MEMORY_CONFIG, MemoryConfig, check_shards
from ttemu.mesh import MeshDevice
from ttemu.shapes import Shape
from ttemu.shards import chosen
from ttemu.tensor import Buffer, Tensor, padded_extents

__all__ = ["allocate_tensor_on_device", "arange", "empty", "empty_like", "full", "full_like", "moreh_full", "ones"]
__all__ += ["ones_like", "zeros", "zeros_like"]

_FILLED = frozenset({DataType.BFLOAT16, DataType.FLOAT32, DataType.INT32})
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
    _check(dtype, layout, device, memory_config)
    kind = dtype or DataType.BFLOAT16
    place = Layout.TILE if is_block_float(kind) else layout or Layout.ROW_MAJOR
    # One value stands for all: what is never read takes no room on the host.
    one = store(torch.full((1,) * (MESH_DIMS + len(shape)), float(fill_value)), kind)
    buffer = Buffer(one.expand(1, 1, *shape), borrowed=True)
    if device is None:
        return Tensor(buffer, kind, place, None, None, (1, 1))
    device.check_open("ttnn.full")
    config = DRAM_MEMORY_CONFIG if memory_config is None else chosen(memory_config, tuple(shape), place, device)
    padded = padded_extents(tuple(shape), place)
    check_shards("ttnn.full", config, padded, device.compute_with_storage_grid_size(), tiled=place is Layout.TILE)
    return Tensor(buffer, kind, place, config, device, device.span)


def _check(dtype: object, layout: object, device: object, memory_config: object) -> None:
    """Refuse settings of a wrong type."""
    kinds = ((dtype, DataType), (layout, Layout), (device, MeshDevice), (memory_config, MemoryConfig))
    for value, kind in kinds:
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"full(): incompatible function arguments, {value!r} is no {kind.__name__}")


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
    """Return a device tensor of one value, bfloat16 in tiles unless told otherwise."""
    if not isinstance(device, MeshDevice):
        raise TypeError(f"ttnn.moreh_full: incompatible function arguments, device {device!r}")
    _check(dtype, layout, device, memory_config)
    if (dtype or DataType.BFLOAT16) not in _FILLED:
        raise RuntimeError(f"ttnn.moreh_full: unsupported data type {dtype}")
    if len(shape) < 2:
        raise RuntimeError(f"ttnn.moreh_full: shape size must be greater than 1, got {len(shape)}")
    layout = Layout.TILE if layout is None else layout
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
    _check(dtype, layout, device, memory_config)
    held("full_like", tensor)
    kind, place = dtype or tensor.dtype, layout or tensor.layout
    if is_block_float(kind) and place is not Layout.TILE:
        raise RuntimeError(f"ttnn.full_like: Only TILE layout is supported for {kind.name} dtype!")
    if tensor.mesh is None and device is not None:
        return full(tensor.extents, fill_value, kind, place, device, memory_config)
    if tensor.mesh is not None and memory_config is not None:
        memory_config = chosen(memory_config, tensor.extents, layout or tensor.layout, tensor.mesh)
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
    if isinstance(tensor, Tensor) and tensor.mesh is None and device is None:
        raise RuntimeError(f"ttnn.empty_like: tensor {tensor.shape} is on host, the real library crashes here")
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
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
    *,
    dtype: DataType | None = None,
    device: MeshDevice | None = None,
    memory_config: MemoryConfig | None = None,
    layout: Layout | None = None,
) -> Tensor:
    """Return start, start + step, ... below ``end`` as [n]."""
    _check(dtype, layout, device, memory_config)
    first, last = (0, start) if end is None else (start or 0, end)
    if not all(isinstance(value, int) for value in (first, last, step)):
        raise TypeError(f"ttnn.arange: incompatible function arguments ({start!r}, {end!r}, {step!r})")
    assert last is not None
    if step and (last - first) * step < 0:
        raise RuntimeError(f"ttnn.arange: invalid range, step {step} does not lead from {first} to {last}")
    kind = dtype or DataType.BFLOAT16
    data = store(torch.arange(first, last, step)[None, None], kind)
    place = layout or Layout.ROW_MAJOR
    if device is None:
        return Tensor(Buffer(data), kind, place, None, None, (1, 1))
    return Tensor(Buffer(data), kind, place, memory_config or DRAM_MEMORY_CONFIG, device, device.span)
