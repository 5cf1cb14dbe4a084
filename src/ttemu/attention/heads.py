"""Split a fused projection into heads and join heads again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NoReturn

import torch

from ttemu.axes import cut
from ttemu.cores import CoreCoord, CoreRangeSet, num_cores_to_corerangeset
from ttemu.demands import need_dtype, need_memory, need_rank, need_tensor
from ttemu.dtypes import DataType, Layout
from ttemu.formats import load
from ttemu.frame import check_same_device, need_layout, overwrite, stored, view
from ttemu.grids import num_cores_to_corerangeset_in_subcoregrids
from ttemu.memory import TILE_SIZE, BufferType, MemoryConfig, ShardSpec, TensorMemoryLayout
from ttemu.shapes import FULL_RANK
from ttemu.tensor import Tensor

__all__ = [
    "nlp_concat_heads",
    "nlp_concat_heads_decode",
    "nlp_create_qkv_heads",
    "nlp_create_qkv_heads_decode",
]

HEAD_DTYPES = (DataType.FLOAT32, DataType.BFLOAT16, DataType.BFLOAT8_B)
_DECODE_DTYPES = (DataType.FLOAT32, DataType.BFLOAT16)


@lru_cache(maxsize=256)
def _sharded(layout: TensorMemoryLayout, shard: tuple[int, int], cores: int, grid: CoreCoord) -> MemoryConfig:
    spec = ShardSpec(num_cores_to_corerangeset(cores, grid, row_wise=True), shard)
    return MemoryConfig(layout, BufferType.L1, spec)


def _grid(tensor: Tensor) -> CoreCoord:
    return CoreCoord(1, 1) if tensor.mesh is None else tensor.mesh.compute_with_storage_grid_size()


def _refuse(op: str, fact: str) -> NoReturn:
    raise RuntimeError(f"ttnn.experimental.{op}: {fact}")


def _check_fused(op: str, tensor: Tensor) -> None:
    need_layout(f"experimental.{op}", tensor, Layout.TILE)
    need_rank(f"experimental.{op}", tensor, FULL_RANK)
    if tensor.extents[1] != 1:
        _refuse(op, f"unsupported input shape, expected [B, 1, S, width], got {tensor.shape}")


def _head_width(op: str, width: int, sections: int) -> int:
    """Return the width of one head of a tensor of ``sections`` heads side by side."""
    if width % sections:
        _refuse(op, f"unsupported input shape, width {width} does not cut into {sections} heads")
    return width // sections


def nlp_create_qkv_heads(
    input: Tensor,
    input_kv: Tensor | None = None,
    *,
    num_heads: int,
    num_kv_heads: int | None = None,
    transpose_k_heads: bool = True,
    kv_tied: bool = False,
    memory_config: MemoryConfig | None = None,
    output_tensors: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut [B, 1, S, (N + 2K) * D] into q [B, N, S, D] and k, v [B, K, S, D].

    With ``input_kv`` the keys and values come from [B, 1, S, 2K * D]; ``kv_tied`` has one section for both.
    """
    op = "nlp_create_qkv_heads"
    need_tensor(f"experimental.{op}", input)
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    if kv_tied and input_kv is None:
        _check_tied(op, input.extents[-1], num_heads, kv_heads)
    for tensor in (input, input_kv):
        if tensor is not None:
            stored(f"experimental.{op}", tensor)
    need_rank(f"experimental.{op}", input, FULL_RANK)
    sections = num_heads + (0 if input_kv is not None else kv_heads * (1 if kv_tied else 2))
    key_rows = input.padded[3] // sections if transpose_k_heads else input.padded[2]
    _check_place(op, input, memory_config, (num_heads, kv_heads), key_rows)
    q, k, v = _projections(op, input, input_kv, (num_heads, kv_heads), kv_tied=kv_tied)
    if transpose_k_heads:
        k = k.transpose(-1, -2)
    targets = [None, None, None] if output_tensors is None else list(output_tensors)
    results = [
        _placed(op, part, like, memory_config or input.memory_config(), target)
        for part, like, target in zip((q, k, v), (input, *[input_kv or input] * 2), targets, strict=True)
    ]
    return results[0], results[1], results[2]


def _placed(op: str, part: torch.Tensor, like: Tensor, config: MemoryConfig | None, target: Tensor | None) -> Tensor:
    if target is not None:
        return overwrite(f"experimental.{op}", load(part), target)
    return view(op, part, like, requantise=True, memory_config=config)


def _check_tied(op: str, width: int, num_heads: int, kv_heads: int) -> None:
    """Refuse a fused width that could hold one section for keys and values as well as two."""
    tied, untied = num_heads + kv_heads, num_heads + 2 * kv_heads
    _head_width(op, width, tied)
    if width % untied == 0:
        _refuse(op, f"ambiguous width {width} with kv_tied, it is divisible by {tied} heads and by {untied}")


def _projections(
    op: str, fused: Tensor, apart: Tensor | None, heads: tuple[int, int], *, kv_tied: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the stored values of q, k and v as [r, c, B, heads, S, D]."""
    data = stored(f"experimental.{op}", fused)
    need_dtype(f"experimental.{op}", fused, HEAD_DTYPES)
    _check_fused(op, fused)
    num_heads, kv_heads = heads
    sections = 1 if kv_tied else 2
    width = _head_width(op, fused.extents[3], num_heads + (0 if apart is not None else sections * kv_heads))
    if apart is None:
        parts = torch.split(_cut_heads(data, width), [num_heads, *[kv_heads] * sections], dim=3)
        return parts[0], parts[1], parts[-1]
    check_same_device(f"experimental.{op}", fused, apart)
    _check_kv(op, fused, apart, sections * kv_heads, width)
    other = stored(f"experimental.{op}", apart)
    parts = torch.split(_cut_heads(other, width), [kv_heads] * sections, dim=3)
    return _cut_heads(data, width), parts[0], parts[-1]


def _check_kv(op: str, fused: Tensor, apart: Tensor, sections: int, width: int) -> None:
    need_dtype(f"experimental.{op}", apart, (fused.dtype,))
    _check_fused(op, apart)
    if apart.extents[0] != fused.extents[0] or apart.extents[2] != fused.extents[2]:
        _refuse(op, f"q {fused.shape} and kv {apart.shape} must have the same batch and length")
    if apart.extents[3] != sections * width:
        _refuse(op, f"head dims must be the same for q and kv, got {width} and {apart.extents[3]} / {sections}")


def _check_place(op: str, fused: Tensor, config: MemoryConfig | None, heads: tuple[int, int], key_rows: int) -> None:
    """Refuse a sharded output of an interleaved input; ttnn first gives each head one tile row of a core."""
    if config is None or not config.is_sharded() or fused.is_sharded():
        return
    by_height = config.memory_layout is TensorMemoryLayout.HEIGHT_SHARDED
    counts = (1, 1) if by_height else heads
    batch, rows = fused.extents[0], fused.padded[2]
    if max(batch * rows * counts[0], batch * key_rows * counts[1]) > TILE_SIZE:
        _refuse(op, f"number of shards of {fused.shape} must not exceed number of cores, one per head of a tile row")
    _refuse(op, "memory config layout must be INTERLEAVED for an interleaved input")


def _cut_heads(data: torch.Tensor, width: int) -> torch.Tensor:
    """Return [r, c, B, 1, S, heads * width] as [r, c, B, heads, S, width]."""
    return cut(data.squeeze(3), -1, (-1, width)).transpose(3, 4)


def nlp_create_qkv_heads_decode(
    input_tensor: Tensor,
    *,
    num_heads: int,
    num_kv_heads: int | None = None,
    output_tensors: Sequence[Tensor] | None = None,
    overlap_qk_coregrid: bool | None = True,
    batch_offset: Tensor | None = None,
    slice_size: int | None = None,
    memory_config: MemoryConfig | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut [1, 1, B, (N + 2K) * D] into q [1, B, N, D] and k, v [1, B, K, D], height-sharded over B cores."""
    op = "nlp_create_qkv_heads_decode"
    if batch_offset is not None or slice_size is not None or output_tensors is not None:
        raise NotImplementedError(
            f"ttnn.experimental.{op} with batch_offset, slice_size or output_tensors is not emulated"
        )
    need_memory(f"experimental.{op}", input_tensor)
    data = stored(f"experimental.{op}", input_tensor)
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    grid = _grid(input_tensor)
    _check_decode_input(op, input_tensor, num_heads + 2 * kv_heads, grid)
    users = input_tensor.extents[2]
    if not overlap_qk_coregrid and input_tensor.is_sharded() and 2 * users > grid.x * grid.y:
        _refuse(op, f"q and k apart need twice {users} cores, the {grid.x * grid.y} cores are fewer")
    width = input_tensor.extents[3] // (num_heads + 2 * kv_heads)
    del memory_config
    parts = torch.split(cut(data, -1, (-1, width)).squeeze(2), [num_heads, kv_heads, kv_heads], dim=4)
    q, k, v = (_decode_heads(op, part, input_tensor, grid) for part in parts)
    return q, k, v


def _check_decode_input(op: str, tensor: Tensor, sections: int, grid: CoreCoord) -> None:
    need_rank(f"experimental.{op}", tensor, FULL_RANK)
    batch, width = tensor.extents[2:]
    if width % sections:
        _refuse(op, f"width {width} must be divisible by {sections} heads (q + k + v)")
    if batch > grid.x * grid.y:
        _refuse(op, f"batch {batch} must not exceed the {grid.x * grid.y} cores")
    if width // sections % TILE_SIZE:
        _refuse(op, f"physical shard of {width // sections} columns must be a multiple of the {TILE_SIZE} wide tile")
    need_layout(f"experimental.{op}", tensor, Layout.TILE)
    need_dtype(f"experimental.{op}", tensor, _DECODE_DTYPES)
    if tensor.extents[:2] != (1, 1) or batch > TILE_SIZE:
        _refuse(op, f"unsupported input shape, expected [1, 1, B, width], got {tensor.shape}")


def _decode_heads(op: str, part: torch.Tensor, like: Tensor, grid: CoreCoord) -> Tensor:
    batch, heads, width = part.shape[-3:]
    shard = (-(-heads // TILE_SIZE) * TILE_SIZE, width)
    config = _sharded(TensorMemoryLayout.HEIGHT_SHARDED, shard, batch, grid)
    return view(op, part, like, memory_config=config)


def nlp_concat_heads(input_tensor: Tensor, *, memory_config: MemoryConfig | None = None) -> Tensor:
    """Join [B, N, S, D] to [B, 1, S, N * D]."""
    op = "nlp_concat_heads"
    data = stored(f"experimental.{op}", input_tensor)
    need_rank(f"experimental.{op}", input_tensor, FULL_RANK)
    need_dtype(f"experimental.{op}", input_tensor, HEAD_DTYPES)
    need_layout(f"experimental.{op}", input_tensor, Layout.TILE)
    joined = data.transpose(3, 4).flatten(-2).unsqueeze(3)
    return view(op, joined, input_tensor, requantise=True, memory_config=memory_config)


def nlp_concat_heads_decode(
    input_tensor: Tensor,
    *,
    num_heads: int,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    sub_core_grids: CoreRangeSet | None = None,
) -> Tensor:
    """Join sharded [1, B, N, D] to width-sharded [1, 1, 32, N * D], whose rows beyond B are zeros.

    Users on more than one rectangle of cores, or on one that starts elsewhere than in the corner, need
    ``sub_core_grids``: the output then lies on the cores of these from the first user's on.
    """
    del memory_config
    op = "nlp_concat_heads_decode"
    data = stored(f"experimental.{op}", input_tensor)
    need_layout(f"experimental.{op}", input_tensor, Layout.TILE)
    need_rank(f"experimental.{op}", input_tensor, FULL_RANK)
    need_dtype(f"experimental.{op}", input_tensor, _DECODE_DTYPES)
    _, batch, heads, width = input_tensor.extents
    first = _check_users(op, input_tensor, num_heads, corner=sub_core_grids is None)
    # Heads beyond the logical ones lie in the padding of the tile.
    whole = torch.nn.functional.pad(data, (0, 0, 0, max(num_heads - heads, 0)))
    joined = whole[..., :num_heads, :].flatten(-2).unsqueeze(2)
    padded = torch.nn.functional.pad(joined, (0, 0, 0, TILE_SIZE - batch))
    if output_tensor is not None:
        return overwrite(f"experimental.{op}", load(padded), output_tensor)
    if sub_core_grids is None:
        config = _sharded(TensorMemoryLayout.WIDTH_SHARDED, (TILE_SIZE, width), num_heads, _grid(input_tensor))
    else:
        cores = num_cores_to_corerangeset_in_subcoregrids(first, num_heads, sub_core_grids, row_wise=True)
        spec = ShardSpec(cores, (TILE_SIZE, width))
        config = MemoryConfig(TensorMemoryLayout.WIDTH_SHARDED, BufferType.L1, spec)
    return view(op, padded, input_tensor, requantise=True, memory_config=config)


def _check_users(op: str, tensor: Tensor, num_heads: int, *, corner: bool) -> CoreCoord:
    """Return the core of the first user; refuse heads that do not lie one user to a core."""
    _, batch, heads, _ = tensor.extents
    spec = tensor.memory_config().shard_spec
    if spec is None:
        _refuse(op, "input tensor must be sharded")
    if num_heads > TILE_SIZE * -(-heads // TILE_SIZE) or batch > TILE_SIZE:
        _refuse(op, f"{num_heads} heads of {batch} users do not fit {tensor.shape}")
    if spec.num_cores() != batch:
        _refuse(op, f"{spec.num_cores()} cores, number of cores must be equal to num users {batch}")
    first, *more = spec.grid.ranges()
    if corner and (more or first.start != CoreCoord(0, 0)):
        _refuse(op, f"bad optional access, users on {spec.grid} need sub_core_grids")
    return first.start
