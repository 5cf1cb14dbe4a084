"""Change how a tensor is held: layout, dtype, life and death."""

from __future__ import annotations

import torch

from ttemu.convert import encode
from ttemu.dtypes import INTEGERS, DataType, Layout, is_block_float
from ttemu.formats import load
from ttemu.frame import alias, held, need_layout, overwrite, stored, view, write
from ttemu.memory import TILE_SIZE, MemoryConfig
from ttemu.tensor import Buffer, Tensor, padded_extents

__all__ = ["deallocate", "is_tensor_storage_on_device", "tilize", "tilize_with_zero_padding", "to_dtype", "to_layout"]
__all__ += ["typecast", "untilize"]

_WRAPPED = {DataType.UINT8, DataType.INT8}
_BOUNDED = _WRAPPED | {DataType.UINT16, DataType.UINT32}


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
    data = held("to_layout", tensor)
    if tensor.layout is layout:
        return alias(tensor)
    if tensor.mesh is None:
        return _lay_out_on_host(tensor, layout)
    if layout is Layout.ROW_MAJOR and dtype not in {None, tensor.dtype, DataType.BFLOAT16}:
        raise _other_dtype(tensor, dtype)
    if layout is Layout.ROW_MAJOR and is_block_float(tensor.dtype):
        if tensor.dtype is not DataType.BFLOAT8_B and dtype is DataType.BFLOAT16:
            raise _other_dtype(tensor, dtype)
        if tensor.dtype is not DataType.BFLOAT8_B:
            raise RuntimeError(f"ttnn.to_layout: {tensor.dtype.name} tensor cannot be in ROW_MAJOR layout")
        dtype = DataType.BFLOAT16
    if dtype is not None and dtype is not tensor.dtype:
        if layout is Layout.ROW_MAJOR and not is_block_float(tensor.dtype):
            raise _other_dtype(tensor, dtype)
        return write("to_layout", load(data), tensor, dtype=dtype, layout=layout, memory_config=memory_config)
    return view("to_layout", data, tensor, layout=layout, memory_config=memory_config)


def _other_dtype(tensor: Tensor, dtype: DataType | None) -> RuntimeError:
    return RuntimeError(
        f"ttnn.to_layout: dtype cannot be different from tensor dtype {tensor.dtype.name} in rows, got {dtype}"
    )


def _lay_out_on_host(tensor: Tensor, layout: Layout) -> Tensor:
    """Return a host tensor in ``layout``, its dtype kept; an aligned block float stays in TILE, as in ttnn."""
    if layout is Layout.TILE and tensor.dtype is DataType.FP8_E4M3:
        raise RuntimeError("ttnn.to_layout: Only ROW_MAJOR layout is supported for FP8_E4M3 dtype!")
    if is_block_float(tensor.dtype):
        if tensor.padded != tensor.extents:
            raise RuntimeError(
                f"ttnn.to_layout: Tensor layout must be ROW_MAJOR for unpadding, got a host {tensor.dtype.name} tensor "
                f"of shape {tensor.shape}"
            )
        return alias(tensor)
    return view("to_layout", tensor.data("ttnn.to_layout"), tensor, layout=layout)


def _on_device(op: str, tensor: Tensor) -> None:
    """Refuse what the real library reads without a look."""
    if isinstance(tensor, Tensor) and (tensor.mesh is None or not tensor.is_allocated()):
        raise RuntimeError(f"ttnn.{op}: {tensor.shape} is not on device, the real library crashes here")
    stored(op, tensor)


def tilize(
    input_tensor: Tensor,
    *,
    memory_config: MemoryConfig | None = None,
    dtype: DataType | None = None,
    use_multicore: bool = True,
    use_low_perf: bool = False,
    sub_core_grids: object = None,
) -> Tensor:
    """Return a ROW_MAJOR tensor, whose last two dims are multiples of 32, in TILE layout."""
    del use_low_perf, sub_core_grids
    _on_device("tilize", input_tensor)
    need_layout("tilize", input_tensor, Layout.ROW_MAJOR)
    if any(extent % TILE_SIZE for extent in ((1, 1, *input_tensor.extents))[-2:]):
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
    _on_device("tilize_with_zero_padding", input_tensor)
    return to_layout(input_tensor, Layout.TILE, output_dtype, memory_config)


def untilize(
    input_tensor: Tensor,
    *,
    memory_config: MemoryConfig | None = None,
    use_multicore: bool = True,
    sub_core_grids: object = None,
) -> Tensor:
    """Return a TILE tensor in ROW_MAJOR layout."""
    del use_multicore, sub_core_grids
    _on_device("untilize", input_tensor)
    need_layout("untilize", input_tensor, Layout.TILE)
    return to_layout(input_tensor, Layout.ROW_MAJOR, None, memory_config)


def typecast(
    input_tensor: Tensor,
    dtype: DataType | None = None,
    output_dtype: DataType | None = None,
    *,
    input_dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return the values in another dtype, the last one that is given; a host tensor stays on host."""
    del sub_core_grids, input_dtype
    dtype = dtype if output_dtype is None else output_dtype
    if not isinstance(dtype, DataType):
        raise TypeError(f"ttnn.typecast: incompatible function arguments, dtype {dtype!r}")
    data = held("typecast", input_tensor)
    if input_tensor.mesh is None:
        return _cast_on_host("typecast", input_tensor, dtype)
    _check_place(input_tensor, dtype, memory_config, output_tensor)
    if is_block_float(dtype) and input_tensor.layout is Layout.ROW_MAJOR:
        raise RuntimeError(f"ttnn.typecast: ROW_MAJOR input cannot become {dtype.name}, which needs TILE layout")
    if output_tensor is not None:
        return overwrite(
            "typecast", _cast_on_device(load(data), input_tensor.dtype, output_tensor.dtype), output_tensor
        )
    if dtype is input_tensor.dtype:
        return view("typecast", data, input_tensor, memory_config=memory_config)
    values = _cast_on_device(load(data), input_tensor.dtype, dtype)
    return write("typecast", values, input_tensor, dtype=dtype, memory_config=memory_config)


def _check_place(tensor: Tensor, dtype: DataType, config: MemoryConfig | None, target: Tensor | None) -> None:
    """Refuse a cast that would also shard a tensor or put it together, or give another dtype than its output tensor."""
    if target is not None and target.dtype is not dtype:
        raise RuntimeError(f"ttnn.typecast: dtype {dtype.name} must match the output tensor's {target.dtype.name}")
    if target is not None and target.layout is not tensor.layout and target.extents == tensor.extents:
        raise RuntimeError(f"ttnn.typecast: input in {tensor.layout.name} layout needs an output tensor in it")
    place = config if target is None else target.memory_config()
    if isinstance(place, MemoryConfig) and place.memory_layout is not tensor.memory_config().memory_layout:
        raise RuntimeError("ttnn.typecast: requires the memory layout of input and output to match")


def _cast_on_device(values: torch.Tensor, source: DataType, dtype: DataType) -> torch.Tensor:
    """Bring values into the range of an integer as the device does: those of 8 bits wrap, unsigned ones saturate.

    uint16 is rounded, halves up, but for block floats; all else is cut off.
    """
    if dtype not in _BOUNDED or source is dtype:
        return values
    if values.is_floating_point():
        if not bool(values.isfinite().all()):
            return values  # no result is defined, and rounding into the tensor says so
        rounded = dtype is DataType.UINT16 and not is_block_float(source)
        values = (values + 0.5).floor() if rounded else values.trunc()
    whole = values.to(torch.int64)
    wraps = dtype in _WRAPPED or (source, dtype) == (DataType.INT8, DataType.UINT32)
    return whole if wraps else whole.clamp(*INTEGERS[dtype])


def to_dtype(tensor: Tensor, dtype: DataType) -> Tensor:
    """Return a host tensor in another dtype."""
    if not isinstance(dtype, DataType):
        raise TypeError(f"ttnn.to_dtype: incompatible function arguments, dtype {dtype!r}")
    if tensor.mesh is not None:
        raise RuntimeError("ttnn.to_dtype: expected a host tensor, got a device tensor; use ttnn.typecast")
    return _cast_on_host("to_dtype", tensor, dtype)


def _cast_on_host(op: str, tensor: Tensor, dtype: DataType) -> Tensor:
    data = tensor.data(f"ttnn.{op}")
    if dtype is tensor.dtype:
        return Tensor(Buffer(data.clone()), dtype, tensor.layout, None, None, tensor.span)
    if DataType.FP8_E4M3 in {dtype, tensor.dtype}:
        _check_fp8(op, tensor, dtype)
    tiled = padded_extents(tensor.extents, Layout.TILE)
    if is_block_float(dtype) and tensor.layout is Layout.ROW_MAJOR and tiled != tensor.extents:
        raise RuntimeError(
            f"ttnn.{op}: Converting layout to TILE implicitly changed physical shape from "
            f"{list(tensor.extents)} to {list(tiled)}; pad the tensor before"
        )
    layout = Layout.TILE if is_block_float(dtype) else tensor.layout
    return Tensor(Buffer(encode(load(data), dtype)), dtype, layout, None, None, tensor.span)


def _check_fp8(op: str, tensor: Tensor, dtype: DataType) -> None:
    if tensor.layout is Layout.TILE:
        raise RuntimeError(f"ttnn.{op}: Only ROW_MAJOR layout is supported for FP8_E4M3 dtype!")
    if DataType.FLOAT32 not in {dtype, tensor.dtype}:
        raise RuntimeError(f"ttnn.{op}: FP8_E4M3 cross-type conversion is only supported to/from FLOAT32")


def deallocate(tensor: Tensor, force: bool = True) -> None:
    """Free a tensor's memory; a second time does nothing."""
    tensor.deallocate(force)


def is_tensor_storage_on_device(tensor: Tensor) -> bool:
    """Say whether the tensor is on a device."""
    return tensor.mesh is not None
