"""Wrap an op's arithmetic: read its tensors as numbers, round its result into a tensor.

Every op is ``write(op, f(*read(op, ...)), like)``: values come in as float32 (or integers) with the mesh dims
in front and are rounded once, on the way out.
"""

from __future__ import annotations

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout, is_block_float, is_floating
from ttemu.formats import load, store
from ttemu.memory import MemoryConfig, check_shards
from ttemu.tensor import Buffer, Tensor, padded_extents

__all__ = [
    "alias",
    "align",
    "check_same_device",
    "dim_in",
    "held",
    "need_floating",
    "need_layout",
    "overwrite",
    "read",
    "stored",
]
__all__ += ["view", "write"]


def _not_a_tensor(op: str, found: object) -> TypeError:
    return TypeError(f"ttnn.{op}: incompatible function arguments, expected a ttnn.Tensor, got {type(found).__name__}")


def held(op: str, tensor: Tensor) -> torch.Tensor:
    """Return what a host or device tensor holds, refusing what is no tensor or a dead one."""
    if not isinstance(tensor, Tensor):
        raise _not_a_tensor(op, tensor)
    return tensor.data(f"ttnn.{op}")


def stored(op: str, tensor: Tensor) -> torch.Tensor:
    """Return what a device tensor holds, refusing host and dead tensors."""
    if not isinstance(tensor, Tensor):
        raise _not_a_tensor(op, tensor)
    if tensor.mesh is None:
        raise RuntimeError(f"ttnn.{op}: operands must be on device, but tensor {tensor.shape} is on host")
    tensor.mesh.has_run = True
    data = tensor.data(f"ttnn.{op}")
    if tensor.span != tensor.mesh.span:
        raise RuntimeError(
            f"ttnn.{op}: tensor covers {tensor.span[0]}x{tensor.span[1]} devices of {tensor.mesh}, "
            "the real library crashes here; use it with to_torch only"
        )
    return data


def read(op: str, tensor: Tensor) -> torch.Tensor:
    """Return a device tensor's values as float32 or integers [rows|1, cols|1, *shape]."""
    return load(stored(op, tensor))


def check_same_device(op: str, *tensors: Tensor | None) -> None:
    """Refuse tensors of different meshes or of different parts of one."""
    present = [tensor for tensor in tensors if tensor is not None]
    first = present[0]
    for other in present[1:]:
        if other.mesh is not first.mesh or other.span != first.span:
            raise RuntimeError(f"ttnn.{op}: operands need to be on the same device, got {first} and {other}")


def need_layout(op: str, tensor: Tensor, layout: Layout) -> None:
    """Refuse a tensor in another layout."""
    if tensor.layout is not layout:
        raise RuntimeError(
            f"ttnn.{op}: input tensor {tensor.shape} must be in {layout.name} layout, got {tensor.layout.name}"
        )


def need_floating(op: str, tensor: Tensor) -> None:
    """Refuse an integer tensor."""
    if not is_floating(tensor.dtype):
        raise RuntimeError(f"ttnn.{op}: unsupported data format {tensor.dtype.name}, expected a floating one")


def dim_in(op: str, dim: int, rank: int) -> int:
    """Return ``dim`` counted from the front, refusing one outside a tensor of ``rank``."""
    if not -rank <= dim < rank:
        raise RuntimeError(f"ttnn.{op}: dim {dim} is out of range for a tensor of rank {rank}")
    return dim % rank


def align(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give both the same rank by putting ones behind the mesh dims of the shorter."""
    gap = first.dim() - second.dim()
    if gap > 0:
        return first, pad_rank(second, gap)
    return (pad_rank(first, -gap), second) if gap else (first, second)


def pad_rank(data: torch.Tensor, count: int) -> torch.Tensor:
    """Put ``count`` ones behind the mesh dims."""
    return data.reshape(*data.shape[:MESH_DIMS], *(1,) * count, *data.shape[MESH_DIMS:])


def write(
    op: str,
    values: torch.Tensor,
    like: Tensor,
    *,
    dtype: DataType | None = None,
    layout: Layout | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Round ``values`` into a new tensor that takes from ``like`` what is not given."""
    if output_tensor is not None:
        return overwrite(op, values, output_tensor)
    kind = like.dtype if dtype is None else dtype
    return _wrap(op, Buffer(store(values, kind)), like, kind, layout, memory_config)


def view(
    op: str,
    data: torch.Tensor,
    like: Tensor,
    *,
    requantise: bool = False,
    in_place: bool = False,
    dtype: DataType | None = None,
    layout: Layout | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Wrap rearranged stored ``data`` of ``like``; ``requantise`` if blocks of 16 were torn apart.

    ``in_place``: the real device gives the same memory another shape.
    """
    kind = like.dtype if dtype is None else dtype
    if requantise and is_block_float(kind):
        return _wrap(op, Buffer(store(data, kind)), like, kind, layout, memory_config)
    like.buffer.borrowed = True
    base = (like.buffer.owner() or like.buffer) if in_place and like.mesh is not None else None
    return _wrap(op, Buffer(data, borrowed=True, base=base), like, kind, layout, memory_config)


def _wrap(
    op: str,
    buffer: Buffer,
    like: Tensor,
    dtype: DataType,
    layout: Layout | None,
    memory_config: MemoryConfig | None,
) -> Tensor:
    place = like.layout if layout is None else layout
    if is_block_float(dtype):
        place = Layout.TILE
    if memory_config is None:
        memory_config = like.memory_config()
    elif not isinstance(memory_config, MemoryConfig):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, memory_config {memory_config!r}")
    elif memory_config.shard_spec is not None and like.mesh is not None and buffer.data is not None:
        padded = padded_extents(tuple(buffer.data.shape[MESH_DIMS:]), place)
        grid = like.mesh.compute_with_storage_grid_size()
        check_shards(f"ttnn.{op}", memory_config, padded, grid, tiled=place is Layout.TILE)
    return Tensor(buffer, dtype, place, memory_config, like.mesh, like.span)


def alias(tensor: Tensor) -> Tensor:
    """Return another handle to the same memory."""
    return Tensor(tensor.buffer, tensor.dtype, tensor.layout, tensor.memory_config(), tensor.mesh, tensor.span)


def overwrite(op: str, values: torch.Tensor, target: Tensor) -> Tensor:
    """Round ``values`` into the memory of ``target`` and return another handle to it."""
    stored(op, target)
    if tuple(values.shape[MESH_DIMS:]) != target.extents:
        raise RuntimeError(
            f"ttnn.{op}: output tensor {target.shape} must have the shape {list(values.shape[MESH_DIMS:])}"
        )
    target.buffer.data = store(values, target.dtype)
    target.buffer.borrowed = False
    return alias(target)
