"""Generate calls of ops that reduce, number or run along dims."""

from __future__ import annotations

from tests.fidelity.corpus.operands import PLACES, operand, spoilt_shape
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import FLOATS, INTEGERS, Draw

__all__: list[str] = []

_DTYPES = (*FLOATS, *INTEGERS, "U8")
#: Ops that are also given a tensor on host: the real library crashes, and starts slowly.
_CRASHING = ("sum",)


def _shape(draw: Draw) -> list[int]:
    return draw.shape(1, 5) if draw.chance(92) else draw.one(([], [2], [1, 1, 2, 1, 3, 40]))


def _dim(draw: Draw, rank: int) -> str:
    """Return one dim, counted from either end."""
    return str(draw.between(-rank, rank - 1)) if rank else "0"


def _dims(draw: Draw, rank: int) -> str:
    """Return one dim or several different ones as a list or tuple."""
    if rank < 2 or draw.chance(60):
        return _dim(draw, rank)
    some = [dim - rank * draw.chance(30) for dim in draw.some(range(rank), draw.between(1, min(rank, 3)))]
    return str(some if draw.chance(70) else tuple(some))


def _tensor(draw: Draw, shape: list[int]) -> str:
    dtype = draw.floating() if draw.chance(75) else draw.one(_DTYPES)
    return operand(draw, shape, dtype)


def _spoilt(draw: Draw, name: str, shape: list[int]) -> str:
    rank, tensor = len(shape), operand(draw, shape, draw.one(("B16", "F32")))
    kind = draw.between(0 if name in _CRASHING else 1, 6)
    if kind == 0:
        return f"ttnn.{name}({draw.tensor([*shape[:-1], 64], host=100)}, dim=-1)"
    if kind == 1:
        return f"ttnn.{name}({tensor}, dim={draw.one((rank, rank + 2, -rank - 1))})"
    if kind == 2:
        return (
            f"ttnn.{name}({tensor}, {draw.one(('foo=1', 'dim=1.5', repr('a'), 'dim=-1, memory_config=2', 'axis=0'))})"
        )
    if kind == 3:
        return f"ttnn.{name}({tensor}, dim=[0, 0])" if draw.chance(50) else f"ttnn.{name}({tensor}, dim=[])"
    if kind == 4:
        return f"ttnn.{name}({tensor}, dim=[{rank}, 0])"
    if kind == 5:
        return f"ttnn.{name}({operand(draw, [*shape[:-1], 64], draw.one((*INTEGERS, 'U8')))}, dim=-1)"
    return f"ttnn.{name}({draw.one(('2.0', 'None', 'torch.ones(2)', ''))})"


@generates("sum", "max", cases=70, meshes=("1x8", "1x8", "1x8", "1x8", "1x1", "2x4"))
@generates("mean", "min", cases=50)
@generates("std", "var", cases=25)
def _reduce(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = _shape(draw)
    if draw.chance(25):
        return _spoilt(draw, name, draw.shape(2, 4))
    dims = _dims(draw, len(shape))
    form = draw.one((f", {dims}", f", dim={dims}", f", dim={dims}", ""))
    kept = f", {draw.one(('True', 'False'))}" if form == f", {dims}" and draw.chance(30) else ""
    options = draw.options((45 * (not kept), f"keepdim={draw.one(('True', 'False', 'True'))}"))
    options += draw.options((12, f"memory_config={draw.one(PLACES)}"), (6, "scalar=0.5"))
    return f"ttnn.{name}({_tensor(draw, shape)}{form}{kept}{options})"


@generates("prod", cases=40, meshes=("1x8", "1x1"))
def _prod(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 4)
    if draw.chance(25):
        return _spoilt(draw, name, draw.shape(2, 4))
    form = draw.one((f", dim={_dim(draw, len(shape))}", f", {_dim(draw, len(shape))}", ""))
    options = draw.options((35, "keepdim=True"), (12, f"memory_config={draw.one(PLACES)}"))
    tensor = operand(draw, shape, draw.floating() if draw.chance(75) else draw.one(_DTYPES), row_major=0)
    return f"ttnn.{name}({tensor}{form}{options})"


@generates("argmax", cases=50)
def _argmax(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 4)
    if draw.chance(20):
        return _spoilt(draw, name, draw.shape(2, 4))
    form = draw.one((", dim=-1", f", dim={_dim(draw, len(shape))}", f", {_dim(draw, len(shape))}", ""))
    options = draw.options((35, f"keepdim={draw.one(('True', 'False'))}"), (12, f"memory_config={draw.one(PLACES)}"))
    dtype = draw.one(("B16", "B16", "F32", *_DTYPES))
    return f"ttnn.{name}({operand(draw, shape, dtype, row_major=50)}{form}{options})"


@generates("cumsum", cases=50)
def _cumsum(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5)
    if draw.chance(25):
        return _spoilt(draw, name, draw.shape(2, 4))
    dim = _dim(draw, len(shape))
    out = operand(draw, shape if draw.chance(70) else spoilt_shape(draw, shape), draw.floating())
    options = draw.options(
        (20, f"dtype={draw.one(_DTYPES)}"),
        (12, f"memory_config={draw.one(PLACES)}"),
        (12, "reverse_order=True"),
        (8, f"out={out}"),
    )
    return f"ttnn.{name}({_tensor(draw, shape)}, {draw.one((dim, f'dim={dim}'))}{options})"
