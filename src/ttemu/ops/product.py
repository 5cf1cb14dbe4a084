"""Multiply stacks of matrices whose leading dims broadcast, in float32.

Where operands and result are bfloat16 and the processor has dot products for that (AVX512-BF16, AMX), it does them:
they too add exact products in float32 and round once, but in another order, so that about one result in 4000 differs
in its last bit, and take half the time. Elsewhere a large stored weight is turned into float32 a block of columns at a
time, into one scratch that stays. TTEMU_PRODUCTS=float32 asks for that on any processor.
"""

from __future__ import annotations

import itertools
import math
import threading

import torch

from ttemu.formats import load

__all__ = ["MATRIX_DIMS", "has_dot_products", "multiply_matrices", "set_products"]

MATRIX_DIMS = 2
_SCRATCH = 1 << 21  # elements of a block: 8 MiB as float32
_SMALL = 1 << 15  # elements of a matrix below which torch's own loop over the stack is faster
_FEW_ROWS = 4  # below, a product costs what reading its weight does, and dot products read no faster
_MODES = ("auto", "float32", "bfloat16")
_DOT_PRODUCTS = ("avx512_bf16", "amx_bf16")
_mode = ["float32"]


class _Scratch(threading.local):
    """Memory of one thread that stays: a new piece for each product would cost more page faults than arithmetic."""

    def __init__(self) -> None:
        self.numbers = torch.empty(0)

    def of(self, size: int) -> torch.Tensor:
        """Return ``size`` float32 numbers of no particular value, good until the next call."""
        if self.numbers.numel() < size:
            self.numbers = torch.empty(size)
        return self.numbers[:size]


_scratch = _Scratch()


def set_products(mode: str) -> None:
    """Choose how large bfloat16 matrices are multiplied.

    ``float32``; ``bfloat16``, the processor's dot products; or ``auto``, these where the processor has them.
    """
    if mode not in _MODES:
        raise ValueError(f"products {mode!r}: expected one of {', '.join(map(repr, _MODES))}")
    _mode[0] = mode if mode != "auto" else "bfloat16" if has_dot_products() else "float32"


def has_dot_products() -> bool:
    """Say whether the processor has dot products of bfloat16."""
    has = torch.cpu.get_capabilities()
    return any(has.get(name) for name in _DOT_PRODUCTS)


def multiply_matrices(first: torch.Tensor, second: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return first [..., M, K] @ second [..., K, N] of equal ranks, rounded to ``dtype`` at the end.

    Both are stored values or float32. Where only ``second`` has size 1 its copies would be materialised, so that dim
    of ``first`` joins M instead: a weight that several mesh rows share is multiplied once.
    """
    rank = first.dim()
    folded = [dim for dim in range(rank - MATRIX_DIMS) if second.shape[dim] == 1 and first.shape[dim] != 1]
    if not folded:
        return _products(first, second, dtype)
    kept = [dim for dim in range(rank - MATRIX_DIMS) if dim not in folded]
    order = [*kept, *folded, rank - 2, rank - 1]
    moved = first.permute(order)
    rows = moved.shape[len(kept) : -1]
    flat = moved.reshape(*moved.shape[: len(kept)], math.prod(rows), moved.shape[-1])
    product = _products(flat, second.squeeze(folded), dtype)
    back = [order.index(dim) for dim in range(rank)]
    return product.reshape(*product.shape[:-2], *rows, product.shape[-1]).permute(back)


def _products(first: torch.Tensor, second: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    depth, width = second.shape[-MATRIX_DIMS:]
    if depth * width < _SMALL or second.dtype is not torch.bfloat16:
        return torch.matmul(load(first), load(second)).to(dtype)
    few = first.shape[-2] < _FEW_ROWS
    dots = _mode[0] == "bfloat16" and first.dtype is dtype is torch.bfloat16 and not few
    values = first if dots else load(first)
    # Where the sizes differ, one of them is 1.
    pairs = zip(first.shape[:-MATRIX_DIMS], second.shape[:-MATRIX_DIMS], strict=True)
    batch = [left if right == 1 else right for left, right in pairs]
    out = torch.empty(*batch, first.shape[-2], width, dtype=dtype)
    lefts = values.expand(*batch, *first.shape[-MATRIX_DIMS:])
    rights = second.expand(*batch, depth, width)
    for at in itertools.product(*(range(size) for size in batch)):
        if dots:
            torch.mm(lefts[at], rights[at], out=out[at])
        else:
            _write_product(out[at], lefts[at], rights[at])
    return out


def _write_product(out: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Write left [M, K] @ right [K, N] into ``out``, block by block of columns."""
    depth, width = right.shape
    step = min(max(_SCRATCH // depth, 1), width)
    scratch, product = _scratch.of(depth * step), torch.empty(left.shape[0] * step)
    for start in range(0, width, step):
        block = right[:, start : start + step]
        numbers = scratch[: block.numel()].view(block.shape).copy_(block)
        result = product[: left.shape[0] * block.shape[1]].view(-1, block.shape[1])
        out[:, start : start + step] = torch.mm(left, numbers, out=result)
