"""Generate calls that cut a part out of a tensor or surround it with a value."""

from __future__ import annotations

from tests.fidelity.corpus.placing import anything
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_ON_HOST = ("host", "host", "number")
_LINE = ("1x8", "1x8", "1x1")


def _bounds(draw: Draw, extent: int) -> tuple[int, int]:
    """Return a start and an end within a dim, on the tile where that is possible."""
    on_tile = extent >= 64 and draw.chance(50)
    start = draw.one(range(0, extent, 32)) if on_tile else draw.between(0, extent - 1)
    end = extent if draw.chance(40) else draw.between(start + 1, extent)
    return (0, extent) if draw.chance(35) else (start, end)


@generates("slice", cases=130, meshes=_LINE)
def _slice(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5)
    pairs = [_bounds(draw, extent) for extent in shape]
    starts, ends = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    at = draw.between(0, len(shape) - 1)
    if draw.chance(20):
        ends[at] = draw.one((-1, shape[at] + 1, shape[at] + 40, 0, starts[at], -shape[at] - 1))
    elif draw.chance(8):
        starts[at] = draw.one((-1, shape[at], -shape[at] - 1))
    elif draw.chance(4):
        starts.pop()
    steps = [draw.one((1, 1, 2, 3)) for _ in shape] if draw.chance(25) else []
    if steps and draw.chance(10) and ends[at] - starts[at] > 2:
        steps[at] = -1
    words = draw.one(
        (("", "", ""), ("", "", ""), ("starts=", "ends=", "steps="), ("slice_start=", "slice_end=", "slice_step="))
    )
    given = [part for part in (starts, ends, steps) if part]
    form = ", ".join(f"{word}{part}" for word, part in zip(words, given, strict=False))
    return f"ttnn.{name}({anything(draw, shape, faults=_ON_HOST)}, {form}{draw.options((10, 'memory_config=L1'))})"


@generates("Tensor.__getitem__", cases=60, meshes=_LINE)
def _getitem(draw: Draw, mesh: str, name: str) -> str:
    del mesh, name
    shape = draw.shape(1, 4)
    items = [_item(draw, extent) for extent in shape]
    if draw.chance(25):
        cut = draw.between(0, len(items))
        items = [*items[:cut], "...", *items[cut + draw.between(0, 1) :]]
    if draw.chance(5):
        items += [":", ":"]
    # An end beyond a host tensor reads whatever lies behind it.
    faults = () if any("31:" in item or "+" in item for item in items) else ("host",)
    return f"{anything(draw, shape, faults=faults)}[{', '.join(items)}]"


def _item(draw: Draw, extent: int) -> str:
    start, end = _bounds(draw, extent)
    odd = draw.one(
        (f"{extent}", f"{-extent - 1}", f":{extent + 1}", f":{extent + 40}", f"{end}:{start}", f"::{2}", "::-1", "None")
    )
    plain = draw.one(
        (
            ":",
            ":",
            f"{start}:{end}",
            f"{start}:",
            f":{end}",
            f"{start}",
            f"-{extent - start}",
            ":-1",
            f"{start}:{end}:2",
        )
    )
    return odd if draw.chance(6) else plain


@generates("pad", cases=110, meshes=_LINE)
def _pad(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5)
    row_major = draw.chance(35)
    pairs = [(draw.one((0, 0, 0, 1, 2)) if row_major else 0, draw.one((0, 0, 1, 5, 30, 32))) for _ in shape]
    fault = draw.one(("front", "negative", "long", "short", "value", "triple")) if draw.chance(20) else ""
    at = draw.between(0, len(shape) - 1)
    if fault == "front":
        pairs[at] = (draw.one((1, 32)), 0)
    elif fault == "negative":
        pairs[at] = (0, -1)
    elif fault == "long":
        pairs.insert(0, (0, 0))
    elif fault == "short" or draw.chance(5):
        pairs.pop(0)
    form = str(pairs).replace("), (", "], [") if draw.chance(20) else str(pairs)
    form = form.replace("[(", "[[").replace(")]", "]]") if "], [" in form else form
    value = draw.one((", value=0", ", 0.0", ", value=1.5")) if fault != "value" else ""
    if draw.chance(25 if len(shape) == 4 else 5) and len(pairs) == len(shape) < 5:
        ends = [low + extent + high for (low, high), extent in zip(pairs, shape, strict=True)]
        form = f"{ends}, {[low for low, _ in pairs]}"
    options = draw.options((8 if len(shape) < 5 else 0, "memory_config=L1"), (10, "use_multicore=True"))
    # The real library forgets the shape of what it pads on the host in rank 4.
    faults = ("number",) if len(shape) == 4 else ("host", "number")
    without = ("B4",) if len(shape) > 4 or row_major else ()
    tensor = anything(draw, shape, 90 if row_major else 0, without=without, faults=faults)
    return f"ttnn.{name}({tensor}, {form}{value}{options})"
