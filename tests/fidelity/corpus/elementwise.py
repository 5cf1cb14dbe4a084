"""Generate calls of ops on two tensors, or a tensor and a number, element by element."""

from __future__ import annotations

from tests.fidelity.corpus.operands import PLACES, broadcast, dead, operand, sharding, spoilt_shape
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import FLOATS, INTEGERS, Draw

__all__: list[str] = []

_NUMBERS = ("2", "2.5", "0", "-1", "1.0", "0.5", "True", "300", "-2.5")
_DIVISORS = ("2", "2.5", "-1", "1.0", "300", "-2.5")
_ACTIVATIONS = ("RELU", "SILU", "GELU", "SIGMOID")
_SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "eq": "==", "ne": "!=", "lt": "<", "le": "<="}
_SYMBOLS |= {"gt": ">", "ge": ">="}
_MESHES = ("1x8", "1x8", "1x8", "1x8", "1x1", "2x4", "4x8")


def _dtypes(draw: Draw) -> tuple[str, str]:
    """Return the dtypes of two operands, mostly alike, both floating or both integers."""
    first = draw.dtype()
    if draw.chance(60):
        return first, first
    return first, draw.one(FLOATS if first in FLOATS else INTEGERS) if draw.chance(80) else draw.dtype()


def _shape(draw: Draw) -> list[int]:
    return draw.shape(1, 5) if draw.chance(90) else draw.one(([], [1], [0, 64], [1, 1, 1, 1, 2, 40]))


def _place(draw: Draw, shape: list[int]) -> str:
    return sharding(draw, shape) if draw.chance(40) and 0 not in shape else draw.one(PLACES)


def _options(draw: Draw, shape: list[int]) -> str:
    """Return keyword arguments that go with a result of ``shape``."""
    fused = f"[ttnn.UnaryWithParam(ttnn.UnaryOpType.{draw.one(_ACTIVATIONS)})]"
    which = draw.one(("activations", "input_tensor_a_activations", "input_tensor_b_activations"))
    target = operand(draw, shape, draw.floating(), row_major=8)
    return draw.options(
        (15, f"dtype={draw.one(FLOATS)}"),
        (18, f"memory_config={_place(draw, shape)}"),
        (8, f"output_tensor={target}"),
        (5, f"{which}={fused}"),
    )


def _spoilt(draw: Draw, name: str, shape: list[int], dtype: str) -> str:
    """Return a call with one mistake."""
    dtype = dtype if dtype in FLOATS or name in {"add", "subtract", "multiply"} else "B16"
    first, second = operand(draw, shape, dtype), operand(draw, shape, dtype)
    kind = draw.between(0, 8)
    if kind == 0:
        return f"ttnn.{name}({first}, {operand(draw, spoilt_shape(draw, shape), dtype)})"
    if kind == 1:
        host = draw.tensor(shape, dtype=dtype, host=100)
        return f"ttnn.{name}({', '.join(draw.some((first, host), 2))})"
    if kind == 2:
        return f"ttnn.{name}({first}, {second}, output_tensor={operand(draw, spoilt_shape(draw, shape), dtype)})"
    if kind == 3:
        return (
            f"ttnn.{name}({first}, {second}, {draw.one(('foo=1', 'memory_config=1', 'dtype=L1', 'output_tensor=3'))})"
        )
    if kind == 4:
        return dead(f"ttnn.{name}(t, {second})", draw.tensor(shape, dtype=dtype))
    if kind == 5:
        return f"ttnn.{name}({first}, {draw.one(('None', repr('a'), '[1]', 'torch.ones(2)'))})"
    if kind == 6:
        return f"ttnn.{name}({draw.one(('2', '2.0', 'None'))}, {draw.one(('3', first))})"
    if kind == 7:
        return f"ttnn.{name}({first}, {operand(draw, shape, draw.one((*INTEGERS, 'U8')))})"
    pair = (draw.tensor(shape, dtype=dtype), draw.tensor(shape, dtype=dtype))
    return f"ttnn.{name}({', '.join(pair)}, memory_config={sharding(draw, shape, fits=False)})"


@generates("add", "subtract", "multiply", "divide", cases=70, meshes=_MESHES)
@generates("maximum", "minimum", "eq", "gt", "rsub", cases=30)
@generates("ne", "lt", "le", "ge", "logical_and", "logical_or", "pow", "sub", "mul", "div", cases=16)
def _binary(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, (first, second) = _shape(draw), _dtypes(draw)
    if draw.chance(25):
        return _spoilt(draw, name, draw.shape(2, 4), first)
    sharded = sharding(draw, shape) if draw.chance(10) and 0 not in shape else None
    left = operand(draw, shape, first, place=sharded)
    if draw.chance(22):
        pair = [left, draw.one(_NUMBERS)]
        if draw.chance(20):
            pair.reverse()
    else:
        place = draw.one((sharded, "L1")) if sharded and draw.chance(60) else None
        other = shape if place else broadcast(draw, shape)
        pair = [left, operand(draw, other, second, place=place)]
        if draw.chance(20):
            pair.reverse()
    if name in _SYMBOLS and draw.chance(12):
        return f" {_SYMBOLS[name]} ".join(pair)
    return f"ttnn.{name}({pair[0]}, {pair[1]}{_options(draw, shape)})"


@generates("add_", "subtract_", "multiply_", cases=25)
def _in_place(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, (first, second) = draw.shape(1, 4), _dtypes(draw)
    if draw.chance(25):
        return _spoilt_in_place(draw, name, shape, first)
    left = operand(draw, shape, first, place=sharding(draw, shape) if draw.chance(15) else None)
    right = draw.one(_NUMBERS) if draw.chance(25) else operand(draw, broadcast(draw, shape), second)
    fused = f"activations=[ttnn.UnaryWithParam(ttnn.UnaryOpType.{draw.one(_ACTIVATIONS)})]"
    return f"ttnn.{name}({left}, {right}{draw.options((10, fused))})"


def _spoilt_in_place(draw: Draw, name: str, shape: list[int], dtype: str) -> str:
    first, second = operand(draw, shape, dtype), operand(draw, shape, dtype)
    kind = draw.between(0, 5)
    if kind == 0:
        return f"ttnn.{name}({first}, {operand(draw, spoilt_shape(draw, shape), dtype)})"
    if kind == 1:
        return f"ttnn.{name}({draw.tensor(shape, dtype=dtype, host=100)}, {second})"
    if kind == 2:
        return f"ttnn.{name}({first}, {second}, {draw.one(('output_tensor=None', 'dtype=B16', 'memory_config=L1'))})"
    if kind == 3:
        return dead(f"ttnn.{name}(t, {second})", draw.tensor(shape, dtype=dtype))
    if kind == 4:
        return f"ttnn.{name}({draw.one(('2', '2.0'))}, {first})"
    return f"ttnn.{name}({first}, {operand(draw, shape, draw.one(INTEGERS))})"


@generates("divide.rounding", cases=60)
def _quotient(draw: Draw, mesh: str, name: str) -> str:
    """Draw the rounding modes and the number over a tensor."""
    del mesh, name
    shape, (first, second) = draw.shape(1, 4), _dtypes(draw)
    mode = draw.one(("'floor'", "'trunc'", "None", "'trunc'", "'ceil'"))
    options = draw.options((80, f"rounding_mode={mode}"), (20, f"memory_config={draw.one(PLACES)}"))
    left, right = operand(draw, shape, first), operand(draw, broadcast(draw, shape), second)
    if second in INTEGERS:
        right = f"({right} + 1)"  # a quotient by zero has no integer
    kind = draw.between(0, 4)
    if kind == 0:
        return f"ttnn.rdiv({left}, {draw.one(_DIVISORS)}{options})"
    if kind == 1:
        return f"ttnn.divide({left}, {draw.one(_DIVISORS)}{options})"
    return f"ttnn.divide({left}, {right}{options}{draw.options((12, f'dtype={draw.one(FLOATS)}'))})"


@generates("where", cases=60)
def _where(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, (first, second) = draw.shape(1, 4), _dtypes(draw)
    choice = operand(draw, shape, draw.one((first, "B16", "I32")), row_major=4)
    items = [operand(draw, broadcast(draw, shape), dtype, row_major=4) for dtype in (first, second)]
    items = [draw.one(_NUMBERS) if draw.chance(30) else item for item in items]
    if draw.chance(80):
        options = draw.options(
            (20, f"memory_config={_place(draw, shape)}"), (6, f"output_tensor={operand(draw, shape)}")
        )
        return f"ttnn.{name}({choice}, {items[0]}, {items[1]}{options})"
    kind = draw.between(0, 3)
    if kind == 0:
        pair = (operand(draw, spoilt_shape(draw, shape), first, row_major=0), operand(draw, shape, first))
        return f"ttnn.{name}({draw.tensor(shape, dtype=first)}, {', '.join(pair)})"
    if kind == 1:
        return f"ttnn.{name}({choice}, {items[0]}, {draw.one(('None', repr('a'), 'foo=1'))})"
    if kind == 2:
        return f"ttnn.{name}({choice}, {draw.one(_NUMBERS)}, {items[0]}, {draw.one(('1', 'dtype=B16'))})"
    return f"ttnn.{name}({choice}, {items[0]}, {items[1]}, memory_config={sharding(draw, shape, fits=False)})"
