"""Split a fused projection into heads, join heads again, and rotate them."""

from __future__ import annotations

from functools import lru_cache

import torch

from ttemu.axes import MESH_DIMS, cut
from ttemu.cores import CoreCoord, num_cores_to_corerangeset
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, need_layout, read, stored, view, write
from ttemu.memory import TILE_SIZE, BufferType, MemoryConfig, ShardSpec, TensorMemoryLayout
from ttemu.tensor import Tensor

__all__ = [
    "nlp_concat_heads",
    "nlp_concat_heads_decode",
    "nlp_create_qkv_heads",
    "nlp_create_qkv_heads_decode",
    "rotary_embedding_llama",
]

FULL_RANK = 4


@lru_cache(maxsize=256)
def _sharded(layout: TensorMemoryLayout, shard: tuple[int, int], cores: int, grid: CoreCoord) -> MemoryConfig:
    spec = ShardSpec(num_cores_to_corerangeset(cores, grid, row_wise=True), shard)
    return MemoryConfig(layout, BufferType.L1, spec)


def _grid(tensor: Tensor) -> CoreCoord:
    return CoreCoord(1, 1) if tensor.mesh is None else tensor.mesh.compute_with_storage_grid_size()


def _head_width(op: str, tensor: Tensor, total_heads: int) -> int:
    """Return the width of one head of a fused tensor [.., 1, .., total_heads * width]."""
    if len(tensor.extents) != FULL_RANK or tensor.extents[1] != 1:
        raise RuntimeError(f"ttnn.experimental.{op}: input must be [B, 1, S, width], got {tensor.shape}")
    width, rest = divmod(tensor.extents[3], total_heads)
    if rest:
        raise RuntimeError(
            f"ttnn.experimental.{op}: width {tensor.extents[3]} must be divisible by {total_heads} heads (q + k + v)"
        )
    return width


def nlp_create_qkv_heads(
    input: Tensor,
    input_kv: Tensor | None = None,
    *,
    num_heads: int,
    num_kv_heads: int | None = None,
    transpose_k_heads: bool = True,
    kv_tied: bool = False,
    memory_config: MemoryConfig | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut [B, 1, S, (N + 2K) * D] into q [B, N, S, D] and k, v [B, K, S, D]."""
    op = "nlp_create_qkv_heads"
    data = stored(f"experimental.{op}", input)
    need_layout(f"experimental.{op}", input, Layout.TILE)
    if input_kv is not None or kv_tied:
        raise NotImplementedError(f"ttnn.experimental.{op} with a separate kv tensor is not emulated")
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    width = _head_width(op, input, num_heads + 2 * kv_heads)
    heads = cut(data.squeeze(3), -1, (-1, width)).transpose(3, 4)
    q, k, v = torch.split(heads, [num_heads, kv_heads, kv_heads], dim=3)
    if transpose_k_heads:
        k = k.transpose(-1, -2)
    return (
        view(op, q, input, requantise=True, memory_config=memory_config),
        view(op, k, input, requantise=True, memory_config=memory_config),
        view(op, v, input, requantise=True, memory_config=memory_config),
    )


def nlp_create_qkv_heads_decode(
    input_tensor: Tensor,
    *,
    num_heads: int,
    num_kv_heads: int | None = None,
    overlap_qk_coregrid: bool = True,
    memory_config: MemoryConfig | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut [1, 1, B, (N + 2K) * D] into q [1, B, N, D] and k, v [1, B, K, D], height-sharded over B cores."""
    op = "nlp_create_qkv_heads_decode"
    data = stored(f"experimental.{op}", input_tensor)
    if input_tensor.dtype not in {DataType.BFLOAT16, DataType.FLOAT32}:
        raise RuntimeError(f"ttnn.experimental.{op}: Unsupported data format {input_tensor.dtype.name}")
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    width = _head_width(op, input_tensor, num_heads + 2 * kv_heads)
    batch, grid = input_tensor.extents[2], _grid(input_tensor)
    if batch > grid.x * grid.y:
        raise RuntimeError(f"ttnn.experimental.{op}: batch {batch} must not exceed the {grid.x * grid.y} cores")
    del overlap_qk_coregrid, memory_config
    parts = torch.split(cut(data, -1, (-1, width)).squeeze(2), [num_heads, kv_heads, kv_heads], dim=4)
    q, k, v = (_decode_heads(op, part, input_tensor, grid) for part in parts)
    return q, k, v


def _decode_heads(op: str, part: torch.Tensor, like: Tensor, grid: CoreCoord) -> Tensor:
    batch, heads, width = part.shape[-3:]
    shard = (-(-heads // TILE_SIZE) * TILE_SIZE, width)
    config = _sharded(TensorMemoryLayout.HEIGHT_SHARDED, shard, batch, grid)
    return view(op, part, like, memory_config=config)


def nlp_concat_heads(input_tensor: Tensor, *, memory_config: MemoryConfig | None = None) -> Tensor:
    """Join [B, N, S, D] to [B, 1, S, N * D]."""
    data = stored("experimental.nlp_concat_heads", input_tensor)
    need_layout("experimental.nlp_concat_heads", input_tensor, Layout.TILE)
    if len(input_tensor.extents) != FULL_RANK:
        raise RuntimeError(f"ttnn.experimental.nlp_concat_heads: input must have rank 4, got {input_tensor.shape}")
    joined = data.transpose(3, 4).flatten(-2).unsqueeze(3)
    return view("nlp_concat_heads", joined, input_tensor, requantise=True, memory_config=memory_config)


def nlp_concat_heads_decode(
    input_tensor: Tensor, *, num_heads: int, memory_config: MemoryConfig | None = None, sub_core_grids: object = None
) -> Tensor:
    """Join sharded [1, B, N, D] to width-sharded [1, 1, 32, N * D], whose rows beyond B are zeros."""
    del memory_config, sub_core_grids
    op = "nlp_concat_heads_decode"
    data = stored(f"experimental.{op}", input_tensor)
    if not input_tensor.is_sharded():
        raise RuntimeError(f"ttnn.experimental.{op}: Input tensor must be sharded")
    _, batch, heads, width = input_tensor.extents
    if num_heads > TILE_SIZE * -(-heads // TILE_SIZE) or batch > TILE_SIZE:
        raise RuntimeError(
            f"ttnn.experimental.{op}: {num_heads} heads of {batch} users do not fit {input_tensor.shape}"
        )
    # Heads beyond the logical ones lie in the padding of the tile.
    whole = torch.nn.functional.pad(data, (0, 0, 0, max(num_heads - heads, 0)))
    joined = whole[..., :num_heads, :].flatten(-2).unsqueeze(2)
    padded = torch.nn.functional.pad(joined, (0, 0, 0, TILE_SIZE - batch))
    config = _sharded(TensorMemoryLayout.WIDTH_SHARDED, (TILE_SIZE, width), num_heads, _grid(input_tensor))
    return view(op, padded, input_tensor, requantise=True, memory_config=config)


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
    op = "rotary_embedding_llama"
    tensors = (input_tensor, cos_cache, sin_cache, trans_mat)
    x, cos, sin, matrix = (read(f"experimental.{op}", tensor) for tensor in tensors)
    check_same_device(f"experimental.{op}", *tensors)
    if any(tensor.dtype is not DataType.BFLOAT16 for tensor in tensors):
        raise RuntimeError(
            f"ttnn.experimental.{op}: all tensors must be BFLOAT16, got {[t.dtype.name for t in tensors]}"
        )
    if is_decode_mode:
        _check_decode(op, *tensors)
        cos, sin = cos[..., :1, :], sin[..., :1, :]
    else:
        length = input_tensor.extents[-2]
        if cos_cache.extents[-2] < length:
            raise RuntimeError(
                f"ttnn.experimental.{op}: sequence {length} is longer than cos {cos_cache.shape}; "
                "the real library reads past its end"
            )
        cos, sin = cos[..., :length, :], sin[..., :length, :]
    tile = matrix.reshape(*matrix.shape[:MESH_DIMS], -1, TILE_SIZE)[:, :, :TILE_SIZE]
    rotated = _rotate(x, tile)
    return write(op, x * cos + rotated * sin, input_tensor, memory_config=memory_config)


def _check_decode(op: str, x: Tensor, cos: Tensor, sin: Tensor, matrix: Tensor) -> None:
    for tensor in (x, cos, sin, matrix):
        if tensor.memory_config().memory_layout is not TensorMemoryLayout.HEIGHT_SHARDED:
            raise RuntimeError(f"ttnn.experimental.{op}: decode mode needs HEIGHT_SHARDED tensors, got {tensor}")
    if cos.extents[1] != x.extents[1]:
        raise RuntimeError(f"ttnn.experimental.{op}: cos batch {cos.extents[1]} must equal input batch {x.extents[1]}")


def _rotate(x: torch.Tensor, tile: torch.Tensor) -> torch.Tensor:
    """Return x [r, c, a, b, s, D] with every 32 columns multiplied by tile [r, c, 32, 32]."""
    pieces = cut(x, -1, (-1, TILE_SIZE))
    return torch.matmul(pieces, tile[:, :, None, None, None]).flatten(-2)
