"""Apply a function to every element of a tensor."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ttemu.dtypes import DataType
from ttemu.memory import MemoryConfig
from ttemu.ops.mapped import INTEGERS, Function, check_dtype, make, read_alive, write_mapped
from ttemu.tensor import Tensor

__all__ = ["abs", "ceil", "cos", "exp", "floor", "gelu", "isfinite", "isinf", "isnan", "log", "logical_not", "neg"]
__all__ += ["reciprocal", "relu", "round", "rsqrt", "sigmoid", "sign", "silu", "sin", "softplus", "sqrt", "square"]
__all__ += ["swish", "tanh"]

_ALL = INTEGERS | {DataType.UINT8}


def _approximate(op: str, function: Function) -> Callable[..., Tensor]:
    """Make a unary op that may be asked for a fast version, which the emulator does not tell apart."""
    exact = make(op, function)

    def run(
        input_tensor: Tensor,
        *,
        fast_and_approximate_mode: bool = False,
        memory_config: MemoryConfig | None = None,
        output_tensor: Tensor | None = None,
        sub_core_grids: object = None,
    ) -> Tensor:
        del fast_and_approximate_mode, sub_core_grids
        return exact(input_tensor, memory_config=memory_config, output_tensor=output_tensor)

    run.__name__ = run.__qualname__ = op
    run.__doc__ = exact.__doc__
    return run


def _flag(function: Function) -> Function:
    return lambda values: function(values).to(values.dtype)


silu = swish = make("silu", torch.nn.functional.silu)
relu = make("relu", torch.relu, _ALL)
exp = _approximate("exp", torch.exp)
log = _approximate("log", torch.log)
sqrt = _approximate("sqrt", torch.sqrt)
rsqrt = _approximate("rsqrt", torch.rsqrt)
square = make("square", torch.square, INTEGERS)
reciprocal = make("reciprocal", torch.reciprocal)
tanh = _approximate("tanh", torch.tanh)
sin = make("sin", torch.sin)
cos = make("cos", torch.cos)
neg = make("neg", torch.neg, frozenset({DataType.INT32}))
abs = make("abs", torch.abs, _ALL)
sign = make("sign", torch.sign)
floor = make("floor", torch.floor)
ceil = make("ceil", torch.ceil)
isnan = make("isnan", _flag(torch.isnan))
isinf = make("isinf", _flag(torch.isinf))
isfinite = make("isfinite", _flag(torch.isfinite))
_sigmoid = make("sigmoid", torch.sigmoid)
logical_not = make("logical_not", _flag(torch.logical_not), INTEGERS)


def sigmoid(
    input_tensor: Tensor,
    *,
    vector_mode: int = 4,
    mode: object = None,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return 1 / (1 + exp(-x)) of every element."""
    del vector_mode, mode, sub_core_grids
    return _sigmoid(input_tensor, memory_config=memory_config, output_tensor=output_tensor)


def gelu(
    input_tensor: Tensor,
    *,
    fast_and_approximate_mode: bool = False,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return x * Phi(x) of every element."""
    del sub_core_grids
    values = read_alive("gelu", input_tensor)
    check_dtype("gelu", input_tensor, frozenset())
    result = torch.nn.functional.gelu(values, approximate="tanh" if fast_and_approximate_mode else "none")
    return write_mapped("gelu", result, input_tensor, memory_config=memory_config, output_tensor=output_tensor)


def softplus(
    input_tensor: Tensor,
    *,
    beta: float = 1.0,
    threshold: float = 20.0,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return log(1 + exp(beta * x)) / beta of every element, and x itself above ``threshold`` / beta."""
    del sub_core_grids
    values = read_alive("softplus", input_tensor)
    check_dtype("softplus", input_tensor, frozenset())
    result = torch.nn.functional.softplus(values, beta, threshold)
    return write_mapped("softplus", result, input_tensor, memory_config=memory_config, output_tensor=output_tensor)


def round(
    input_tensor: Tensor,
    *,
    decimals: int | None = 0,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Return every element rounded to ``decimals`` decimal places, half to even."""
    del sub_core_grids
    values = read_alive("round", input_tensor)
    check_dtype("round", input_tensor, frozenset())
    result = torch.round(values, decimals=decimals or 0)
    return write_mapped("round", result, input_tensor, memory_config=memory_config, output_tensor=output_tensor)
