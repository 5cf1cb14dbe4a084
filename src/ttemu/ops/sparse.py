"""Multiply the pairs of matrices that a sparsity tensor selects."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ttemu.axes import MESH_DIMS, mesh_of
from ttemu.configs import MatmulMultiCoreReuseMultiCast1DProgramConfig, Tile, WormholeComputeKernelConfig
from ttemu.cores import CoreGrid
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, need_layout, stored, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig
from ttemu.ops.operands import check_matrices, check_tile
from ttemu.ops.product import MATRIX_DIMS, multiply_matrices
from ttemu.tensor import Tensor

__all__ = ["sparse_matmul"]

_LARGE = 1 << 15  # elements of a matrix


def sparse_matmul(
    input_tensor_a: Tensor,
    input_tensor_b: Tensor,
    *,
    sparsity: Tensor,
    program_config: MatmulMultiCoreReuseMultiCast1DProgramConfig,
    nnz: int | None = None,
    is_input_a_sparse: bool = False,
    is_input_b_sparse: bool = True,
    memory_config: MemoryConfig | None = None,
    dtype: DataType | None = None,
    compute_kernel_config: WormholeComputeKernelConfig | None = None,
    core_grid: CoreGrid | None = None,
    output_tile: Tile | None = None,
    optional_output_tensor: Tensor | None = None,
) -> Tensor:
    """Return products of the matrix pairs with a non-zero sparsity, zeros for the others.

    With b sparse: a [a0, a1, M, K], b [b0, b1, K, N] -> [a0, a1, b0, b1, M, N]. With a sparse too:
    a [1, E, M, K], b [1, E, K, N] -> [1, E, M, N]. ``sparsity`` has one entry per pair, row-major.
    """
    del compute_kernel_config, core_grid
    op = "sparse_matmul"
    check_tile(op, output_tile)
    a, b = stored(op, input_tensor_a), stored(op, input_tensor_b)
    check_matrices(op, input_tensor_a, input_tensor_b)
    if not (is_input_a_sparse or is_input_b_sparse):
        raise RuntimeError("ttnn.sparse_matmul: at least one of the inputs must be sparse")
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(f"ttnn.sparse_matmul: width {a.shape[-1]} of a must match the height {b.shape[-2]} of b")
    _check_program(program_config, b.shape[-1], rows=a.shape[-2])
    mask = _sparsity_mask(sparsity, input_tensor_a, input_tensor_b, nnz, paired=is_input_a_sparse)
    results = (dtype or input_tensor_a.dtype) if optional_output_tensor is None else optional_output_tensor.dtype
    products = _paired_products if is_input_a_sparse else _crossed_products
    values = products(a, b, mask, torch.bfloat16 if results is DataType.BFLOAT16 else torch.float32)
    return write(
        op,
        values,
        input_tensor_a,
        dtype=dtype,
        memory_config=memory_config or DRAM_MEMORY_CONFIG,
        output_tensor=optional_output_tensor,
    )


def _check_program(config: MatmulMultiCoreReuseMultiCast1DProgramConfig, width: int, rows: int) -> None:
    """Refuse what the kernel's core assignment refuses."""
    if not isinstance(config, MatmulMultiCoreReuseMultiCast1DProgramConfig):
        fact = "only MatmulMultiCoreReuseMultiCast1DProgramConfig is supported"
        raise RuntimeError(f"ttnn.sparse_matmul: {fact}")  # noqa: TRY004 - ttnn's own class of error
    block = config.out_block_w or config.per_core_N
    if config.per_core_N % block:
        raise RuntimeError(
            f"ttnn.sparse_matmul: per_core_N {config.per_core_N} must be divisible by out_block_w {block}"
        )
    grid = config.compute_with_storage_grid_size
    cols, lines = (grid[0], grid[1]) if isinstance(grid, tuple) else (grid.x, grid.y)
    tiles_m, tiles_n = -(-rows // TILE_SIZE), -(-width // TILE_SIZE)
    cores = -(-tiles_m // config.per_core_M) * -(-tiles_n // config.per_core_N)
    if cores > cols * lines:
        raise RuntimeError(f"ttnn.sparse_matmul: the number of cores, {cols}x{lines}, is less than {cores} blocks")
    box = cores if cores <= cols else -(-cores // cols) * cols
    if box != cores:
        raise RuntimeError(
            f"ttnn.sparse_matmul: num_cores_with_work ({cores}) must be equal to in0_mcast_receiver_num_cores ({box}); "
            "choose per_core_N so that the cores with work fill a rectangle"
        )


def _sparsity_mask(sparsity: Tensor, a: Tensor, b: Tensor, nnz: int | None, *, paired: bool) -> torch.Tensor:
    """Return which pairs are wanted: [rows|1, cols|1, pairs] of booleans."""
    op = "sparse_matmul"
    raw = stored(op, sparsity)
    check_same_device(op, a, sparsity)
    need_layout(op, sparsity, Layout.ROW_MAJOR)
    batches = [math.prod(tensor.extents[:-2]) for tensor in (a, b)]
    if paired and batches[0] != batches[1] != 1:
        raise RuntimeError(f"ttnn.sparse_matmul: batch of a {batches[0]} must equal the batch of b {batches[1]}")
    pairs = batches[0] if paired else batches[0] * batches[1]
    if sparsity.logical_volume() != pairs:
        raise RuntimeError(
            f"ttnn.sparse_matmul: sparsity has {sparsity.logical_volume()} elements, which must equal the batch {pairs}"
        )
    mask = raw.reshape(*raw.shape[:MESH_DIMS], pairs) != 0
    if nnz is not None:
        _check_count(mask, nnz, pairs)
    return mask


def _check_count(mask: torch.Tensor, nnz: int, pairs: int) -> None:
    if nnz > pairs:
        raise RuntimeError(f"ttnn.sparse_matmul: nnz {nnz} must not exceed the number of batches {pairs}")
    found = mask.sum(-1).flatten().tolist()
    if any(count != nnz for count in found):
        raise RuntimeError(
            f"ttnn.sparse_matmul: nnz is {nnz} but sparsity has {sorted(set(found))} non-zeros on some device; "
            "the real kernel hangs here"
        )


def _wanted(mask: torch.Tensor) -> torch.Tensor:
    """Return the indices along the last dim that any device wants."""
    return mask.flatten(0, -2).any(0).nonzero().squeeze(-1)


def _matrices(data: torch.Tensor) -> torch.Tensor:
    """Return data [r, c, ..., M, K] as [r, c, batch, M, K]."""
    return data.reshape(*data.shape[:MESH_DIMS], -1, *data.shape[-MATRIX_DIMS:])


def _turns(chosen: torch.Tensor, matrices: torch.Tensor) -> Sequence[slice | torch.Tensor]:
    """Return which matrices [.., K, N] to multiply at once: large ones one by one, as choosing several copies them."""
    if matrices.shape[-1] * matrices.shape[-2] < _LARGE:
        return [chosen] if len(chosen) else []
    return [slice(at, at + 1) for at in chosen.tolist()]


def _paired_products(a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    first, second = _matrices(a), _matrices(b)
    shared = second.shape[MESH_DIMS] == 1
    mesh = mesh_of(first, second, mask)
    out = torch.zeros(*mesh, mask.shape[-1], first.shape[-2], second.shape[-1], dtype=dtype)
    for at in _turns(_wanted(mask), second):
        # Mesh rows that share a weight are multiplied by it together: one that wants nothing of it would cost the same.
        torn = isinstance(at, slice) and len(first) == len(mask) != len(second)
        rows = mask[:, :, at].flatten(1).any(1).nonzero().squeeze(-1) if torn else slice(None)
        product = multiply_matrices(first[rows][:, :, at], second if shared else second[:, :, at], dtype)
        out[rows, :, at] = product * mask[rows][:, :, at, None, None]
    batch = (a if shared else b).shape[MESH_DIMS:-MATRIX_DIMS]
    return out.reshape(*out.shape[:MESH_DIMS], *batch, *out.shape[-MATRIX_DIMS:])


def _crossed_products(a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    first, second = _matrices(a).unsqueeze(3), _matrices(b)
    grid = mask.reshape(*mask.shape[:MESH_DIMS], first.shape[MESH_DIMS], second.shape[MESH_DIMS])
    mesh = mesh_of(first, second, mask)
    out = torch.zeros(*mesh, *grid.shape[MESH_DIMS:], first.shape[-2], second.shape[-1], dtype=dtype)
    for at in _turns(_wanted(grid), second):
        product = multiply_matrices(first, second[:, :, None, at], dtype)
        out[:, :, :, at] = product * grid[:, :, :, at, None, None]
    batches = (*a.shape[MESH_DIMS:-MATRIX_DIMS], *b.shape[MESH_DIMS:-MATRIX_DIMS])
    return out.reshape(*out.shape[:MESH_DIMS], *batches, *out.shape[-MATRIX_DIMS:])
