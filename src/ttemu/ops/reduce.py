"""Reduce along one dim of each device's shard."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout
from ttemu.formats import load
from ttemu.frame import dim_in, need_layout, read, stored, write
from ttemu.memory import MemoryConfig
from ttemu.ops.mapped import data_alive, need_tensor
from ttemu.tensor import Tensor

__all__ = ["argmax", "cumsum", "max", "mean", "min", "prod", "std", "sum", "var"]

Dims = int | Sequence[int] | None
_LARGE = 1 << 22
_REALS = frozenset({DataType.FLOAT32, DataType.BFLOAT16, DataType.BFLOAT8_B})
_NUMBERS = _REALS | {DataType.UINT32, DataType.INT32}
_MULTIPLIED = _REALS | {DataType.BFLOAT4_B}


def _dims(op: str, tensor: Tensor, dim: Dims) -> list[int]:
    rank = len(tensor.extents)
    if isinstance(dim, int):
        at = dim_in(op, dim, rank or 1)
        return [at + MESH_DIMS] if rank else []
    wanted = [] if dim is None else dim
    if isinstance(wanted, str) or not isinstance(wanted, Sequence) or not all(isinstance(item, int) for item in wanted):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, dim {dim!r}")
    found = [dim_in(op, item, rank or 1) for item in wanted] if wanted else list(range(rank))
    if len(set(found)) < len(found):
        raise RuntimeError(f"ttnn.{op}: dims {list(wanted)} contain a duplicate axis")
    return [item + MESH_DIMS for item in found] if rank else []


def _refusal(op: str, tensor: Tensor, takes: frozenset[DataType]) -> RuntimeError:
    names = ", ".join(sorted(dtype.name for dtype in takes))
    return RuntimeError(f"ttnn.{op}: only the dtypes {names} are supported, got {tensor.dtype.name}")


def _is_single(data: torch.Tensor, dims: list[int]) -> bool:
    """Say whether there is nothing to reduce: then ttnn runs no kernel that could refuse."""
    return all(data.shape[item] == 1 for item in dims)


def _tiled(tensor: Tensor, dims: list[int]) -> Layout:
    del tensor, dims
    return Layout.TILE


def _in_rows(tensor: Tensor, dims: list[int]) -> Layout:
    """Keep floating rows, unless the last two dims are reduced together."""
    rank = len(tensor.extents) + MESH_DIMS
    return Layout.TILE if tensor.dtype not in _REALS or set(dims) == {rank - 1, rank - 2} else tensor.layout


def _sum_in_rows(tensor: Tensor, dims: list[int]) -> Layout:
    """Keep floating rows as ``_in_rows`` does, of bfloat16 where one of the last two dims is reduced."""
    outer = len(dims) > 1 or any(dim < len(tensor.extents) for dim in dims)
    return Layout.TILE if tensor.dtype is DataType.BFLOAT16 and outer else _in_rows(tensor, dims)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep torch from warning that one value has no spread; ttnn does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _make(
    op: str,
    function: Callable[..., torch.Tensor],
    takes: frozenset[DataType] = _NUMBERS,
    layout: Callable[[Tensor, list[int]], Layout] = _tiled,
    *,
    weigh: Callable[[float], float] | None = None,
) -> Callable[..., Tensor]:
    """Make a reduction; without a dim it reduces all of them to rank 0.

    A spread (``weigh``) knows a correction, and says what scaling its input multiplies it by.
    """

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
        del compute_kernel_config, sub_core_grids, fast_and_approximate_mode
        dims = _dims(op, need_tensor(op, input_tensor), dim)
        data = stored(op, input_tensor) if weigh is None else data_alive(op, input_tensor)
        if input_tensor.dtype not in takes and not ((weigh or not dims) and _is_single(data, dims)):
            raise _refusal(op, input_tensor, takes)
        options = {} if weigh is None or correction is None else {"correction": int(correction)}

        def reduced(part: torch.Tensor) -> torch.Tensor:
            values = load(part) if weigh is None else load(part).float()
            with _silent() if weigh else nullcontext():
                result = function(values, dim=dims, keepdim=keepdim, **options) if dims else values
            # Integers know no NaN, which the spread of one value is.
            return result.nan_to_num() if weigh and input_tensor.dtype not in takes else result

        # One column of a large mesh tensor at a time: what is read as float32 stays small.
        parts = data.chunk(data.shape[1], dim=1) if data.numel() > _LARGE else (data,)
        result = torch.cat([reduced(part) for part in parts], dim=1) if len(parts) > 1 else reduced(data)
        scaled = result if scalar == 1.0 else result * (scalar if weigh is None else weigh(scalar))
        return write(op, scaled, input_tensor, layout=layout(input_tensor, dims), memory_config=memory_config)

    run.__name__ = run.__qualname__ = op
    run.__doc__ = f"Return the {op} over ``dim``, or over all dims, in the tensor's dtype."
    return run


sum = _make("sum", torch.sum, layout=_sum_in_rows)
mean = _make("mean", torch.mean, _REALS, _in_rows)
max = _make("max", torch.amax)
min = _make("min", torch.amin)
std = _make("std", torch.std, _REALS, weigh=math.fabs)
var = _make("var", torch.var, _REALS, weigh=lambda factor: factor**2)


def prod(
    input_tensor: Tensor, dim: int | None = None, keepdim: bool = False, *, memory_config: MemoryConfig | None = None
) -> Tensor:
    """Return the product over ``dim``; that over all dims needs a mesh of one device."""
    if not isinstance(dim, (int, type(None))):
        raise TypeError(f"ttnn.prod: incompatible function arguments, dim {dim!r}")
    dims = _dims("prod", need_tensor("prod", input_tensor), dim)
    values = read("prod", input_tensor)
    if input_tensor.dtype not in _MULTIPLIED:
        raise _refusal("prod", input_tensor, _MULTIPLIED)
    if dim is None or len(input_tensor.extents) == 1:
        if input_tensor.span != (1, 1):
            raise RuntimeError(
                "ttnn.prod: without a dim it reads a single buffer from host storage, got one on each device of "
                f"{input_tensor.mesh}"
            )
    elif input_tensor.dtype is DataType.BFLOAT4_B:
        raise RuntimeError("ttnn.prod: a dim does not go with the dtype BFLOAT4_B")
    for item in sorted(dims, reverse=True):
        values = values.prod(dim=item, keepdim=keepdim)
    return write("prod", values, input_tensor, layout=Layout.TILE, memory_config=memory_config)


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
    if not isinstance(dim, (int, type(None))):
        raise TypeError(f"ttnn.argmax: incompatible function arguments, dim {dim!r}")
    rank = len(input_tensor.extents)
    at = rank - 1 if dim is None else dim_in("argmax", dim, rank)
    if input_tensor.layout is Layout.TILE:
        if dim is None:
            raise RuntimeError("ttnn.argmax: For inputs with TILE layout, dim parameter must be specified!")
        if input_tensor.dtype not in {DataType.BFLOAT16, DataType.FLOAT32}:
            raise RuntimeError(
                f"ttnn.argmax: Only BFLOAT16, FLOAT32 are supported for TILE layout, got {input_tensor.dtype.name}"
            )
    elif input_tensor.dtype is DataType.UINT8:
        raise RuntimeError("ttnn.argmax: UINT8 is not among the dtypes of ROW_MAJOR layout")
    elif at != rank - 1 and input_tensor.dtype not in _REALS:
        raise RuntimeError(f"ttnn.argmax: of integers in rows only argmax on the last dim is supported, got {dim}")
    if dim is None:
        result = values.flatten(MESH_DIMS).argmax(-1)
        result = result.reshape(*result.shape, *(1,) * len(input_tensor.extents)) if keepdim else result
    else:
        result = values.argmax(at + MESH_DIMS, keepdim=keepdim)
    return write(
        "argmax", result, input_tensor, dtype=DataType.UINT32, layout=Layout.ROW_MAJOR, memory_config=memory_config
    )


def cumsum(
    input: Tensor,
    dim: int,
    *,
    dtype: DataType | None = None,
    reverse_order: bool = False,
    out: Tensor | None = None,
    memory_config: MemoryConfig | None = None,
    disable_compensated_sum: bool = False,
) -> Tensor:
    """Return the running sum along ``dim``, from its end in ``reverse_order``."""
    del disable_compensated_sum
    values = read("cumsum", input)
    if not isinstance(dim, int):
        raise TypeError(f"ttnn.cumsum: incompatible function arguments, dim {dim!r}")
    at = dim_in("cumsum", dim, len(input.extents)) + MESH_DIMS
    need_layout("cumsum", input, Layout.TILE)
    result = values.flip(at).cumsum(at).flip(at) if reverse_order else values.cumsum(at)
    if out is not None:
        if need_tensor("cumsum", out).extents != input.extents:
            raise RuntimeError(f"ttnn.cumsum: Shape mismatch between {input.shape} and the output {out.shape}")
        write("cumsum", result, input, output_tensor=out)
    # As in ttnn the result is another tensor than ``out``.
    return write("cumsum", result, input, dtype=dtype, memory_config=memory_config)
