"""Reduce, order and select along one dim of each device's shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout
from ttemu.frame import dim_in, need_floating, need_layout, read, write
from ttemu.memory import MemoryConfig
from ttemu.tensor import Tensor

__all__ = ["argmax", "cumsum", "max", "mean", "min", "prod", "std", "sum", "topk", "var"]

Dims = int | Sequence[int] | None
UINT16_INDICES = 65536
STABLE_WIDTH = 8192
_REDUCED = {
    DataType.FLOAT32,
    DataType.BFLOAT16,
    DataType.BFLOAT8_B,
    DataType.BFLOAT4_B,
    DataType.UINT32,
    DataType.INT32,
}


def _dims(op: str, tensor: Tensor, dim: Dims) -> list[int]:
    rank = len(tensor.extents)
    wanted = range(rank) if dim is None else [dim] if isinstance(dim, int) else dim
    return [dim_in(op, item, rank) + MESH_DIMS for item in wanted]


def _kept(tensor: Tensor) -> Layout:
    return tensor.layout


def _tiled(tensor: Tensor) -> Layout:
    del tensor
    return Layout.TILE


def _make(
    op: str, function: Callable[..., torch.Tensor], layout: Callable[[Tensor], Layout] = _tiled
) -> Callable[..., Tensor]:
    """Make a reduction; without a dim it reduces all of them to rank 0."""

    def run(
        input_tensor: Tensor,
        dim: Dims = None,
        keepdim: bool = False,
        *,
        memory_config: MemoryConfig | None = None,
        compute_kernel_config: object = None,
        scalar: float = 1.0,
        correction: bool | None = None,
        sub_core_grids: object = None,
        fast_and_approximate_mode: bool = False,
    ) -> Tensor:
        del compute_kernel_config, correction, sub_core_grids, fast_and_approximate_mode
        values = read(op, input_tensor)
        if input_tensor.dtype not in _REDUCED:
            raise RuntimeError(
                f"ttnn.{op}: Only FLOAT32, BFLOAT16, BFLOAT8_B, UINT32 and INT32 are supported for reduction - "
                f"got {input_tensor.dtype.name}"
            )
        result = (
            function(values, dim=_dims(op, input_tensor, dim), keepdim=keepdim) if values.dim() > MESH_DIMS else values
        )
        scaled = result if scalar == 1.0 else result * scalar
        return write(op, scaled, input_tensor, layout=layout(input_tensor), memory_config=memory_config)

    run.__name__ = run.__qualname__ = op
    run.__doc__ = f"Return the {op} over ``dim``, or over all dims, in the tensor's dtype."
    return run


def _prod(values: torch.Tensor, dim: list[int], keepdim: bool) -> torch.Tensor:
    for item in sorted(dim, reverse=True):
        values = values.prod(dim=item, keepdim=keepdim)
    return values


sum = _make("sum", torch.sum, _kept)
mean = _make("mean", torch.mean, _kept)
max = _make("max", torch.amax)
min = _make("min", torch.amin)
std = _make("std", torch.std)
var = _make("var", torch.var)
prod = _make("prod", _prod)


def argmax(
    input_tensor: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    sub_core_grids: object = None,
    memory_config: MemoryConfig | None = None,
    enable_secondary_dm: bool | None = None,
) -> Tensor:
    """Return the index of the largest value as uint32 in ROW_MAJOR layout, the first of equals."""
    del sub_core_grids, enable_secondary_dm
    values = read("argmax", input_tensor)
    if input_tensor.layout is Layout.TILE:
        if dim is None:
            raise RuntimeError("ttnn.argmax: For inputs with TILE layout, dim parameter must be specified!")
        if input_tensor.dtype not in {DataType.BFLOAT16, DataType.FLOAT32}:
            raise RuntimeError(
                f"ttnn.argmax: Only BFLOAT16, FLOAT32 are supported for TILE layout, got {input_tensor.dtype.name}"
            )
    if dim is None:
        result = values.flatten(MESH_DIMS).argmax(-1)
    else:
        result = values.argmax(dim_in("argmax", dim, len(input_tensor.extents)) + MESH_DIMS, keepdim=keepdim)
    return write(
        "argmax", result, input_tensor, dtype=DataType.UINT32, layout=Layout.ROW_MAJOR, memory_config=memory_config
    )


def cumsum(
    input: Tensor,
    dim: int,
    *,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return the running sum along ``dim``."""
    values = read("cumsum", input)
    at = dim_in("cumsum", dim, len(input.extents)) + MESH_DIMS
    return write("cumsum", values.cumsum(at), input, dtype=dtype, memory_config=memory_config)


def topk(
    input_tensor: Tensor,
    k: int = 32,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,
    *,
    memory_config: MemoryConfig | None = None,
    sub_core_grids: object = None,
    indices_tensor: Tensor | None = None,
    stable: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the ``k`` largest values in the input's dtype and their indices, uint16 where they fit."""
    del sub_core_grids, stable
    values = read("topk", input_tensor)
    need_layout("topk", input_tensor, Layout.TILE)
    need_floating("topk", input_tensor)
    if indices_tensor is not None:
        raise NotImplementedError("ttnn.topk with indices_tensor is not emulated")
    at = dim_in("topk", dim, len(input_tensor.extents))
    width = input_tensor.extents[at]
    if k > width:
        raise RuntimeError(f"ttnn.topk: K {k} cannot be larger than the dimension size {width}")
    best, indices = _select(values, k, at + MESH_DIMS, largest=largest, in_order=sorted)
    small = width <= UINT16_INDICES and input_tensor.dtype is not DataType.FLOAT32
    kind = DataType.UINT16 if small else DataType.UINT32
    return (
        write("topk", best, input_tensor, memory_config=memory_config),
        write("topk", indices, input_tensor, dtype=kind, memory_config=memory_config),
    )


def _select(
    values: torch.Tensor, k: int, dim: int, *, largest: bool, in_order: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Select along ``dim``; up to a width of 8192 equal values come lowest index first."""
    if values.shape[dim] > STABLE_WIDTH:
        top = values.topk(k, dim=dim, largest=largest, sorted=in_order)
        return top.values, top.indices
    ordered, indices = torch.sort(values, dim=dim, descending=largest, stable=True)
    return ordered.narrow(dim, 0, k), indices.narrow(dim, 0, k)
