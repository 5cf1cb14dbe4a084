"""Move tensors between memories and between ways of lying there."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ttemu.cores import CoreCoord, CoreRangeSet, num_cores_to_corerangeset
from ttemu.dtypes import DataType, Layout
from ttemu.formats import load
from ttemu.frame import alias, held, need_layout, overwrite, stored, view, write
from ttemu.memory import (
    DRAM_MEMORY_CONFIG,
    BufferType,
    MemoryConfig,
    ShardOrientation,
    ShardSpec,
    TensorMemoryLayout,
)
from ttemu.tensor import Tensor

__all__ = ["clone", "identity", "interleaved_to_sharded", "move", "reallocate", "sharded_to_interleaved"]
__all__ += ["to_memory_config"]


def to_memory_config(
    tensor: Tensor,
    memory_config: MemoryConfig,
    dtype: DataType | None = None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Return the tensor in another memory config; the same one gives an alias, in its old dtype."""
    data = stored("to_memory_config", tensor)
    if memory_config.is_sharded() and memory_config.shard_spec is None:
        raise RuntimeError("ttnn.to_memory_config: sharded memory config has no shard spec (bad optional access)")
    if output_tensor is not None:
        if output_tensor.memory_config() != memory_config:
            raise RuntimeError("ttnn.to_memory_config: mismatched output memory config of the output tensor")
        return overwrite("to_memory_config", load(data), output_tensor)
    if tensor.memory_config() == memory_config:
        return alias(tensor)
    if dtype is not None and dtype is not tensor.dtype:
        need_layout("to_memory_config", tensor, Layout.TILE)
        return write("to_memory_config", load(data), tensor, dtype=dtype, memory_config=memory_config)
    return view("to_memory_config", data, tensor, memory_config=memory_config)


def interleaved_to_sharded(
    input_tensor: Tensor,
    sharded_memory_config: MemoryConfig | CoreCoord | CoreRangeSet | Sequence[int],
    *shards: object,
    output_dtype: DataType | None = None,
    keep_l1_aligned: bool | None = None,
) -> Tensor:
    """Return the tensor sharded over cores.

    Called as ``(x, config, dtype)`` or as ``(x, grid, shard shape, memory layout, orientation, dtype)``.
    """
    del keep_l1_aligned
    stored("interleaved_to_sharded", input_tensor)
    config, rest = _sharded_config(input_tensor, sharded_memory_config, shards)
    if len(rest) > 1 or not isinstance(config, MemoryConfig):
        raise TypeError("ttnn.interleaved_to_sharded: incompatible function arguments")
    if not config.is_sharded():
        raise RuntimeError("ttnn.interleaved_to_sharded: output memory config must be sharded")
    dtype = rest[0] if rest and isinstance(rest[0], DataType) else output_dtype
    sharded = to_memory_config(input_tensor, config, dtype)
    if input_tensor.is_sharded():
        raise RuntimeError("ttnn.interleaved_to_sharded: input memory config must be interleaved")
    return sharded


def _sharded_config(tensor: Tensor, first: object, rest: tuple[object, ...]) -> tuple[object, tuple[object, ...]]:
    """Return the memory config that a grid and what follows it describe, and what is left."""
    if isinstance(first, MemoryConfig) or tensor.mesh is None or len(rest) < 3:
        return first, rest
    shape, layout, orientation, *left = rest
    if isinstance(first, Sequence):
        first = CoreCoord(*first)
    grid = num_cores_to_corerangeset(first.x * first.y, first, row_wise=True) if isinstance(first, CoreCoord) else first
    if (
        not isinstance(grid, CoreRangeSet)
        or not isinstance(shape, Sequence)
        or not isinstance(layout, TensorMemoryLayout)
        or not isinstance(orientation, ShardOrientation)
    ):
        raise TypeError("ttnn.interleaved_to_sharded: incompatible function arguments")
    return MemoryConfig(layout, BufferType.L1, ShardSpec(grid, shape, orientation)), tuple(left)


def sharded_to_interleaved(
    input_tensor: Tensor,
    memory_config: MemoryConfig = DRAM_MEMORY_CONFIG,
    output_dtype: DataType | None = None,
) -> Tensor:
    """Return the tensor interleaved."""
    held("sharded_to_interleaved", input_tensor)
    if not input_tensor.is_sharded():
        return alias(input_tensor)
    if memory_config.is_sharded():
        raise RuntimeError("ttnn.sharded_to_interleaved: output memory config must be interleaved")
    return to_memory_config(input_tensor, memory_config, output_dtype)


def _values(op: str, tensor: Tensor) -> torch.Tensor:
    """Return what a tensor holds, refusing what the real library reads without a look."""
    if isinstance(tensor, Tensor) and (tensor.mesh is None or not tensor.is_allocated()):
        raise RuntimeError(f"ttnn.{op}: {tensor.shape} is not on device, the real library crashes here")
    return stored(op, tensor)


def clone(
    input: Tensor,
    *,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    compute_kernel_config: object = None,
) -> Tensor:
    """Return a copy."""
    del compute_kernel_config
    data = _values("clone", input)
    if dtype is not None and dtype is not input.dtype:
        need_layout("clone", input, Layout.TILE)
    if memory_config is not None and memory_config.is_sharded() != input.is_sharded():
        raise RuntimeError("ttnn.clone: input and output must both be interleaved, or both sharded")
    return write("clone", load(data).clone(), input, dtype=dtype, memory_config=memory_config)


def identity(input_tensor: Tensor, *, memory_config: MemoryConfig | None = None) -> Tensor:
    """Return a copy."""
    return write("identity", load(_values("identity", input_tensor)).clone(), input_tensor, memory_config=memory_config)


def reallocate(tensor: Tensor, memory_config: MemoryConfig | None = None) -> Tensor:
    """Return the tensor in new memory and free the old."""
    data = stored("reallocate", tensor)
    if memory_config is not None and tensor.is_sharded() and not memory_config.is_sharded():
        raise RuntimeError("ttnn.reallocate: output memory config of a sharded tensor must be sharded")
    moved = view("reallocate", data, tensor, memory_config=memory_config)
    tensor.deallocate(force=True)
    return moved


def move(input_tensor: Tensor, *, memory_config: MemoryConfig | None = None) -> Tensor:
    """Return the tensor in new memory and free the old."""
    return reallocate(input_tensor, memory_config)
