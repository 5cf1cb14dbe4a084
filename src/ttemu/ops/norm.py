"""Normalise along a dim: softmax and the norms."""

from __future__ import annotations

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, dim_in, need_layout, pad_rank, read, write
from ttemu.memory import TILE_SIZE, MemoryConfig
from ttemu.ops.mapped import need_tensor, read_alive
from ttemu.tensor import Tensor, padded_extents

__all__ = ["layer_norm", "rms_norm", "rms_norm_post_all_gather", "rms_norm_pre_all_gather", "softmax"]

_TAKEN = frozenset({DataType.FLOAT32, DataType.BFLOAT16, DataType.BFLOAT8_B})
_VECTORS = frozenset({DataType.FLOAT32, DataType.BFLOAT16})
_RANK = 4


def softmax(
    input_tensor: Tensor,
    dim: int = -1,
    *,
    memory_config: MemoryConfig | None = None,
    compute_kernel_config: object = None,
    numeric_stable: bool = True,
) -> Tensor:
    """Return the softmax along ``dim``."""
    del compute_kernel_config, numeric_stable
    if isinstance(input_tensor, Tensor) and not (input_tensor.mesh and input_tensor.is_allocated()):
        raise RuntimeError(f"ttnn.softmax: no device found for {input_tensor.shape}, which is on host or was freed")
    values = read("softmax", input_tensor)
    if not isinstance(dim, int):
        raise TypeError(f"ttnn.softmax: incompatible function arguments, dim {dim!r}")
    at = dim_in("softmax", dim, len(input_tensor.extents)) + MESH_DIMS
    last_of_four = at == len(input_tensor.extents) + 1 == _RANK + 1
    if input_tensor.layout is not Layout.TILE and not last_of_four:
        raise RuntimeError("ttnn.softmax: inputs must be tilized, but for the last dim of rank 4")
    _check_dtype("softmax", input_tensor)
    result = values.softmax(at)
    return write("softmax", result, input_tensor, layout=Layout.TILE, memory_config=memory_config)


def _check_dtype(op: str, tensor: Tensor) -> None:
    if tensor.dtype not in _TAKEN:
        raise RuntimeError(f"ttnn.{op}: input must be FLOAT32, BFLOAT16 or BFLOAT8_B by dtype, got {tensor.dtype.name}")


def _vector(op: str, like: Tensor, vector: Tensor | None) -> torch.Tensor | None:
    """Return a weight or bias as [rows|1, cols|1, 1..., width] of the rank of ``like``.

    ROW_MAJOR vectors come as [..., width / 32, 32], padded to the tile, TILE ones as [..., width].
    """
    if vector is None:
        return None
    values = read(op, vector)
    check_same_device(op, like, vector)
    width, padded = like.extents[-1], padded_extents(like.extents, Layout.TILE)[-1]
    tiled = vector.layout is Layout.TILE
    fits = vector.padded[-1] == padded if tiled else vector.extents[-1] == TILE_SIZE and vector.volume() == padded
    held = vector.shape[-1] if tiled else vector.logical_volume()
    if not fits or held < width:
        raise RuntimeError(
            f"ttnn.{op}: gamma's volume needs to align with the last padded dim of the input, got {vector.shape} of "
            f"layout {vector.layout.name} for width {width} padded to {padded}"
        )
    if not tiled and vector.dtype not in _VECTORS:
        raise RuntimeError(f"ttnn.{op}: a gamma or beta in rows must not be of dtype {vector.dtype.name}")
    flat = values.reshape(*values.shape[:MESH_DIMS], -1)[..., :width]
    return pad_rank(flat, len(like.extents) - 1)


def _affine(op: str, values: torch.Tensor, like: Tensor, weight: Tensor | None, bias: Tensor | None) -> torch.Tensor:
    """Return normalised ``values`` times ``weight`` plus ``bias``."""
    for vector in (weight, bias):
        if vector is not None:
            need_tensor(op, vector)
    scale, shift = _vector(op, like, weight), _vector(op, like, bias)
    if scale is not None:
        values = values * scale
    return values if shift is None else values + shift


def _check_layouts(op: str, weight: Tensor | None, bias: Tensor | None) -> None:
    if weight is not None and bias is not None and weight.layout is not bias.layout:
        raise RuntimeError(f"ttnn.{op}: gamma and beta must have the same layout")


def _input(op: str, tensor: Tensor, residual: Tensor | None, *, tiled: bool = True) -> torch.Tensor:
    values = read_alive(op, tensor)
    if tiled:
        need_layout(op, tensor, Layout.TILE)
    _check_dtype(op, tensor)
    if residual is None:
        return values
    check_same_device(op, tensor, need_tensor(op, residual))
    if residual.extents != tensor.extents:
        raise RuntimeError(f"ttnn.{op}: residual {residual.shape} must match {tensor.shape}")
    return values + read(op, residual)


def _check_epsilon(op: str, epsilon: float) -> None:
    if not isinstance(epsilon, (int, float)):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, epsilon {epsilon!r}")


def rms_norm(
    input_tensor: Tensor,
    *,
    epsilon: float = 1e-12,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    residual_input_tensor: Tensor | None = None,
    memory_config: MemoryConfig | None = None,
    program_config: object = None,
    compute_kernel_config: object = None,
) -> Tensor:
    """Return x / sqrt(mean(x^2) + epsilon) * weight + bias along the last dim."""
    del program_config, compute_kernel_config
    _check_epsilon("rms_norm", epsilon)
    values = _input("rms_norm", input_tensor, residual_input_tensor)
    scaled = values * torch.rsqrt(values.square().mean(-1, keepdim=True) + epsilon)
    result = _affine("rms_norm", scaled, input_tensor, weight, bias)
    _check_layouts("rms_norm", weight, bias)
    return write("rms_norm", result, input_tensor, memory_config=memory_config)


def layer_norm(
    input_tensor: Tensor,
    *,
    epsilon: float = 1e-12,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    residual_input_tensor: Tensor | None = None,
    memory_config: MemoryConfig | None = None,
    program_config: object = None,
    compute_kernel_config: object = None,
) -> Tensor:
    """Return (x - mean) / sqrt(variance + epsilon) * weight + bias along the last dim."""
    del program_config, compute_kernel_config
    _check_epsilon("layer_norm", epsilon)
    values = _input("layer_norm", input_tensor, residual_input_tensor, tiled=False)
    if input_tensor.layout is Layout.ROW_MAJOR and input_tensor.extents[-1] % TILE_SIZE:
        raise RuntimeError(f"ttnn.layer_norm: a ROW_MAJOR input must be a multiple of {TILE_SIZE} wide")
    scaled = torch.nn.functional.layer_norm(values, values.shape[-1:], eps=epsilon)
    result = _affine("layer_norm", scaled, input_tensor, weight, bias)
    _check_layouts("layer_norm", weight, bias)
    return write("layer_norm", result, input_tensor, memory_config=memory_config)


def _check_accumulation(op: str, compute_kernel_config: object, *tensors: Tensor) -> None:
    """Refuse float32 tensors unless the sums are kept in float32 too."""
    exact = getattr(compute_kernel_config, "fp32_dest_acc_en", False)
    if not exact and any(tensor.dtype is DataType.FLOAT32 for tensor in tensors):
        raise RuntimeError(f"ttnn.{op}: FLOAT32 input requires fp32_dest_acc_en=True in the compute kernel config")


def rms_norm_pre_all_gather(
    input_tensor: Tensor,
    *,
    dtype: DataType = DataType.BFLOAT16,
    residual_input_tensor: Tensor | None = None,
    compute_kernel_config: object = None,
    program_config: object = None,
    memory_config: MemoryConfig | None = None,
    use_2d_core_grid: bool | None = None,
    fast_and_approximate_mode: bool = False,
) -> Tensor:
    """Return statistics [..., 32] of a shard: the sum of squares in column 0."""
    del program_config, use_2d_core_grid, fast_and_approximate_mode
    op = "rms_norm_pre_all_gather"
    if len(need_tensor(op, input_tensor).extents) != _RANK:
        raise RuntimeError(f"ttnn.{op}: dim 3 is out of range for a tensor of rank {len(input_tensor.extents)}")
    values = _input(op, input_tensor, residual_input_tensor)
    _check_accumulation(op, compute_kernel_config, input_tensor)
    stats = torch.nn.functional.pad(values.square().sum(-1, keepdim=True), (0, TILE_SIZE - 1))
    return write(op, stats, input_tensor, dtype=dtype, memory_config=memory_config)


def rms_norm_post_all_gather(
    input_tensor: Tensor,
    stats: Tensor,
    *,
    epsilon: float = 1e-12,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    memory_config: MemoryConfig | None = None,
    compute_kernel_config: object = None,
    program_config: object = None,
    dtype: DataType | None = None,
    use_2d_core_grid: bool | None = None,
) -> Tensor:
    """Return the norm of a shard from the statistics [..., 32 * shards] of all shards."""
    del program_config, use_2d_core_grid
    op = "rms_norm_post_all_gather"
    _check_epsilon(op, epsilon)
    values = _input(op, input_tensor, None)
    check_same_device(op, input_tensor, need_tensor(op, stats))
    sums = read(op, stats)
    need_layout(op, stats, Layout.TILE)
    _check_dtype(op, stats)
    if stats.padded[:-1] != input_tensor.padded[:-1]:
        raise RuntimeError(f"ttnn.{op}: dims of stats {stats.padded_shape} must match {input_tensor.padded_shape}")
    shards = stats.padded[-1] // TILE_SIZE
    mean = sums[..., : input_tensor.extents[-2], :].sum(-1, keepdim=True) / (values.shape[-1] * shards)
    for vector in (weight, bias):
        if vector is not None and need_tensor(op, vector).dtype not in _VECTORS:
            raise RuntimeError(f"ttnn.{op}: a gamma or beta must not be of dtype {vector.dtype.name}")
    scaled = values * torch.rsqrt(mean + epsilon)
    result = _affine(op, scaled, input_tensor, weight, bias)
    _check_accumulation(op, compute_kernel_config, input_tensor, stats)
    return write(op, result, input_tensor, dtype=dtype, memory_config=memory_config)
