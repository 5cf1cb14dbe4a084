"""Bring torch tensors to host or mesh tensors and back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch

from ttemu.axes import MESH_DIMS, spread
from ttemu.dtypes import BLOCK_FLOATS, DEFAULT_DTYPES, TORCH_DTYPES, DataType, Layout, is_block_float
from ttemu.formats import load, round_bfloat16, store
from ttemu.mapping import MeshToTensor, TensorToMesh
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig, check_shards
from ttemu.mesh import MeshDevice
from ttemu.tensor import Buffer, Tensor, padded_extents

__all__ = [
    "as_tensor",
    "copy_host_to_device_tensor",
    "dump_tensor",
    "from_device",
    "from_torch",
    "get_device_tensors",
    "load_tensor",
    "to_device",
    "to_torch",
]

# ttnn has torch round these to bfloat16 on their way there and to a block float.
_ROUNDED_THERE = {DataType.BFLOAT16, DataType.FLOAT32}
_VIA_BFLOAT16 = {torch.float64, torch.float16, torch.int64, torch.int16}
_FEW, _LARGE = 4, 1 << 18


def from_torch(
    tensor: torch.Tensor,
    dtype: DataType | None = None,
    *,
    layout: Layout | None = None,
    pad_value: float | None = None,
    memory_config: MemoryConfig | None = None,
    device: MeshDevice | None = None,
    mesh_mapper: TensorToMesh | None = None,
    cq_id: int | None = None,
) -> Tensor:
    """Return ``tensor`` as a host tensor, or on ``device``; without a mapper every device gets all of it."""
    del cq_id
    if tensor is None:
        return None  # ttnn hands None through; the annotation spares others a check
    wrong = not isinstance(dtype, (DataType, type(None))) or not isinstance(layout, (Layout, type(None)))
    if wrong or not isinstance(tensor, torch.Tensor):
        raise TypeError(f"ttnn.from_torch: incompatible function arguments, got {type(tensor).__name__}")
    if dtype is None:
        dtype = _default_dtype(tensor)
    layout = _layout_of(dtype, layout)
    source = _together(_prepared(tensor.detach(), dtype))
    data, span = (source[None, None], (1, 1)) if mesh_mapper is None else mesh_mapper.apply(source)
    if device is not None and mesh_mapper is None:
        span = device.span
    if device is not None:
        _check_covered(tensor.dtype, dtype, layout, whole=span == device.span)
        # Before the values take room on the host.
        device.allocator.need_room(tuple(data.shape[MESH_DIMS:]), dtype, layout, memory_config)
    buffer = Buffer(encode(data, dtype, pad_value))
    return _place(Tensor(buffer, dtype, layout, None, None, span), device, memory_config)


def _check_covered(source: torch.dtype, dtype: DataType, layout: Layout, *, whole: bool) -> None:
    """Refuse shards on a part of a mesh where ttnn rounds or tilises them there: it runs ops on all of it."""
    on_device = dtype in _ROUNDED_THERE and (layout is Layout.TILE or source is not TORCH_DTYPES[dtype])
    if on_device and not whole:
        raise RuntimeError(
            "ttnn.from_torch: fewer shards than devices are converted on device, the real library crashes here"
        )


def _default_dtype(tensor: torch.Tensor) -> DataType:
    if tensor.dtype not in DEFAULT_DTYPES:
        raise RuntimeError(
            f"ttnn.from_torch: {tensor.dtype} has no default dtype, the real library aborts the process; give dtype="
        )
    return DEFAULT_DTYPES[tensor.dtype]


def _prepared(tensor: torch.Tensor, dtype: DataType) -> torch.Tensor:
    """Do what ttnn leaves to torch, before anything is cut into shards."""
    if dtype is DataType.FP8_E4M3 and tensor.dtype is not torch.float32:
        raise RuntimeError(
            f"ttnn.from_torch: source dtype {tensor.dtype} is not supported when target is ttnn.fp8_e4m3; only "
            "float32 input is supported"
        )
    if tensor.dtype in _VIA_BFLOAT16 and (dtype is DataType.BFLOAT16 or dtype in BLOCK_FLOATS):
        return tensor.to(torch.bfloat16)
    return tensor


def _together(source: torch.Tensor) -> torch.Tensor:
    """Return ``source`` with the values of a row side by side, where every few of a large tensor's are its own.

    That is four times faster done at once than shard by shard.
    """
    if source.dim() and 1 < source.stride(-1) <= _FEW and source.numel() >= _LARGE:
        return source.contiguous()
    return source


def _layout_of(dtype: DataType, layout: Layout | None) -> Layout:
    if dtype is DataType.FP8_E4M3 and layout is Layout.TILE:
        raise RuntimeError("ttnn.from_torch: Only ROW_MAJOR layout is supported for FP8_E4M3 dtype!")
    if not is_block_float(dtype):
        return layout or Layout.ROW_MAJOR
    if layout is Layout.ROW_MAJOR:
        raise RuntimeError(f"ttnn.from_torch: {dtype.name} needs TILE layout, got ROW_MAJOR")
    return Layout.TILE


def encode(data: torch.Tensor, dtype: DataType, pad_value: float | None = None) -> torch.Tensor:
    """Round host values [rows|1, cols|1, *shard] as ttnn's host code does, into storage of their own."""
    if dtype in BLOCK_FLOATS:
        return _encode_blocks(data, dtype, pad_value)
    if dtype is DataType.BFLOAT16:
        # bfloat16 stays as it is, whatever its NaNs hold; what is rounded gets one NaN.
        if data.dtype is torch.bfloat16:
            return data.clone(memory_format=torch.contiguous_format)
        return round_bfloat16(data)
    result = store(data, dtype).contiguous()
    return result.clone() if result.data_ptr() == data.data_ptr() else result


def _encode_blocks(data: torch.Tensor, dtype: DataType, pad_value: float | None) -> torch.Tensor:
    if not pad_value or data.dim() == MESH_DIMS:
        return store(data, dtype)
    width = data.shape[-1]
    # The padding takes part in the exponent of the block that it shares with values.
    padded = torch.nn.functional.pad(data.float(), (0, -width % TILE_SIZE), value=pad_value)
    return store(padded, dtype)[..., :width].contiguous()


def _place(host: Tensor, device: MeshDevice | None, memory_config: MemoryConfig | None) -> Tensor:
    return host if device is None else to_device(host, device, memory_config=memory_config)


def to_device(
    tensor: Tensor, device: MeshDevice, memory_config: MemoryConfig | None = None, *, queue_id: int | None = None
) -> Tensor:
    """Return a host tensor on ``device``; one shard goes to every device."""
    del queue_id
    if not isinstance(tensor, Tensor) or not isinstance(device, MeshDevice):
        raise TypeError(f"ttnn.to_device: incompatible function arguments, got {type(tensor).__name__} and {device!r}")
    device.check_open("ttnn.to_device")
    if tensor.mesh is not None:
        return Tensor(tensor.buffer, tensor.dtype, tensor.layout, tensor.memory_config(), tensor.mesh, tensor.span)
    data = tensor.data("ttnn.to_device")
    span = device.span if tensor.span == (1, 1) else tensor.span
    if span[0] * span[1] > device.get_num_devices():
        raise RuntimeError(f"ttnn.to_device: tensor has {span[0]}x{span[1]} shards, mesh {device.shape} is smaller")
    config = memory_config or DRAM_MEMORY_CONFIG
    padded = padded_extents(tensor.extents, tensor.layout)
    grid = device.compute_with_storage_grid_size()
    check_shards("ttnn.to_device", config, padded, grid, tiled=tensor.layout is Layout.TILE)
    tensor.buffer.borrowed = True
    return Tensor(Buffer(data, borrowed=True), tensor.dtype, tensor.layout, config, device, span)


def from_device(tensor: Tensor, blocking: bool = True, *, queue_id: int | None = None) -> Tensor:
    """Return a host copy of a device tensor."""
    del blocking, queue_id
    data = _alive("from_device", tensor)
    return Tensor(Buffer(data.clone()), tensor.dtype, tensor.layout, tensor.memory_config(), None, tensor.span)


def _alive(op: str, tensor: Tensor) -> torch.Tensor:
    """Return what a tensor holds; the real library looks for a dead one's memory, and crashes."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, got {type(tensor).__name__}")
    if tensor.mesh is not None and not tensor.is_allocated():
        raise RuntimeError(f"ttnn.{op}: tensor {tensor.shape} is not allocated, the real library crashes here")
    return tensor.data(f"ttnn.{op}")


def to_torch(
    tensor: Tensor,
    dtype: torch.dtype | None = None,
    *,
    mesh_composer: MeshToTensor | None = None,
    device: MeshDevice | None = None,
    cq_id: int | None = None,
) -> torch.Tensor:
    """Return the values of a tensor with one shard, or of all its shards through a composer."""
    del device, cq_id
    data = _alive("to_torch", tensor)
    if tensor.dtype not in TORCH_DTYPES:
        raise RuntimeError(f"ttnn.to_torch: {tensor.dtype.name} cannot be converted to torch")
    alone = tensor.span == (1, 1)
    if mesh_composer is not None and not (alone and tensor.mesh is not None):
        values = mesh_composer.compose(spread(data, tensor.span))
    elif alone:
        values = data[0, 0]
    else:
        raise RuntimeError(
            f"ttnn.to_torch: tensor has {tensor.span[0] * tensor.span[1]} shards on a mesh of {tensor.span[0]}x"
            f"{tensor.span[1]}; give mesh_composer= or take one shard from get_device_tensors"
        )
    return values.to(dtype or TORCH_DTYPES[tensor.dtype], copy=True).contiguous()


def get_device_tensors(tensor: Tensor) -> list[Tensor]:
    """Return one tensor per device, row-major."""
    data = spread(tensor.data("ttnn.get_device_tensors"), tensor.span)
    tensor.buffer.borrowed = True
    return [
        Tensor(
            Buffer(data[row : row + 1, col : col + 1], borrowed=True, whole=tensor.buffer),
            tensor.dtype,
            tensor.layout,
            tensor.memory_config(),
            tensor.mesh,
            (1, 1),
        )
        for row in range(tensor.span[0])
        for col in range(tensor.span[1])
    ]


def as_tensor(
    tensor: torch.Tensor | None,
    dtype: DataType | None = None,
    *,
    layout: Layout | None = Layout.ROW_MAJOR,
    device: MeshDevice | None = None,
    memory_config: MemoryConfig | None = None,
    cache_file_name: str | Path | None = None,
    preprocess: Callable[[torch.Tensor], torch.Tensor] | None = None,
    mesh_mapper: TensorToMesh | None = None,
) -> Tensor:
    """Return ``from_torch`` of a (preprocessed) tensor, or what ``cache_file_name`` remembers of an earlier call."""
    if device is not None and memory_config is None:
        raise RuntimeError("ttnn.as_tensor: memory_config must be specified when device is specified")
    path = None if cache_file_name is None else cache_path(cache_file_name, dtype, layout)
    if path is not None and path.exists():
        # A hit ignores ``tensor``, stale or not, as in ttnn.
        return _place(load_tensor(path), device, memory_config)
    if tensor is None:
        return None  # type: ignore[return-value]  # as in from_torch
    values = tensor if preprocess is None else preprocess(tensor)
    host = from_torch(values, dtype, layout=layout, mesh_mapper=mesh_mapper)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        dump_tensor(path, host)
    return _place(host, device, memory_config)


def cache_path(name: str | Path, dtype: DataType | None, layout: Layout | None) -> Path:
    """Return the file that ``as_tensor`` keeps a tensor in."""
    dtype_name = "None" if dtype is None else dtype.name
    layout_name = "None" if layout is None else layout.name
    return Path(f"{name}_dtype_{dtype_name}_layout_{layout_name}.tensorbin")


def _check_name(op: str, file_name: str | Path) -> None:
    if not str(file_name).endswith(".tensorbin"):
        raise RuntimeError(f"ttnn.{op}: file {file_name} must have the extension .tensorbin")


def dump_tensor(file_name: str | Path, tensor: Tensor) -> None:
    """Write a tensor's shards to a file."""
    _check_name("dump_tensor", file_name)
    record = {
        "data": tensor.data("ttnn.dump_tensor").contiguous(),
        "dtype": tensor.dtype.name,
        "layout": tensor.layout.name,
        "span": list(tensor.span),
    }
    # A tensor that was loaded from this file may still map it.
    fresh = Path(f"{file_name}.{os.getpid()}")
    torch.save(record, fresh)
    fresh.replace(file_name)


def load_tensor(file_name: str | Path, *, device: MeshDevice | None = None) -> Tensor:
    """Read what ``dump_tensor`` wrote."""
    _check_name("load_tensor", file_name)
    # Mapped, so that what several processes load is in memory once; writes stay their own.
    record = torch.load(str(file_name), weights_only=True, mmap=True)
    span = (record["span"][0], record["span"][1])
    buffer = Buffer(record["data"])
    return _place(Tensor(buffer, DataType[record["dtype"]], Layout[record["layout"]], None, None, span), device, None)


def copy_host_to_device_tensor(host_tensor: Tensor, device_tensor: Tensor, cq_id: int | None = None) -> None:
    """Write a host tensor's values over a device tensor of the same shape and dtype."""
    del cq_id
    data = host_tensor.data("ttnn.copy_host_to_device_tensor")
    if host_tensor.mesh is not None:
        raise RuntimeError("ttnn.copy_host_to_device_tensor: expected a host tensor first, got one on device")
    if device_tensor.mesh is None:
        raise RuntimeError("ttnn.copy_host_to_device_tensor: both tensors are on host, the real library crashes here")
    if host_tensor.extents != device_tensor.extents:
        raise RuntimeError(f"ttnn.copy_host_to_device_tensor: {host_tensor} has a different shape, {device_tensor}")
    if host_tensor.dtype is not device_tensor.dtype:
        raise RuntimeError(f"ttnn.copy_host_to_device_tensor: {host_tensor} has a different dtype, {device_tensor}")
    _alive("copy_host_to_device_tensor", device_tensor)
    device_tensor.buffer.data = load(data).to(data.dtype, copy=True)
    device_tensor.buffer.borrowed = False
