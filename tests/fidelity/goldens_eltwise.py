"""Draw calls of the ops that work element by element."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.fidelity.goldens_case import Call, Draw, Input, named

__all__ = ["BUILDERS"]

Builder = Callable[[Draw], Call]

# torch computes the last few numbers of a tensor with other instructions than the rest, so the same function of the
# same number may differ by one unit in the last place (measured on every function below); four are allowed.
_UNITS = 4 * 2.0**-23
_CURVES = ("cos", "exp", "log", "rsqrt", "sigmoid", "silu", "sin", "sqrt", "swish", "tanh")
_STEPS = ("ceil", "floor", "isfinite", "isinf", "isnan", "reciprocal", "sign")
_ANY_UNARY = ("abs", "logical_not", "neg", "relu", "square", "identity")
_ARITHMETIC = ("add", "sub", "subtract", "mul", "multiply", "rsub")
_IN_PLACE = ("add_", "subtract_", "multiply_")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_LOGICAL = ("logical_and", "logical_or")
_NO_ACTIVATIONS = "the op applies fused activations, its golden function leaves them out"
_ACTIVATIONS = ("RELU", "SILU", "SIGMOID", "GELU")


def _float_unary(draw: Draw) -> Call:
    scale = draw.choice(0.1, 1.0, 10.0)
    return Call(args=(draw.floats(draw.shape(0, 5), scale=scale, special=draw.chance(0.4)),))


def _curve(draw: Draw) -> Call:
    return replace(_float_unary(draw), relative=_UNITS)


def _any_unary(draw: Draw) -> Call:
    if draw.chance(0.3):
        return Call(args=(draw.integers(draw.shape(1, 4), -1000, 1000),))
    return _float_unary(draw)


def _gelu(draw: Draw) -> Call:
    given = draw.floats(draw.shape(0, 4), scale=2.0)
    if draw.chance(0.7):
        return Call(args=(given,), relative=_UNITS)
    kwargs, golden = {"fast_and_approximate_mode": True}, {"variant": named("GeluVariant.Tanh")}
    # Of 1 + tanh little is left far below zero.
    tolerance = 2.0**-23
    return Call(args=(given,), kwargs=kwargs, golden_kwargs=golden, relative=_UNITS, tolerance=tolerance, text="tanh")


def _round(draw: Draw) -> Call:
    # Halves show which way ties go.
    given = draw.floats(draw.shape(1, 4), "float32", scale=4.0)
    halves = tuple((part * 2).round() / 2 for part in given.parts)
    kwargs = {"decimals": draw.choice(0, 1, 2, -1)} if draw.chance(0.4) else {}
    return Call(args=(Input(halves, given.dtype),), kwargs=kwargs, relative=_UNITS if kwargs else 0.0, text=str(kwargs))


def _softplus(draw: Draw) -> Call:
    kwargs = {"beta": draw.choice(0.5, 1.0, 2.0), "threshold": draw.choice(1.0, 20.0)} if draw.chance() else {}
    return replace(_curve(draw), kwargs=kwargs, text=str(kwargs))


def _clamp(draw: Draw) -> Call:
    if draw.chance(0.2):
        shape = draw.shape(1, 4)
        return Call(args=(draw.floats(shape, "float32"), draw.floats(shape, "float32"), draw.floats(shape, "float32")))
    given = draw.floats(draw.shape(1, 4), scale=3.0, special=draw.chance(0.3))
    low, high = draw.choice((-1.0, 2.0), (None, 0.5), (-0.25, None), (2.0, -1.0), (0.0, 0.0))
    if draw.chance():
        return Call(args=(given, low, high))
    return Call(args=(given,), kwargs={"min": low, "max": high})


def _pair_shapes(draw: Draw) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return two shapes that broadcast."""
    shape = draw.shape(1, 4)
    if draw.chance(0.4):
        return shape, shape
    second = tuple(1 if draw.chance(0.4) else extent for extent in shape)
    first = tuple(1 if draw.chance(0.2) else extent for extent in shape)
    if draw.chance(0.3) and len(second) > 1:
        second = second[1:]
    return first, second


def _operands(
    draw: Draw, *, integers: tuple[str, ...] = ("int32", "uint32", "uint16"), mixed: bool = True
) -> tuple[Any, Any]:
    left, right = _pair_shapes(draw)
    if integers and draw.chance(0.25):
        dtype = draw.choice(*integers)
        low = -1000 if dtype == "int32" else 0
        return draw.integers(left, low, 1000, dtype), draw.integers(right, low, 1000, dtype)
    first = draw.floats(left, special=draw.chance(0.2))
    if draw.chance(0.3):
        return first, draw.choice(0.5, -2.0, 3, 0, 1.25)
    return first, draw.floats(right, None if mixed else first.dtype)


def _is_whole(operand: Any) -> bool:
    return isinstance(operand, Input) and "int" in operand.dtype


def _arithmetic(draw: Draw) -> Call:
    return _activated(draw, *_operands(draw))


def _activated(draw: Draw, first: Any, second: Any) -> Call:
    if _is_whole(first) or draw.chance(0.7):
        return Call(args=(first, second))
    kind = draw.choice(*_ACTIVATIONS)
    place = draw.choice("activations", "input_tensor_a_activations")
    kwargs = {place: [named(f"UnaryOpType.{kind}")]}
    # What activations of numbers of size 4 may be off by can be all that a difference leaves.
    text = f"{place} {kind}"
    return Call(args=(first, second), kwargs=kwargs, text=text, tolerance=_UNITS, absolute=4 * _UNITS)


def _extremum(draw: Draw) -> Call:
    call = _activated(draw, *_operands(draw, integers=("int32", "uint32"), mixed=False))
    return replace(call, excuse=_NO_ACTIVATIONS) if call.kwargs else call


def _typed(draw: Draw) -> Call:
    first, second = _operands(draw, integers=())
    dtype = draw.choice("float32", "bfloat16")
    return Call(args=(first, second), kwargs={"dtype": named(dtype)}, text=f"dtype {dtype}")


def _sum(draw: Draw) -> Call:
    return _typed(draw) if draw.chance(0.2) else _arithmetic(draw)


def _in_place(draw: Draw) -> Call:
    first = draw.floats(draw.shape(1, 4), shared=False)
    return Call(args=(first, draw.choice(0.5, draw.floats(first.parts[0].shape))))


def _comparison(draw: Draw) -> Call:
    first, second = _operands(draw)
    if isinstance(second, Input) and not _is_whole(first) and draw.chance():
        # Equal numbers, or equality would hardly ever be seen.
        second = Input(tuple(part.round() for part in second.parts), "float32")
        first = Input(tuple(part.round() for part in first.parts), "float32")
    return Call(args=(first, second))


def _logical(draw: Draw) -> Call:
    left, right = _pair_shapes(draw)
    first, second = draw.integers(left, -1, 1), draw.integers(right, -1, 1)
    if draw.chance():
        first, second = (Input(tuple(part.float() for part in item.parts), "bfloat16") for item in (first, second))
    return Call(args=(first, second))


def _divide(draw: Draw) -> Call:
    first, second = _operands(draw, integers=())
    if not isinstance(second, Input):
        second = second or 2.0
    if draw.chance(0.7):
        return Call(args=(first, second), relative=_UNITS)
    # Exact quotients, or the last place would decide; finite ones, for torch rounds infinity to NaN.
    numbers = draw.floats(draw.shape(1, 4), "float32", scale=8.0)
    first = Input(tuple(part.round() + 0.5 for part in numbers.parts), "float32")
    mode = draw.choice("floor", "trunc")
    return Call(args=(first, draw.choice(2.0, 4.0, -8.0)), kwargs={"rounding_mode": mode}, text=mode)


def _rdiv(draw: Draw) -> Call:
    return Call(
        args=(draw.floats(draw.shape(1, 4), special=draw.chance(0.2)), draw.choice(1.0, -3.0, 0.5)), relative=_UNITS
    )


def _pow(draw: Draw) -> Call:
    given = draw.floats(draw.shape(1, 4), special=draw.chance(0.2))
    exponent = draw.choice(2, 3, 0.5, -1.0, 0.0, draw.floats(given.parts[0].shape, given.dtype))
    return Call(args=(given, exponent), relative=_UNITS)


def _where(draw: Draw) -> Call:
    shape = draw.shape(1, 4)
    predicate = draw.integers(shape, 0, 1)
    dtype = draw.choice("float32", "bfloat16")
    held = Input(tuple(part.float() for part in predicate.parts), dtype)
    yes, no = (draw.choice(0.5, draw.floats(shape, dtype)) for _ in range(2))
    return Call(args=(held, yes, no if isinstance(yes, Input) else draw.floats(shape, dtype)))


BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(_CURVES, _curve),
    **dict.fromkeys(_STEPS, _float_unary),
    **dict.fromkeys(_ANY_UNARY, _any_unary),
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    **dict.fromkeys(_IN_PLACE, _in_place),
    **dict.fromkeys(_COMPARISONS, _comparison),
    **dict.fromkeys(_LOGICAL, _logical),
    "add": _sum,
    "multiply": _sum,
    "clamp": _clamp,
    "clip": _clamp,
    "div": _divide,
    "divide": _divide,
    "gelu": _gelu,
    "maximum": _extremum,
    "minimum": _extremum,
    "pow": _pow,
    "rdiv": _rdiv,
    "round": _round,
    "softplus": _softplus,
    "where": _where,
}
