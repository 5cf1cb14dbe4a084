"""Check the inputs that all kinds of attention have in common, and read sinks and masks."""

from __future__ import annotations

import torch

from ttemu.axes import MESH_DIMS, cut
from ttemu.cores import CoreCoord
from ttemu.demands import need_dtype, refuse
from ttemu.dtypes import DataType, Layout
from ttemu.frame import need_layout, read
from ttemu.memory import TILE_SIZE
from ttemu.shapes import FULL_RANK
from ttemu.tensor import Tensor

__all__ = ["KINDS", "check_window", "grid_of", "head_groups", "prefill_bias", "prefill_sink"]

KINDS = (DataType.BFLOAT16, DataType.BFLOAT8_B, DataType.BFLOAT4_B)


def check_window(op: str, window: int | None) -> int | None:
    """Return the size of a sliding window, None for no window."""
    if window is None:
        return None
    if not isinstance(window, int) or window < 0:
        raise TypeError(f"ttnn.{op}: incompatible function arguments, sliding_window_size {window!r}")
    return window or None


def grid_of(grid: CoreCoord | tuple[int, int]) -> int:
    """Return the number of cores of a program config's grid."""
    return grid.x * grid.y if isinstance(grid, CoreCoord) else grid[0] * grid[1]


def head_groups(op: str, num_heads: int, num_kv_heads: int) -> int:
    """Return how many query heads share a key head."""
    if num_heads % num_kv_heads:
        refuse(op, f"Q num_heads {num_heads} must be divisible by K num_heads {num_kv_heads}")
    return num_heads // num_kv_heads


def prefill_sink(op: str, sink: Tensor | None, num_heads: int, num_kv_heads: int) -> torch.Tensor | None:
    """Return sink logits [1, N, 1, 1] as [r, c, 1, K, G, 1, 1]."""
    if sink is None:
        return None
    need_dtype(op, sink, KINDS)
    need_layout(op, sink, Layout.TILE)
    if sink.extents != (1, num_heads, 1, 1):
        refuse(op, f"attention sink must have shape {[1, num_heads, 1, 1]}, got {sink.shape}")
    heads = read(op, sink)[..., 0]
    return heads.reshape(*heads.shape[:MESH_DIMS], 1, num_kv_heads, -1, 1, 1)


def prefill_bias(op: str, mask: Tensor | None, query: Tensor, keys: Tensor) -> torch.Tensor | None:
    """Return a mask [B or 1, N or 1, S, S'] as [r, c, B or 1, K or 1, G or 1, S, S']."""
    if mask is None:
        return None
    need_layout(op, mask, Layout.TILE)
    need_dtype(op, mask, KINDS)
    _check_mask(op, mask, query, keys)
    values = read(op, mask)
    return values.unsqueeze(4) if values.shape[3] == 1 else cut(values, 3, (keys.extents[1], -1))


def _check_mask(op: str, mask: Tensor, query: Tensor, keys: Tensor) -> None:
    batch, heads, length, _ = query.extents
    given = mask.extents
    fits = len(given) == FULL_RANK and given[0] in {1, batch} and given[1] in {1, heads}
    if not fits or _tiles(given[2]) != _tiles(length) or _tiles(given[3]) != _tiles(keys.extents[2]):
        refuse(op, f"mask {mask.shape} must match [{batch} or 1, {heads} or 1, {length}, {keys.extents[2]}]")
    if given[2:] != (length, keys.extents[2]):
        refuse(op, f"mask {mask.shape} must match {length} queries and {keys.extents[2]} keys; ttnn reads its padding")


def _tiles(extent: int) -> int:
    return -(-extent // TILE_SIZE)
