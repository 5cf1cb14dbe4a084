"""Generate calls that look values up, put them in places, and count up."""

from __future__ import annotations

from tests.fidelity.corpus.placing import spoiled_tensor
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_LINE = ("1x8", "1x8", "1x1")
_INTEGERS = ("U16", "U32", "I32")


def _now_and_then(draw: Draw, tensor: str) -> str:
    return spoiled_tensor(draw, tensor, ("host", "number")) if draw.chance(4) else tensor


@generates("embedding", cases=100, meshes=(*_LINE, "2x4"))
def _embedding(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    count, width = draw.one((1, 5, 32, 33, 64, 128)), draw.one((32, 64, 128, 40, 256))
    index = draw.one(([1, count], [1, count], [2, count], [4, count], [count], [1, 1, 1, count], [2, 1, 1, count]))
    rows = draw.one((32, 64, 128, 100))
    weight = draw.one(([rows, width], [rows, width], [1, 1, rows, width], [1, rows, width]))
    if draw.chance(6):
        weight = draw.one(([2, 1, rows, width], [width]))
    kind = draw.one(("U32", "U32", "U32", "U32", "U32", "B16", "I32", "U16"))
    dtype = draw.one(("B16", "B16", "B16", "B16", "B8", "F32"))
    ids = draw.tensor(index, dtype=kind, layout=draw.layout(88))
    table = draw.tensor(weight, dtype=dtype, layout="TL" if dtype == "B8" else draw.layout(60))
    options = draw.options(
        (30, f"layout={draw.one(('TL', 'RM'))}"),
        (12, f"dtype={draw.one(('B16', 'B8', 'F32'))}"),
        (15, "memory_config=L1"),
        (6, f"padding_idx={draw.one((0, 3))}"),
    )
    return f"ttnn.{name}({_now_and_then(draw, ids)}, {table}{options})"


@generates("scatter", cases=90, meshes=_LINE)
def _scatter(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 4)
    rank = len(shape)
    dim = draw.between(-rank, rank - 1)
    index = list(shape)
    index[dim] = draw.one([extent for extent in (1, 2, 4, 8, 32) if extent <= shape[dim]] or [1])
    source = list(index)
    fault = draw.one(("dim", "rank", "index", "source", "float", "layout")) if draw.chance(25) else ""
    if fault == "dim":
        dim = draw.one((rank, -rank - 1))
    elif fault == "rank":
        index = [1, *index]
    elif fault == "index":
        index[0] = shape[0] + 1
        source = list(index)
    elif fault == "source":
        source[-1] += 3
    dtype = draw.one(("B16", "B16", "B16", "B8", "F32", "I32", "U32", "U16"))
    layout = "TL" if dtype == "B8" else draw.layout(25)
    other = "RM" if fault == "layout" else layout
    places = draw.tensor(index, dtype="B16" if fault == "float" else draw.one(_INTEGERS), layout=other)
    values = draw.tensor(source, dtype=dtype if draw.chance(92) else draw.dtype(), layout=layout)
    whole = _now_and_then(draw, draw.tensor(shape, dtype=dtype, layout=layout))
    form = draw.one((f"{dim}, {places}, {values}", f"dim={dim}, index={places}, src={values}"))
    return f"ttnn.{name}({whole}, {form}{draw.options((10, 'memory_config=L1'))})"


@generates("gather", cases=80, meshes=_LINE)
def _gather(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(2, 4)
    rank = len(shape)
    dim = draw.between(-rank, rank - 1)
    index = list(shape)
    index[dim] = draw.one((1, 2, 4, 8, 32, 40))
    fault = draw.one(("dim", "rank", "index", "dtype", "layout")) if draw.chance(25) else ""
    if fault == "dim":
        dim = draw.one((rank, -rank - 1))
    elif fault == "rank":
        index = [1, *index]
    elif fault == "index":
        index = [extent + 96 for extent in index]
    dtype = draw.dtype()
    kind = draw.one(("I32", "B16")) if fault == "dtype" else draw.one(("U16", "U32"))
    places = draw.tensor(index, dtype=kind, layout="RM" if fault == "layout" and dim in {-1, rank - 1} else "TL")
    whole = _now_and_then(draw, draw.tensor(shape, dtype=dtype, layout="TL"))
    form = draw.one((f"{dim}, {places}", f"{dim}, index={places}", f"dim={dim}, index={places}"))
    return f"ttnn.{name}({whole}, {form}{draw.options((10, 'memory_config=L1'))})"


@generates("topk", cases=90, meshes=(*_LINE, "2x4", "4x8"))
def _topk(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 4)
    rank = len(shape)
    dim = draw.between(-rank, rank - 1) if draw.chance(40) else -1
    shape[dim] = draw.one((32, 64, 96, 128, 256, 100, 33))
    dtype = draw.one(("B16", "B16", "B16", "B16", "B16", "B8", "B8", "F32", "B4"))
    layout = "TL" if dtype in {"B8", "B4"} else draw.layout(5)
    count = draw.one((1, 4, 8, 32, 32, 64))
    at = dim if draw.chance(94) else draw.one((rank, -rank - 1))
    form = draw.one((f"{count}", f"{count}, {at}", f"k={count}, dim={at}", f"{count}, dim={at}"))
    options = draw.options(
        (25, f"largest={draw.one((True, True, False))}"),
        (25, "sorted=True"),
        (12, "memory_config=L1"),
        (5, "stable=True"),
    )
    if draw.chance(8):
        odd = shape if draw.chance(70) else [*shape[:-1], shape[-1] + 32]
        options += f", indices_tensor={draw.tensor(odd, dtype=draw.one(('U16', 'U16', 'U32', 'I32')))}"
    return f"ttnn.{name}({_now_and_then(draw, draw.tensor(shape, dtype=dtype, layout=layout))}, {form}{options})"


@generates("plus_one", cases=30)
def _plus_one(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.one(([32], [1, 32], [8], [1, 1, 1, 32], [4, 8], [1], [2, 3, 40]))
    dtype = draw.one(("I32", "I32", "I32", "U32", "U32", "B16", "U16", "F32"))
    options = draw.options((40, f"skip_negative_entries={draw.one(('True', 'False'))}"))
    tensor = draw.tensor(shape, dtype=dtype, layout=draw.layout(85), place=draw.one(("", "", "L1")))
    return f"ttnn.{name}({_now_and_then(draw, tensor)}{options})"
