"""Change how a tensor is held: layout, memory config, dtype, life and death."""

from __future__ import annotations

from ttemu.convert import encode
from ttemu.dtypes import DataType, Layout, is_block_float
from ttemu.formats import load
from ttemu.frame import alias, overwrite, read, stored, view, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig
from ttemu.tensor import Buffer, Tensor, padded_extents

__all__ = ["clone", "deallocate", "identity", "interleaved_to_sharded", "is_tensor_storage_on_device", "move"]
__all__ += ["reallocate", "sharded_to_interleaved", "tilize", "tilize_with_zero_padding", "to_dtype", "to_layout"]
__all__ += ["to_memory_config", "typecast", "untilize"]


def to_layout(
    tensor: Tensor,
    layout: Layout,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    sub_core_grids: object = None,
    pad_value: float = 0.0,
) -> Tensor:
    """Return the tensor in ``layout``; bfloat8_b becomes bfloat16 in ROW_MAJOR, bfloat4_b is refused there."""
    del sub_core_grids, pad_value
    data = tensor.data("ttnn.to_layout")
    if tensor.layout is layout:
        return alias(tensor)
    if layout is Layout.ROW_MAJOR and is_block_float(tensor.dtype):
        if tensor.mesh is None or tensor.dtype is not DataType.BFLOAT8_B:
            place = "host " if tensor.mesh is None else ""
            raise RuntimeError(f"ttnn.to_layout: {place}{tensor.dtype.name} tensor cannot be in ROW_MAJOR layout")
        dtype = DataType.BFLOAT16
    if dtype is not None and dtype is not tensor.dtype:
        if layout is Layout.ROW_MAJOR and not is_block_float(tensor.dtype):
            raise RuntimeError(
                f"ttnn.to_layout: dtype cannot be different from tensor dtype {tensor.dtype.name} when converting to "
                f"ROW_MAJOR_LAYOUT, got {dtype.name}"
            )
        return write("to_layout", load(data), tensor, dtype=dtype, layout=layout, memory_config=memory_config)
    return view("to_layout", data, tensor, layout=layout, memory_config=memory_config)


def tilize(
    input_tensor: Tensor,
    *,
    memory_config: MemoryConfig | None = None,
    dtype: DataType | None = None,
    use_multicore: bool = True,
) -> Tensor:
    """Return a ROW_MAJOR tensor, whose last two dims are multiples of 32, in TILE layout."""
    stored("tilize", input_tensor)
    if any(extent % TILE_SIZE for extent in input_tensor.extents[-2:]):
        raise RuntimeError(
            f"ttnn.tilize: shape {input_tensor.shape} must be a multiple of the {TILE_SIZE}x{TILE_SIZE} tile"
        )
    return tilize_with_zero_padding(
        input_tensor, memory_config=memory_config, output_dtype=dtype, use_multicore=use_multicore
    )


def tilize_with_zero_padding(
    input_tensor: Tensor,
    *,
    memory_config: MemoryConfig | None = None,
    output_dtype: DataType | None = None,
    use_multicore: bool = True,
) -> Tensor:
    """Return a ROW_MAJOR tensor in TILE layout, padded with zeros."""
    del use_multicore
    stored("tilize_with_zero_padding", input_tensor)
    return to_layout(input_tensor, Layout.TILE, output_dtype, memory_config)


def untilize(input_tensor: Tensor, *, memory_config: MemoryConfig | None = None, use_multicore: bool = True) -> Tensor:
    """Return a TILE tensor in ROW_MAJOR layout."""
    del use_multicore
    stored("untilize", input_tensor)
    return to_layout(input_tensor, Layout.ROW_MAJOR, None, memory_config)


def to_memory_config(
    tensor: Tensor,
    memory_config: MemoryConfig,
    dtype: DataType | None = None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Return the tensor in another memory config; the same one gives an alias."""
    data = stored("to_memory_config", tensor)
    if memory_config.is_sharded() and memory_config.shard_spec is None:
        raise RuntimeError("ttnn.to_memory_config: sharded memory config has no shard spec (bad optional access)")
    if output_tensor is not None:
        return overwrite("to_memory_config", load(data), output_tensor)
    if dtype is not None and dtype is not tensor.dtype:
        return write("to_memory_config", load(data), tensor, dtype=dtype, memory_config=memory_config)
    if tensor.memory_config() == memory_config:
        return alias(tensor)
    return view("to_memory_config", data, tensor, memory_config=memory_config)


def interleaved_to_sharded(
    input_tensor: Tensor,
    sharded_memory_config: MemoryConfig,
    output_dtype: DataType | None = None,
    *,
    keep_l1_aligned: bool = False,
) -> Tensor:
    """Return the tensor sharded over cores."""
    del keep_l1_aligned
    if not sharded_memory_config.is_sharded():
        raise RuntimeError("ttnn.interleaved_to_sharded: output memory config must be sharded")
    return to_memory_config(input_tensor, sharded_memory_config, output_dtype)


def sharded_to_interleaved(
    input_tensor: Tensor,
    memory_config: MemoryConfig = DRAM_MEMORY_CONFIG,
    output_dtype: DataType | None = None,
) -> Tensor:
    """Return the tensor interleaved."""
    if not input_tensor.is_sharded():
        stored("sharded_to_interleaved", input_tensor)
        return alias(input_tensor)
    return to_memory_config(input_tensor, memory_config, output_dtype)


def clone(
    input: Tensor,
    *,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    compute_kernel_config: object = None,
) -> Tensor:
    """Return a copy."""
    del compute_kernel_config
    values = read("clone", input)
    return write("clone", values.clone(), input, dtype=dtype, memory_config=memory_config)


def typecast(
    input_tensor: Tensor,
    dtype: DataType,
    *,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return the values in another dtype; a host tensor stays on host."""
    del sub_core_grids
    if not isinstance(dtype, DataType):
        raise TypeError(f"ttnn.typecast: incompatible function arguments, dtype {dtype!r}")
    data = input_tensor.data("ttnn.typecast")
    if is_block_float(dtype) and input_tensor.layout is Layout.ROW_MAJOR:
        raise RuntimeError(f"ttnn.typecast: ROW_MAJOR input cannot become {dtype.name}, which needs TILE layout")
    if output_tensor is not None:
        return overwrite("typecast", load(data), output_tensor)
    if dtype is input_tensor.dtype:
        return view("typecast", data, input_tensor, memory_config=memory_config)
    return write("typecast", load(data), input_tensor, dtype=dtype, memory_config=memory_config)


def to_dtype(tensor: Tensor, dtype: DataType) -> Tensor:
    """Return a host tensor in another dtype."""
    if tensor.mesh is not None:
        raise RuntimeError("ttnn.to_dtype: expected a host tensor, got a device tensor; use ttnn.typecast")
    data = load(tensor.data("ttnn.to_dtype"))
    tiled = padded_extents(tensor.extents, Layout.TILE)
    if is_block_float(dtype) and tensor.layout is Layout.ROW_MAJOR and tiled != tensor.extents:
        raise RuntimeError(
            "ttnn.to_dtype: Converting layout to TILE implicitly changed physical shape from "
            f"{list(tensor.extents)} to {list(tiled)}; pad the tensor before"
        )
    layout = Layout.TILE if is_block_float(dtype) else tensor.layout
    return Tensor(Buffer(encode(data, dtype)), dtype, layout, None, None, tensor.span)


def deallocate(tensor: Tensor, force: bool = True) -> None:
    """Free a tensor's memory; a second time does nothing."""
    tensor.deallocate(force)


def reallocate(tensor: Tensor, memory_config: MemoryConfig | None = None) -> Tensor:
    """Return the tensor in new memory and free the old."""
    moved = view("reallocate", stored("reallocate", tensor), tensor, memory_config=memory_config)
    tensor.deallocate(force=True)
    return moved


def move(input_tensor: Tensor, *, memory_config: MemoryConfig | None = None) -> Tensor:
    """Return the tensor in new memory and free the old."""
    return reallocate(input_tensor, memory_config)


def identity(input_tensor: Tensor, *, memory_config: MemoryConfig | None = None) -> Tensor:
    """Return a copy."""
    return clone(input_tensor, memory_config=memory_config)


def is_tensor_storage_on_device(tensor: Tensor) -> bool:
    """Say whether the tensor is on a device."""
    return tensor.mesh is not None
