"""Generate calls of ops on every element of one tensor."""

from __future__ import annotations

from tests.fidelity.corpus.operands import PLACES, TILED, broadcast, dead, operand, sharding, spoilt_shape
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import FLOATS, INTEGERS, Draw

__all__: list[str] = []

_BOUNDS = ("0.0", "-1.5", "1.0", "2", "0.5", "-1", "7.0")
_DTYPES = (*FLOATS, *INTEGERS, "U8")
#: The op that is also given a tensor on host or a dead one: the real library crashes, and starts slowly.
_CRASHING = "silu"
_APPROXIMATE = ("exp", "log", "sqrt", "rsqrt", "tanh")


def _spoilt(draw: Draw, name: str, shape: list[int], dtype: str) -> str:
    """Return a call with one mistake."""
    dtype = dtype if dtype in FLOATS else "B16"
    tensor = operand(draw, shape, dtype, row_major=0)
    kind = draw.between(0 if name == _CRASHING else 2, 6)
    if kind == 0:
        return f"ttnn.{name}({draw.tensor(shape, dtype=dtype, host=100)})"
    if kind == 1:
        return dead(f"ttnn.{name}(t)", tensor)
    if kind == 2:
        return f"ttnn.{name}({tensor}, output_tensor={operand(draw, spoilt_shape(draw, shape), dtype, row_major=0)})"
    if kind == 3:
        return f"ttnn.{name}({tensor}, {draw.one(('foo=1', 'memory_config=1', 'output_tensor=3', 'dtype=B16'))})"
    if kind == 4:
        return f"ttnn.{name}({draw.one(('2.0', 'None', 'torch.ones(2)', ''))})"
    if kind == 5:
        return f"ttnn.{name}({operand(draw, shape, draw.one((*INTEGERS, 'U8')))})"
    return f"ttnn.{name}({tensor}, memory_config={sharding(draw, shape, fits=False)})"


def _options(draw: Draw, shape: list[int]) -> str:
    place = sharding(draw, shape) if draw.chance(40) else draw.one(PLACES)
    target = operand(draw, shape, draw.dtype() if draw.chance(30) else draw.floating(), row_major=4)
    return draw.options((20, f"memory_config={place}"), (12, f"output_tensor={target}"))


@generates("silu", "sigmoid", "exp", "reciprocal", "relu", "gelu", "sqrt", "tanh", cases=24)
@generates("abs", "ceil", "cos", "floor", "isfinite", "isinf", "isnan", "log", "logical_not", "neg", cases=12)
@generates("round", "rsqrt", "sign", "sin", "softplus", "square", "swish", cases=12)
def _unary(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5) if draw.chance(92) else draw.one(([], [0, 64], [1, 1, 1, 2, 3, 40]))
    dtype = draw.floating() if draw.chance(75) else draw.one(_DTYPES)
    if draw.chance(25):
        return _spoilt(draw, name, draw.shape(1, 4), dtype)
    sharded = sharding(draw, shape) if draw.chance(15) and 0 not in shape else None
    options = _options(draw, shape) if 0 not in shape else ""
    rows = 0 if "S(" in options else 12  # shards of rows are other shards
    if name in _APPROXIMATE:
        options += draw.options((15, f"fast_and_approximate_mode={draw.one(('True', 'False'))}"))
    return f"ttnn.{name}({operand(draw, shape, dtype, row_major=rows, place=sharded)}{options})"


@generates("clamp", "clip", cases=60)
def _clamp(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 4)
    dtype = draw.floating() if draw.chance(70) else draw.one(_DTYPES)
    if draw.chance(15):
        return _spoilt(draw, name, shape, dtype)
    tensor = operand(draw, shape, dtype)
    if draw.chance(35):
        bound = operand(
            draw, shape if draw.chance(60) else broadcast(draw, shape), draw.one((dtype, dtype, "F32", "B16"))
        )
        other = operand(draw, shape, dtype)
        return f"ttnn.{name}({tensor}{_two(draw, bound, other)}{_place(draw)})"
    if draw.chance(8):
        return f"ttnn.{name}({tensor}, {draw.one(('None, None', 'T(2, 64), 1.0', 'min=1.0, max=T(2, 64)', repr('a')))})"
    options = _place(draw) + (_output(draw, shape) if name == "clamp" else "")
    return f"ttnn.{name}({tensor}{_two(draw, draw.one(_BOUNDS), draw.one(_BOUNDS))}{options})"


def _two(draw: Draw, low: str, high: str) -> str:
    """Return bounds, by position or by keyword, or one of them."""
    return draw.one((f", {low}, {high}", f", min={low}, max={high}", f", min={low}", f", max={high}", f", {low}"))


def _place(draw: Draw) -> str:
    return draw.options((20, f"memory_config={draw.one(PLACES)}"))


def _output(draw: Draw, shape: list[int]) -> str:
    target = operand(draw, shape if draw.chance(75) else spoilt_shape(draw, shape), draw.floating(), row_major=5)
    return draw.options((12, f"output_tensor={target}"))


@generates("typecast", cases=80)
def _typecast(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5) if draw.chance(92) else draw.one(([], [1]))
    source, target = draw.one(_DTYPES), draw.one(_DTYPES)
    tensor = operand(draw, shape, source, row_major=20)
    if draw.chance(80):
        form = draw.one((target, f"dtype={target}"))
        place = sharding(draw, shape) if draw.chance(25) and 0 not in shape else draw.one(PLACES)
        output = f"output_tensor={operand(draw, shape, target if draw.chance(70) else draw.floating())}"
        host = draw.chance(25)
        chosen = draw.tensor(shape, dtype=source, layout=draw.layout(30) if source not in TILED else "TL", host=100)
        options = "" if host else draw.options((15, f"memory_config={place}"), (8, output))
        return f"ttnn.{name}({chosen if host else tensor}, {form}{options})"
    kind = draw.between(0, 3)
    if kind == 0:
        return dead(f"ttnn.{name}(t, {target})", tensor)
    if kind == 1:
        return f"ttnn.{name}({tensor}, {draw.one(('torch.float32', repr('bfloat16'), 'TL', ''))})"
    if kind == 2:
        return f"ttnn.{name}({tensor}, {target}, output_tensor={operand(draw, spoilt_shape(draw, shape), target)})"
    return f"ttnn.{name}({tensor}, {target}, {draw.one(('foo=1', 'memory_config=3', 'layout=TL'))})"


@generates("to_dtype", cases=40)
def _to_dtype(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 4) if draw.chance(50) else [draw.one((32, 64)), draw.one((32, 96))]
    source, target = draw.one(_DTYPES), draw.one(_DTYPES)
    layout = "TL" if source in ("B8", "B4") else draw.layout(50)
    tensor = draw.tensor(shape, dtype=source, layout=layout, host=88)
    if draw.chance(90):
        return f"ttnn.{name}({tensor}, {target})"
    return f"ttnn.{name}({tensor}, {draw.one(('None', 'torch.int32', 'foo=1'))})"
