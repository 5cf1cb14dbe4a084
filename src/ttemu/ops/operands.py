"""Check the operands of a matrix product."""

from __future__ import annotations

import math

import torch

from ttemu.configs import Tile
from ttemu.cores import CoreGrid, divup
from ttemu.dtypes import Layout
from ttemu.frame import check_same_device, need_floating, need_layout, stored
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig
from ttemu.tensor import Tensor

__all__ = ["check_batches", "check_inner", "check_matrices", "check_ranks", "check_tile", "matrices", "sides"]

_MISMATCH = "The width of the first tensor must be equal to the height of the second tensor."


def matrices(op: str, a: Tensor, b: Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the operands hold."""
    if isinstance(a, Tensor) and not a.is_allocated():
        raise RuntimeError(f"ttnn.{op}: operand {a.shape} must be on device, it was deallocated before")
    return stored(op, a), stored(op, b)


def check_matrices(op: str, first: Tensor, second: Tensor) -> None:
    """Refuse operands of different devices, in rows, or of integers."""
    check_same_device(op, first, second)
    for tensor in (first, second):
        need_layout(op, tensor, Layout.TILE)
        need_floating(op, tensor)


def check_tile(op: str, tile: Tile | None) -> None:
    """Refuse tiles of another size than the operands'."""
    if tile is None or tile.tile_shape == [TILE_SIZE, TILE_SIZE]:
        return
    if tile.tile_shape[0] != TILE_SIZE:
        raise RuntimeError(f"ttnn.{op}: the height of the output tile {tile.tile_shape} must equal {TILE_SIZE}")
    raise RuntimeError(f"ttnn.{op}: the width of the output tile {tile.tile_shape} must be a multiple of {TILE_SIZE}")


def sides(a: Tensor, b: Tensor, *, transpose_a: bool, transpose_b: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return rows and columns of both operands; a vector is a row on the left and a column on the right."""
    first = (1, *a.extents)[-2:] if len(a.extents) == 1 else a.extents[-2:]
    second = (*b.extents, 1)[-2:] if len(b.extents) == 1 else b.extents[-2:]
    left = first[::-1] if transpose_a else first
    right = second[::-1] if transpose_b else second
    return (left[0], left[1]), (right[0], right[1])


def check_inner(op: str, left: tuple[int, int], right: tuple[int, int]) -> None:
    """Refuse a width of the left operand that is not the height of the right one."""
    if left[1] != right[0]:
        raise RuntimeError(f"ttnn.{op}: {_MISMATCH} Mismatch: width={left[1]} height={right[0]}")


def check_ranks(op: str, a: Tensor, b: Tensor) -> None:
    """Refuse batch dims of b that a lacks."""
    left, right = a.extents[:-2], b.extents[:-2]
    if math.prod(right) == 1:
        return
    if (len(left) < len(right) and math.prod(right[: len(right) - len(left)]) != 1) or len(left) == 0:
        raise RuntimeError(
            f"ttnn.{op}: When in1 rank greater than in0 rank front dimensions need to be 1, got {b.shape}"
        )


def check_batches(op: str, a: Tensor, b: Tensor, inner: int, config: MemoryConfig, core_grid: CoreGrid | None) -> None:
    """Refuse batch dims that ttnn does not broadcast: b's must be all 1 or equal to a's, unless a's are all 1."""
    left, right = a.extents[:-2], b.extents[:-2]
    if math.prod(right) == 1:
        return
    if len(left) != len(right):
        raise RuntimeError(
            f"ttnn.{op}: Batched (non-bcast) matmul requires inputs of the same rank, got {a.shape} and {b.shape}"
        )
    if left != right and (math.prod(left) != 1 or not _reuses(a, b, inner, config, core_grid)):
        raise RuntimeError(
            f"ttnn.{op}: bmm (non-bcast matmul) expects input tensors of shapes BCMK*BCKN=BCMN, "
            f"got {a.shape} and {b.shape}"
        )


def _reuses(a: Tensor, b: Tensor, inner: int, config: MemoryConfig, core_grid: CoreGrid | None) -> bool:
    """Say whether ttnn's default program keeps ``a`` for all batches of ``b``: all in DRAM, or an even K in tiles."""
    if core_grid is not None:
        return False
    places = {a.memory_config(), b.memory_config(), config}
    return places == {DRAM_MEMORY_CONFIG} or divup(inner, TILE_SIZE) % 2 == 0
