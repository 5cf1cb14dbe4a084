"""Rotate heads by their positions."""

from __future__ import annotations

from typing import NoReturn

import torch

from ttemu.axes import MESH_DIMS, cut
from ttemu.demands import need_memory, need_rank
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, need_layout, read, write
from ttemu.memory import TILE_SIZE, MemoryConfig, TensorMemoryLayout
from ttemu.shapes import FULL_RANK
from ttemu.tensor import Tensor

__all__ = ["rotary_embedding_llama"]

_OP = "experimental.rotary_embedding_llama"


def _refuse(fact: str) -> NoReturn:
    raise RuntimeError(f"ttnn.{_OP}: {fact}")


def rotary_embedding_llama(
    input_tensor: Tensor,
    cos_cache: Tensor,
    sin_cache: Tensor,
    trans_mat: Tensor,
    *,
    is_decode_mode: bool = False,
    memory_config: MemoryConfig | None = None,
    compute_kernel_config: object = None,
) -> Tensor:
    """Return x * cos + (x @ T) * sin, T [.., 32, 32] acting on every 32 columns of x.

    Prefill: x [B, N, S, D], cos and sin [1, 1, >= S, D]. Decode: x [1, B, N, D], cos and sin [1, B, 1, D].
    """
    del compute_kernel_config
    tensors = (input_tensor, cos_cache, sin_cache, trans_mat)
    need_memory(_OP, input_tensor)
    x, cos, sin, matrix = (read(_OP, tensor) for tensor in tensors)
    check_same_device(_OP, *tensors)
    _check(tensors)
    if is_decode_mode:
        _check_decode(tensors, memory_config)
        cos, sin = cos[..., :1, :], sin[..., :1, :]
    else:
        _check_prefill(tensors)
        length = input_tensor.extents[-2]
        cos, sin = cos[..., :length, :], sin[..., :length, :]
    tile = matrix.reshape(*matrix.shape[:MESH_DIMS], -1, TILE_SIZE)[:, :, :TILE_SIZE]
    rotated = _rotate(x, tile)
    return write(_OP, x * cos + rotated * sin, input_tensor, memory_config=memory_config)


def _check(tensors: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    for tensor in tensors:
        need_layout(_OP, tensor, Layout.TILE)
    for tensor in tensors:
        if tensor.dtype is not DataType.BFLOAT16:
            _refuse(f"all tensors must have dtype BFLOAT16, got {[other.dtype.name for other in tensors]}")


def _check_caches(cos: Tensor, sin: Tensor) -> None:
    if cos.extents != sin.extents:
        _refuse(f"cos {cos.shape} must match sin {sin.shape}")
    need_rank(_OP, cos, FULL_RANK)


def _check_prefill(tensors: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    x, cos, sin, matrix = tensors
    need_rank(_OP, x, FULL_RANK)
    _check_caches(cos, sin)
    need_rank(_OP, matrix, FULL_RANK)
    if cos.extents[0] != 1 or cos.extents[-1] != x.extents[-1]:
        _refuse(f"cos dims {cos.shape} must match the width of input {x.shape}")
    if cos.extents[1] not in {1, x.extents[1]}:
        _refuse(f"cos {cos.shape} must match the heads of input {x.shape}, or have one")
    if cos.extents[-2] < x.extents[-2]:
        _refuse(f"sequence {x.extents[-2]} is longer than cos {cos.shape}; the real library reads past its end")
    if matrix.extents != (1, 1, TILE_SIZE, TILE_SIZE):
        _refuse(f"transformation matrix {matrix.shape} must have shape [1, 1, {TILE_SIZE}, {TILE_SIZE}]")


def _check_decode(tensors: tuple[Tensor, Tensor, Tensor, Tensor], config: MemoryConfig | None) -> None:
    x, cos, sin, matrix = tensors
    for tensor in tensors:
        if tensor.memory_config().memory_layout is not TensorMemoryLayout.HEIGHT_SHARDED:
            _refuse(f"decode mode needs HEIGHT_SHARDED tensors, got {tensor}")
    if x.extents[0] != 1:
        _refuse(f"sequence length, dim 0 of input {x.shape}, must be 1.")
    if config is not None and config.memory_layout is not TensorMemoryLayout.HEIGHT_SHARDED:
        _refuse(f"input and output must have same memory layout, got {config.memory_layout.name}")
    need_rank(_OP, x, FULL_RANK)
    _check_caches(cos, sin)
    if matrix.extents[:2] != (1, 1):
        _refuse(f"transformation matrix {matrix.shape} must have shape [1, 1, ..., {TILE_SIZE}]")
    if cos.extents[1] != x.extents[1]:
        _refuse(f"cos {cos.shape} and sin must have the same batch as input {x.shape}")


def _rotate(x: torch.Tensor, tile: torch.Tensor) -> torch.Tensor:
    """Return x [r, c, a, b, s, D] with every 32 columns multiplied by tile [r, c, 32, 32]."""
    pieces = cut(x, -1, (-1, TILE_SIZE))
    return torch.matmul(pieces, tile[:, :, None, None, None]).flatten(-2)
