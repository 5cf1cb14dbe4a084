"""Multiply dense matrices."""

from __future__ import annotations

import math

import torch

from ttemu.axes import MESH_DIMS
from ttemu.configs import (
    MinimalMatmulConfig,
    Tile,
    UnaryOpType,
    UnaryWithParam,
    WormholeComputeKernelConfig,
)
from ttemu.cores import CoreGrid
from ttemu.dtypes import DataType
from ttemu.frame import align, check_same_device, read, stored, write
from ttemu.memory import TILE_SIZE, MemoryConfig
from ttemu.ops.binary import activate, broadcast_pair
from ttemu.ops.blocks import placed
from ttemu.ops.operands import check_batches, check_inner, check_matrices, check_ranks, check_tile, matrices, sides
from ttemu.ops.product import multiply_matrices
from ttemu.tensor import Tensor

__all__ = ["linear", "matmul"]

_ACTIVATION_NAMES = {
    "relu": UnaryOpType.RELU,
    "gelu": UnaryOpType.GELU,
    "silu": UnaryOpType.SILU,
    "sigmoid": UnaryOpType.SIGMOID,
}


def _oriented(data: torch.Tensor, *, transposed: bool) -> torch.Tensor:
    return data.transpose(-1, -2) if transposed else data


def _product(
    op: str,
    a: Tensor,
    b: Tensor,
    config: MemoryConfig | None,
    core_grid: CoreGrid | None,
    activation: object,
    *,
    transpose_a: bool,
    transpose_b: bool,
    rounded: bool = False,
) -> tuple[torch.Tensor, MemoryConfig]:
    """Return the product, in float32 or ``rounded`` to bfloat16, and where it goes."""
    first, second = matrices(op, a, b)
    left, right = sides(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    if core_grid is not None:
        check_inner(op, left, right)
    _check_activation(op, b, activation, core_grid)
    check_ranks(op, a, b)
    if transpose_a and core_grid is not None:
        _check_transposed(op, a, b, left[0])
    place = placed(op, a, b, (left[0], right[1]), config, core_grid)
    check_matrices(op, a, b)
    check_batches(op, a, b, left[1], place, core_grid)
    if len(b.extents) == 1 and core_grid is not None:
        raise RuntimeError(f"ttnn.{op}: the k dimension does not match, {b.shape} is a vector and core_grid is given")
    check_inner(op, left, right)
    first = _oriented(first.unsqueeze(-2) if len(a.extents) == 1 else first, transposed=transpose_a)
    second = _oriented(second.unsqueeze(-1) if len(b.extents) == 1 else second, transposed=transpose_b)
    product = multiply_matrices(*align(first, second), torch.bfloat16 if rounded else torch.float32)
    # A vector's dim of size 1 is gone again.
    product = product.squeeze(-1) if len(b.extents) == 1 else product
    return product.squeeze(-1 if len(b.extents) == 1 else -2) if len(a.extents) == 1 else product, place


def _check_transposed(op: str, a: Tensor, b: Tensor, rows: int) -> None:
    """Refuse what the program on a core_grid does not transpose: batches of a that it multiplies by one b."""
    if rows > TILE_SIZE and math.prod(a.extents[:-2]) > 1 == math.prod(b.extents[:-2]):
        raise RuntimeError(f"ttnn.{op}: transpose_a with batches of a {a.shape} is not supported on a core_grid")


def _activated(op: str, product: torch.Tensor, activation: str | UnaryWithParam | None) -> torch.Tensor:
    if activation is None:
        return product
    kind = _ACTIVATION_NAMES.get(activation) if isinstance(activation, str) else activation
    if kind is None:
        raise NotImplementedError(f"ttnn.{op} with activation {activation!r} is not emulated")
    return activate(product, [kind])


def _check_activation(op: str, b: Tensor, activation: object, core_grid: CoreGrid | None) -> None:
    if activation is not None and core_grid is not None and math.prod(b.extents[:-2]) > 1:
        raise RuntimeError(f"ttnn.{op}: Cannot use activation with batched input b {b.shape} on a core_grid")


def matmul(
    input_tensor_a: Tensor,
    input_tensor_b: Tensor,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    memory_config: MemoryConfig | None = None,
    dtype: DataType | None = None,
    program_config: object = None,
    activation: str | UnaryWithParam | None = None,
    compute_kernel_config: WormholeComputeKernelConfig | None = None,
    core_grid: CoreGrid | None = None,
    output_tile: Tile | None = None,
    optional_output_tensor: Tensor | None = None,
) -> Tensor:
    """Return a [..., M, K] @ b [..., K, N] in the dtype of a."""
    del program_config, compute_kernel_config
    _check_operands("matmul", input_tensor_a, input_tensor_b)
    check_tile("matmul", output_tile)
    results = (dtype or input_tensor_a.dtype) if optional_output_tensor is None else optional_output_tensor.dtype
    rounded = results is DataType.BFLOAT16 and activation is None
    product, place = _product(
        "matmul",
        input_tensor_a,
        input_tensor_b,
        memory_config,
        core_grid,
        activation,
        transpose_a=transpose_a,
        transpose_b=transpose_b,
        rounded=rounded,
    )
    return write(
        "matmul",
        _activated("matmul", product, activation),
        input_tensor_a,
        dtype=dtype,
        memory_config=place,
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
    activation: str | UnaryWithParam | None = None,
    compute_kernel_config: WormholeComputeKernelConfig | None = None,
    core_grid: CoreGrid | None = None,
    output_tile: Tile | None = None,
    optional_output_tensor: Tensor | None = None,
) -> Tensor:
    """Return a [..., M, K] @ b [..., K, N] + bias in the dtype of a."""
    del program_config, compute_kernel_config
    _check_operands("linear", input_tensor_a, input_tensor_b)
    check_tile("linear", output_tile)
    product, place = _product(
        "linear",
        input_tensor_a,
        input_tensor_b,
        memory_config,
        core_grid,
        activation,
        transpose_a=transpose_a,
        transpose_b=transpose_b,
    )
    if bias is not None:
        product = _biased(input_tensor_a, product, bias, batched=math.prod(input_tensor_b.extents[:-2]) > 1)
    return write(
        "linear",
        _activated("linear", product, activation),
        input_tensor_a,
        dtype=dtype,
        memory_config=place,
        output_tensor=optional_output_tensor,
    )


def _biased(a: Tensor, product: torch.Tensor, bias: Tensor, *, batched: bool) -> torch.Tensor:
    values = read("linear", bias)
    check_same_device("linear", a, bias)
    fused = len(bias.extents) == len(a.extents) and not batched
    if fused and product.shape[-2] == 1 < (1, 1, *bias.extents)[-2]:
        raise RuntimeError(f"ttnn.linear: bias {bias.shape} cannot be broadcast, the product has one row")
    return torch.add(*broadcast_pair("linear", product, values))


def _check_operands(op: str, *tensors: Tensor) -> None:
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"ttnn.{op}: incompatible function arguments, expected a ttnn.Tensor, got {tensor!r}")


def minimal_matmul(
    input_tensor: Tensor,
    weight_tensor: Tensor,
    *,
    bias_tensor: Tensor | None = None,
    config: MinimalMatmulConfig | None = None,
    memory_config: MemoryConfig | None = None,
    dtype: DataType | None = None,
    compute_kernel_config: WormholeComputeKernelConfig | None = None,
) -> Tensor:
    """Return input [..., M, K] @ weight [1, ..., K, N] + bias [1, ..., N], in the input's memory by default."""
    del config, compute_kernel_config
    op = "minimal_matmul"
    _check_operands(op, input_tensor, weight_tensor)
    if input_tensor.mesh is None or not input_tensor.is_allocated():
        raise RuntimeError(f"ttnn.{op}: {input_tensor.shape} is not on device, the real library crashes here")
    first, second = stored(op, input_tensor), stored(op, weight_tensor)
    check_matrices(op, input_tensor, weight_tensor)
    if math.prod(weight_tensor.extents[:-2]) != 1:
        raise RuntimeError(f"ttnn.{op}: dims of the weight before the last two must be 1 but got {weight_tensor.shape}")
    check_inner(op, *sides(input_tensor, weight_tensor, transpose_a=False, transpose_b=False))
    weight = second.reshape(*second.shape[:MESH_DIMS], *second.shape[-2:])
    product = multiply_matrices(*align(first, weight), torch.float32)
    if bias_tensor is not None:
        bias = read(op, bias_tensor)
        if bias_tensor.logical_volume() != product.shape[-1]:
            raise RuntimeError(f"ttnn.{op}: bias {bias_tensor.shape} must match the width {product.shape[-1]}")
        row = bias.reshape(*bias.shape[:MESH_DIMS], -1)
        product = torch.add(*align(product, row))
    return write(op, product, input_tensor, dtype=dtype, memory_config=memory_config)
