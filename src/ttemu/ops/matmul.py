"""Multiply matrices: dense ones, and the pairs that a sparsity tensor selects."""

from __future__ import annotations

import math

import torch

from ttemu.axes import MESH_DIMS
from ttemu.configs import (
    MinimalMatmulConfig,
    Tile,
    UnaryOpType,
    WormholeComputeKernelConfig,
)
from ttemu.cores import CoreGrid, divup, num_cores_to_corerangeset
from ttemu.dtypes import DataType, Layout
from ttemu.frame import align, check_same_device, need_floating, need_layout, read, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig, ShardSpec, TensorMemoryLayout
from ttemu.ops.eltwise import activate, broadcast_pair
from ttemu.tensor import Tensor

__all__ = ["linear", "matmul"]

_ACTIVATION_NAMES = {
    "relu": UnaryOpType.RELU,
    "gelu": UnaryOpType.GELU,
    "silu": UnaryOpType.SILU,
    "sigmoid": UnaryOpType.SIGMOID,
}
MATRIX_DIMS = 2
_MISMATCH = "The width of the first tensor must be equal to the height of the second tensor."


def multiply_matrices(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return first [..., M, K] @ second [..., K, N] of equal ranks, whose leading dims broadcast.

    Where only ``second`` has size 1 its copies would be materialised, so that dim of ``first`` joins M instead:
    a weight that several mesh rows share is multiplied once.
    """
    rank = first.dim()
    folded = [dim for dim in range(rank - MATRIX_DIMS) if second.shape[dim] == 1 and first.shape[dim] != 1]
    if not folded:
        return torch.matmul(first, second)
    kept = [dim for dim in range(rank - MATRIX_DIMS) if dim not in folded]
    order = [*kept, *folded, rank - 2, rank - 1]
    moved = first.permute(order)
    rows = moved.shape[len(kept) : -1]
    flat = moved.reshape(*moved.shape[: len(kept)], math.prod(rows), moved.shape[-1])
    product = torch.matmul(flat, second.squeeze(folded))
    back = [order.index(dim) for dim in range(rank)]
    return product.reshape(*product.shape[:-2], *rows, product.shape[-1]).permute(back)


def check_matrices(op: str, first: Tensor, second: Tensor) -> None:
    """Refuse operands of different devices, in rows, or of integers."""
    check_same_device(op, first, second)
    for tensor in (first, second):
        need_layout(op, tensor, Layout.TILE)
        need_floating(op, tensor)


def _placed(product: torch.Tensor, like: Tensor, config: MemoryConfig | None) -> MemoryConfig:
    """Return where a product goes: DRAM unless told otherwise; shards that were left open are chosen as ttnn does."""
    if config is None:
        return DRAM_MEMORY_CONFIG
    if not config.is_sharded() or config.shard_spec is not None or like.mesh is None:
        return config
    grid = like.mesh.compute_with_storage_grid_size()
    rows = divup(math.prod(product.shape[MESH_DIMS:-1]), TILE_SIZE)
    cols = divup(product.shape[-1], TILE_SIZE)
    if config.memory_layout is TensorMemoryLayout.WIDTH_SHARDED:
        tiles = (rows, divup(cols, grid.x * grid.y))
        cores = divup(cols, tiles[1])
    elif config.memory_layout is TensorMemoryLayout.HEIGHT_SHARDED:
        tiles = (divup(rows, grid.x * grid.y), cols)
        cores = divup(rows, tiles[0])
    else:
        raise NotImplementedError("ttnn.matmul into BLOCK_SHARDED memory without a shard spec is not emulated")
    grid_set = num_cores_to_corerangeset(cores, grid, row_wise=True)
    spec = ShardSpec(grid_set, (tiles[0] * TILE_SIZE, tiles[1] * TILE_SIZE))
    return MemoryConfig(config.memory_layout, config.buffer_type, spec)


def _oriented(data: torch.Tensor, *, transposed: bool) -> torch.Tensor:
    return data.transpose(-1, -2) if transposed else data


def _product(op: str, a: Tensor, b: Tensor, *, transpose_a: bool, transpose_b: bool) -> torch.Tensor:
    first, second = read(op, a), read(op, b)
    check_matrices(op, a, b)
    if min(len(a.extents), len(b.extents)) == 1:
        return _vector_product(op, a, b, first, second)
    _check_batches(op, a, b)
    first = _oriented(first, transposed=transpose_a)
    second = _oriented(second, transposed=transpose_b)
    if first.shape[-1] != second.shape[-2]:
        raise RuntimeError(f"ttnn.{op}: {_MISMATCH} Mismatch: width={first.shape[-1]} height={second.shape[-2]}")
    first, second = align(first, second)
    return multiply_matrices(first, second)


def _check_batches(op: str, a: Tensor, b: Tensor) -> None:
    """Refuse batch dims that ttnn does not broadcast: b's must be all 1 or equal to a's, unless a's are all 1."""
    left, right = a.extents[:-2], b.extents[:-2]
    if math.prod(right) == 1:
        return
    if (len(left) < len(right) and math.prod(right[: len(right) - len(left)]) != 1) or len(left) == 0:
        raise RuntimeError(
            f"ttnn.{op}: When in1 rank greater than in0 rank front dimensions need to be 1, got {b.shape}"
        )
    if len(left) != len(right):
        raise RuntimeError(
            f"ttnn.{op}: Batched (non-bcast) matmul requires inputs of the same rank, got {a.shape} and {b.shape}"
        )
    if left != right and math.prod(left) != 1:
        raise RuntimeError(
            f"ttnn.{op}: bmm (non-bcast matmul) expects input tensors of shapes BCMK*BCKN=BCMN, "
            f"got {a.shape} and {b.shape}"
        )


def _vector_product(op: str, a: Tensor, b: Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the product with a vector on either side, which drops its dim."""
    if len(a.extents) == len(b.extents):
        raise RuntimeError(f"ttnn.{op}: two vectors cannot be multiplied, got {a.shape} and {b.shape}")
    row, column = len(a.extents) == 1, len(b.extents) == 1
    left = first.unsqueeze(-2) if row else first
    right = second.unsqueeze(-1) if column else second
    if left.shape[-1] != right.shape[-2]:
        raise RuntimeError(f"ttnn.{op}: {_MISMATCH} Mismatch: width={left.shape[-1]} height={right.shape[-2]}")
    product = multiply_matrices(*align(left, right))
    return product.squeeze(-2 if row else -1)


def matmul(
    input_tensor_a: Tensor,
    input_tensor_b: Tensor,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    memory_config: MemoryConfig | None = None,
    dtype: DataType | None = None,
    program_config: object = None,
    activation: str | None = None,
    compute_kernel_config: WormholeComputeKernelConfig | None = None,
    core_grid: CoreGrid | None = None,
    output_tile: Tile | None = None,
    optional_output_tensor: Tensor | None = None,
) -> Tensor:
    """Return a [..., M, K] @ b [..., K, N] in the dtype of a."""
    del program_config, compute_kernel_config, core_grid, output_tile
    product = _product("matmul", input_tensor_a, input_tensor_b, transpose_a=transpose_a, transpose_b=transpose_b)
    if activation is not None:
        product = activate(product, [_ACTIVATION_NAMES[activation]])
    return write(
        "matmul",
        product,
        input_tensor_a,
        dtype=dtype,
        memory_config=_placed(product, input_tensor_a, memory_config),
        output_tensor=optional_output_tensor,
    )


def linear(
    input_tensor_a: Tensor,
    input_tensor_b: Tensor,
    *,
    bias: Tensor | None = None,
    transpose_a: bool = False,
    transpose_b: bool = False,
    memory_config: MemoryConfig | None = None,
    dtype: DataType | None = None,
    program_config: object = None,
    activation: str | None = None,
    compute_kernel_config: WormholeComputeKernelConfig | None = None,
    core_grid: CoreGrid | None = None,
    output_tile: Tile | None = None,
    optional_output_tensor: Tensor | None = None,
) -> Tensor:
    """Return a [..., M, K] @ b [..., K, N] + bias in the dtype of a."""
    del program_config, compute_kernel_config, core_grid, output_tile
    product = _product("linear", input_tensor_a, input_tensor_b, transpose_a=transpose_a, transpose_b=transpose_b)
    if bias is not None:
        check_same_device("linear", input_tensor_a, bias)
        product = torch.add(*broadcast_pair("linear", product, read("linear", bias)))
    if activation is not None:
        product = activate(product, [_ACTIVATION_NAMES[activation]])
    return write(
        "linear",
        product,
        input_tensor_a,
        dtype=dtype,
        memory_config=_placed(product, input_tensor_a, memory_config),
        output_tensor=optional_output_tensor,
    )


def minimal_matmul(
    input_tensor: Tensor,
    weight_tensor: Tensor,
    bias_tensor: Tensor | None = None,
    *,
    config: MinimalMatmulConfig | None = None,
    memory_config: MemoryConfig | None = None,
    dtype: DataType | None = None,
    compute_kernel_config: WormholeComputeKernelConfig | None = None,
) -> Tensor:
    """Return ``linear`` of the operands."""
    del config
    return linear(
        input_tensor,
        weight_tensor,
        bias=bias_tensor,
        memory_config=memory_config,
        dtype=dtype,
        compute_kernel_config=compute_kernel_config,
    )
