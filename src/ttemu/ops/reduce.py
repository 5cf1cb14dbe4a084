"""Reduce, order and select along one dim of each device's shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout
from ttemu.frame import need_layout, read, write
from ttemu.memory import MemoryConfig
from ttemu.ops.rearrange import dim_in
from ttemu.tensor import Tensor

__all__ = ["argmax", "cumsum", "max", "mean", "min", "prod", "std", "sum", "topk", "var"]

Dims = int | Sequence[int] | None
UINT16_INDICES = 65536
STABLE_WIDTH = 8192


def _dims(op: str, tensor: Tensor, dim: Dims) -> list[int]:
    rank = len(tensor.extents)
    wanted = range(rank) if dim is None else [dim] if isinstance(dim, int) else dim
    return [dim_in(op, item, rank) + MESH_DIMS for item in wanted]


def _make(op: str, function: Callable[..., torch.Tensor]) -> Callable[..., Tensor]:
    """Make a reduction; without a dim it reduces all of them to rank 0."""

    def run(
        input_tensor: Tensor,
        dim: Dims = None,
        keepdim: bool = False,
        *,
        memory_config: MemoryConfig | None = None,
        compute_kernel_config: object = None,
        scalar: float = 1.0,
        correction: bool = True,
    ) -> Tensor:
        del compute_kernel_config, correction
        values = read(op, input_tensor)
        result = (
            function(values, dim=_dims(op, input_tensor, dim), keepdim=keepdim) if values.dim() > MESH_DIMS else values
        )
        scaled = result if scalar == 1.0 else result * scalar
        return write(op, scaled, input_tensor, layout=Layout.TILE, memory_config=memory_config)

    run.__name__ = run.__qualname__ = op
    run.__doc__ = f"Return the {op} over ``dim`` in the tensor's dtype, in TILE layout."
    return run


def _prod(values: torch.Tensor, dim: list[int], keepdim: bool) -> torch.Tensor:
    for item in sorted(dim, reverse=True):
        values = values.prod(dim=item, keepdim=keepdim)
    return values


sum = _make("sum", torch.sum)  # noqa: A001 - ttnn's own name
mean = _make("mean", torch.mean)
max = _make("max", torch.amax)  # noqa: A001 - ttnn's own name
min = _make("min", torch.amin)  # noqa: A001 - ttnn's own name
std = _make("std", torch.std)
var = _make("var", torch.var)
prod = _make("prod", _prod)


def argmax(
    input_tensor: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    use_multicore: bool = True,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return the index of the largest value as uint32 in ROW_MAJOR layout, the first of equals."""
    del use_multicore
    values = read("argmax", input_tensor)
    if dim is None:
        result = values.flatten(MESH_DIMS).argmax(-1)
    else:
        result = values.argmax(dim_in("argmax", dim, len(input_tensor.extents)) + MESH_DIMS, keepdim=keepdim)
    return write(
        "argmax", result, input_tensor, dtype=DataType.UINT32, layout=Layout.ROW_MAJOR, memory_config=memory_config
    )


def cumsum(input_tensor: Tensor, dim: int, *, dtype: DataType | None = None) -> Tensor:
    """Return the running sum along ``dim``."""
    values = read("cumsum", input_tensor)
    at = dim_in("cumsum", dim, len(input_tensor.extents)) + MESH_DIMS
    return write("cumsum", values.cumsum(at), input_tensor, dtype=dtype)


def topk(
    input_tensor: Tensor,
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,  # noqa: A002 - ttnn's own name
    *,
    memory_config: MemoryConfig | None = None,
    sub_core_grids: object = None,
    indices_tensor: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the ``k`` largest values in the input's dtype and their indices, uint16 where they fit."""
    del sub_core_grids
    values = read("topk", input_tensor)
    need_layout("topk", input_tensor, Layout.TILE)
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
