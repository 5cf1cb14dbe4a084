"""Apply a function to every element of a tensor."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ttemu.frame import need_floating, read, write
from ttemu.memory import MemoryConfig
from ttemu.tensor import Tensor

__all__ = ["abs", "ceil", "clamp", "clip", "cos", "exp", "floor", "gelu", "isfinite", "isinf", "isnan", "log"]
__all__ += ["logical_not", "neg", "reciprocal", "relu", "round", "rsqrt", "sigmoid", "sign", "silu", "sin"]
__all__ += ["softplus", "sqrt", "square", "swish", "tanh"]

Function = Callable[[torch.Tensor], torch.Tensor]


def _make_approximate(op: str, function: Function) -> Callable[..., Tensor]:
    """Make a unary op that may be asked for a fast version, which the emulator does not tell apart."""
    exact = _make(op, function)

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


def _make(op: str, function: Function, *, integers: bool = False) -> Callable[..., Tensor]:
    """Make a unary op; without ``integers`` it refuses integer tensors."""

    def run(
        input_tensor: Tensor,
        *,
        memory_config: MemoryConfig | None = None,
        output_tensor: Tensor | None = None,
        sub_core_grids: object = None,
    ) -> Tensor:
        del sub_core_grids
        values = read(op, input_tensor)
        if not integers:
            need_floating(op, input_tensor)
        return write(op, function(values), input_tensor, memory_config=memory_config, output_tensor=output_tensor)

    run.__name__ = run.__qualname__ = op
    run.__doc__ = f"Return {op} of every element, in the tensor's dtype."
    return run


def _flag(function: Function) -> Function:
    return lambda values: function(values).to(values.dtype)


silu = swish = _make("silu", torch.nn.functional.silu)
relu = _make("relu", torch.relu, integers=True)
exp = _make_approximate("exp", torch.exp)
log = _make_approximate("log", torch.log)
sqrt = _make_approximate("sqrt", torch.sqrt)
rsqrt = _make_approximate("rsqrt", torch.rsqrt)
square = _make("square", torch.square, integers=True)
reciprocal = _make("reciprocal", torch.reciprocal)
tanh = _make_approximate("tanh", torch.tanh)
sin = _make("sin", torch.sin)
cos = _make("cos", torch.cos)
neg = _make("neg", torch.neg, integers=True)
abs = _make("abs", torch.abs, integers=True)
sign = _make("sign", torch.sign, integers=True)
floor = _make("floor", torch.floor)
ceil = _make("ceil", torch.ceil)
round = _make("round", torch.round)
softplus = _make("softplus", torch.nn.functional.softplus)
isnan = _make("isnan", _flag(torch.isnan))
isinf = _make("isinf", _flag(torch.isinf))
isfinite = _make("isfinite", _flag(torch.isfinite))
logical_not = _make("logical_not", _flag(torch.logical_not), integers=True)


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
    values = read("sigmoid", input_tensor)
    need_floating("sigmoid", input_tensor)
    result = torch.sigmoid(values)
    return write("sigmoid", result, input_tensor, memory_config=memory_config, output_tensor=output_tensor)


def gelu(
    input_tensor: Tensor,
    *,
    fast_and_approximate_mode: bool = False,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Return x * Phi(x) of every element."""
    values = read("gelu", input_tensor)
    need_floating("gelu", input_tensor)
    result = torch.nn.functional.gelu(values, approximate="tanh" if fast_and_approximate_mode else "none")
    return write("gelu", result, input_tensor, memory_config=memory_config, output_tensor=output_tensor)


def clamp(
    input_tensor: Tensor,
    min: Tensor | float | None = None,
    max: Tensor | float | None = None,
    *,
    memory_config: MemoryConfig | None = None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Return every element no smaller than ``min`` and no larger than ``max``."""
    values = read("clamp", input_tensor)
    if min is None and max is None:
        raise RuntimeError("ttnn.clamp: only one of 'min' or 'max' can be None, both are")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        raise NotImplementedError("ttnn.clamp with tensor bounds is not emulated; give numbers")
    result = torch.clamp(values, min, max)
    return write("clamp", result, input_tensor, memory_config=memory_config, output_tensor=output_tensor)


def clip(
    input_tensor: Tensor,
    min: float | None = None,
    max: float | None = None,
    *,
    memory_config: MemoryConfig | None = None,
) -> Tensor:
    """Return ``clamp`` of the tensor."""
    return clamp(input_tensor, min, max, memory_config=memory_config)
