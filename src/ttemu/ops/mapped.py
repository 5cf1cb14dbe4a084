"""Make ops on every element of one tensor: what they refuse, and where the result goes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, is_floating
from ttemu.formats import load
from ttemu.frame import stored, write
from ttemu.memory import MemoryConfig
from ttemu.shards import chosen
from ttemu.tensor import Tensor

__all__ = ["INTEGERS", "check_dtype", "check_output", "data_alive", "make", "need_tensor", "read_alive", "write_mapped"]

Function = Callable[[torch.Tensor], torch.Tensor]
#: The integers that most ops on integers take.
INTEGERS = frozenset({DataType.INT32, DataType.UINT32, DataType.UINT16})
_EXCHANGEABLE = frozenset({DataType.BFLOAT16, DataType.FLOAT32, DataType.BFLOAT8_B})


def need_tensor(op: str, tensor: Tensor) -> Tensor:
    """Return what is given for a tensor, refusing anything else."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, got {type(tensor).__name__}")
    return tensor


def data_alive(op: str, tensor: Tensor) -> torch.Tensor:
    """Return what a device tensor holds; the real library looks for the memory of any other, and crashes."""
    if isinstance(tensor, Tensor) and (tensor.mesh is None or not tensor.is_allocated()):
        if tensor.mesh is None:
            state = "is on host"
        else:
            why = "it was deallocated before" if tensor.mesh.is_open else "its mesh device is closed"
            state = f"is not allocated, {why}"
        raise RuntimeError(f"ttnn.{op}: input tensor {tensor.shape} {state}; the real library crashes here")
    return stored(op, tensor)


def read_alive(op: str, tensor: Tensor) -> torch.Tensor:
    """Return the values that ``data_alive`` holds."""
    return load(data_alive(op, tensor))


def check_dtype(op: str, tensor: Tensor, integers: frozenset[DataType]) -> None:
    """Refuse an integer tensor of a dtype that is not among ``integers``."""
    if tensor.dtype not in integers and not is_floating(tensor.dtype):
        raise RuntimeError(f"ttnn.{op}: does not support integer input dtype {tensor.dtype.name}")


def write_mapped(
    op: str,
    values: torch.Tensor,
    like: Tensor,
    *,
    dtype: DataType | None = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Round ``values`` into a tensor like the one that they were made of."""
    if output_tensor is not None:
        check_output(op, like, output_tensor)
    if isinstance(memory_config, MemoryConfig) and like.mesh is not None:
        memory_config = chosen(memory_config, tuple(values.shape[MESH_DIMS:]), like.layout, like.mesh)
    return write(op, values, like, dtype=dtype, memory_config=memory_config, output_tensor=output_tensor)


def check_output(op: str, like: Tensor, target: Tensor) -> None:
    """Refuse an output tensor that is not of the dtype and layout of ``like``."""
    if not isinstance(target, Tensor):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, output_tensor {target!r}")
    if target.dtype is not like.dtype and not {target.dtype, like.dtype} <= _EXCHANGEABLE:
        raise RuntimeError(
            f"ttnn.{op}: Preallocated output dtype {target.dtype.name} is not compatible with {like.dtype.name}"
        )
    if target.layout is not like.layout:
        raise RuntimeError(
            f"ttnn.{op}: output format {target.layout.name} must match input's {like.layout.name} when preallocated"
        )


def make(op: str, function: Function, integers: frozenset[DataType] = frozenset()) -> Callable[..., Tensor]:
    """Make an op of one tensor, floating or of one of ``integers``."""

    def run(
        input_tensor: Tensor,
        *,
        memory_config: MemoryConfig | None = None,
        output_tensor: Tensor | None = None,
        sub_core_grids: object = None,
    ) -> Tensor:
        del sub_core_grids
        values = read_alive(op, input_tensor)
        check_dtype(op, input_tensor, integers)
        result = function(values)
        return write_mapped(op, result, input_tensor, memory_config=memory_config, output_tensor=output_tensor)

    run.__name__ = run.__qualname__ = op
    run.__doc__ = f"Return {op} of every element, in the tensor's dtype."
    return run
