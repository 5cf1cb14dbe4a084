"""Normalise along a dim: softmax and the norms."""

from __future__ import annotations

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, dim_in, need_floating, need_layout, pad_rank, read, write
from ttemu.memory import TILE_SIZE, MemoryConfig
from ttemu.tensor import Tensor

__all__ = ["layer_norm", "rms_norm", "rms_norm_post_all_gather", "rms_norm_pre_all_gather", "softmax"]


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
    values = read("softmax", input_tensor)
    need_layout("softmax", input_tensor, Layout.TILE)
    need_floating("softmax", input_tensor)
    at = dim_in("softmax", dim, len(input_tensor.extents)) + MESH_DIMS
    return write("softmax", values.softmax(at), input_tensor, memory_config=memory_config)


def _vector(op: str, like: Tensor, vector: Tensor | None) -> torch.Tensor | None:
    """Return a weight or bias as [rows|1, cols|1, 1..., width] of the rank of ``like``.

    ROW_MAJOR vectors come as [..., width / 32, 32], padded to the tile, TILE ones as [..., width].
    """
    if vector is None:
        return None
    values = read(op, vector)
    check_same_device(op, like, vector)
    width, padded = like.extents[-1], like.padded[-1]
    tiled = vector.layout is Layout.TILE
    fits = vector.padded[-1] == padded if tiled else vector.extents[-1] == TILE_SIZE and vector.volume() == padded
    if not fits or vector.logical_volume() < width:
        raise RuntimeError(
            f"ttnn.{op}: gamma's volume needs to align with the last padded dim of the input, got {vector.shape} in "
            f"{vector.layout.name} for width {width} padded to {padded}"
        )
    flat = values.reshape(*values.shape[:MESH_DIMS], -1)[..., :width]
    return pad_rank(flat, len(like.extents) - 1)


def _affine(values: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None) -> torch.Tensor:
    if weight is not None:
        values = values * weight
    return values if bias is None else values + bias


def _input(op: str, tensor: Tensor, residual: Tensor | None) -> torch.Tensor:
    values = read(op, tensor)
    need_layout(op, tensor, Layout.TILE)
    need_floating(op, tensor)
    if residual is None:
        return values
    check_same_device(op, tensor, residual)
    return values + read(op, residual)


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
    values = _input("rms_norm", input_tensor, residual_input_tensor)
    scaled = values * torch.rsqrt(values.square().mean(-1, keepdim=True) + epsilon)
    result = _affine(scaled, _vector("rms_norm", input_tensor, weight), _vector("rms_norm", input_tensor, bias))
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
    values = _input("layer_norm", input_tensor, residual_input_tensor)
    scaled = torch.nn.functional.layer_norm(values, values.shape[-1:], eps=epsilon)
    result = _affine(scaled, _vector("layer_norm", input_tensor, weight), _vector("layer_norm", input_tensor, bias))
    return write("layer_norm", result, input_tensor, memory_config=memory_config)


def rms_norm_pre_all_gather(
    input_tensor: Tensor,
    *,
    dtype: DataType = DataType.BFLOAT16,
    residual_input_tensor: Tensor | None = None,
    compute_kernel_config: object = None,
    program_config: object = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return statistics [..., 32] of a shard: the sum of squares in column 0."""
    del compute_kernel_config, program_config
    values = _input("rms_norm_pre_all_gather", input_tensor, residual_input_tensor)
    stats = torch.nn.functional.pad(values.square().sum(-1, keepdim=True), (0, TILE_SIZE - 1))
    return write("rms_norm_pre_all_gather", stats, input_tensor, dtype=dtype, memory_config=memory_config)


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
) -> Tensor:
    """Return the norm of a shard from the statistics [..., 32 * shards] of all shards."""
    del compute_kernel_config, program_config
    op = "rms_norm_post_all_gather"
    values = _input(op, input_tensor, None)
    check_same_device(op, input_tensor, stats)
    if stats.extents[-1] % TILE_SIZE:
        raise RuntimeError(f"ttnn.{op}: stats width {stats.extents[-1]} must be a multiple of {TILE_SIZE}")
    shards = stats.extents[-1] // TILE_SIZE
    mean = read(op, stats).sum(-1, keepdim=True) / (values.shape[-1] * shards)
    result = _affine(
        values * torch.rsqrt(mean + epsilon), _vector(op, input_tensor, weight), _vector(op, input_tensor, bias)
    )
    return write(op, result, input_tensor, dtype=dtype, memory_config=memory_config)
