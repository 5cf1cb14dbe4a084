"""Generate calls of ops that make tensors of a shape."""

from __future__ import annotations

from tests.fidelity.corpus.operands import PLACES, TILED, operand, sharding
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import FLOATS, INTEGERS, Draw

__all__: list[str] = []

_DTYPES = (*FLOATS, *INTEGERS, "U8")
_WRONG = ("dtype=1.5", "layout='TILE'", "foo=1", "memory_config=2", "device='cpu'")
_MESHES = ("1x8", "1x8", "1x1", "2x4", "4x8")


def _shape(draw: Draw) -> list[int]:
    return draw.shape(1, 5) if draw.chance(90) else draw.one(([], [1], [0, 64], [2, 0], [1, 1, 1, 1, 2, 40]))


def _form(draw: Draw, shape: list[int]) -> str:
    """Return a shape as a list, a tuple or a ttnn.Shape."""
    return draw.one((str(shape), str(tuple(shape)), f"ttnn.Shape({shape})"))


def _layout(draw: Draw, dtype: str) -> str:
    return "TL" if dtype in TILED else draw.layout(40)


@generates("zeros", "ones", "full", "empty", cases=30, meshes=_MESHES)
def _make(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, dtype = _shape(draw), draw.one(_DTYPES)
    value = f", {draw.one(('3', '1.5', '0', '-1' if dtype[0] != 'U' else '2'))}" if name == "full" else ""
    if draw.chance(15):
        return f"ttnn.{name}({draw.one((_form(draw, shape), '2.5', 'None'))}{value}, {draw.one(_WRONG)})"
    place = sharding(draw, shape) if draw.chance(30) and 0 not in shape else draw.one(PLACES)
    if name == "empty":
        layout = "TL" if place not in PLACES else _layout(draw, dtype)
        device = draw.one(("m", "m", "m", "m", "None"))
        return f"ttnn.{name}({_form(draw, shape)}, {dtype}, {layout}, {device}, {place})"
    layout = "TL" if place not in PLACES else _layout(draw, dtype)
    options = draw.options((70, f"dtype={dtype}"), (70, f"layout={layout}"))
    place = place if "layout=TL" in options else draw.one(PLACES)
    if draw.chance(75):
        options += f", device=m{draw.options((30, f'memory_config={place}'))}"
    return f"ttnn.{name}({_form(draw, shape)}{value}{options})"


def _hosted(name: str) -> int:
    """Return how often in a hundred a tensor lies on host: the real library crashes on an empty one like it."""
    return 4 if name == "empty_like" else 15


@generates("zeros_like", "ones_like", "full_like", "empty_like", cases=25)
def _make_like(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, dtype = _shape(draw), draw.one(_DTYPES)
    value = f", {draw.one(('3', '1.5', '0'))}" if name == "full_like" else ""
    tensor = draw.tensor(
        shape, dtype=dtype, layout=_layout(draw, dtype), place=draw.one(("", "", "L1")), host=_hosted(name)
    )
    if draw.chance(15):
        return f"ttnn.{name}({draw.one((tensor, str(shape), 'torch.ones(2)'))}{value}, {draw.one(_WRONG)})"
    other = draw.one(_DTYPES)
    options = draw.options(
        (30, f"dtype={other}"),
        (20, f"layout={_layout(draw, other)}"),
        (15, "device=m"),
        (20, f"memory_config={draw.one(PLACES)}"),
    )
    return f"ttnn.{name}({tensor}{value}{options})"


@generates("moreh_full", cases=25)
def _moreh_full(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, dtype = draw.shape(1, 4), draw.one(_DTYPES)
    if draw.chance(20):
        device = draw.one(("None", "m, foo=1", "m, layout=TL, dtype=TL"))
        return f"ttnn.{name}({shape}, {draw.one(('1.0', '2'))}, {device})"
    options = draw.options(
        (60, f"dtype={dtype}"), (60, f"layout={_layout(draw, dtype)}"), (25, f"memory_config={draw.one(PLACES)}")
    )
    return f"ttnn.{name}({shape}, {draw.one(('1.0', '2', '0'))}, m{options})"


@generates("arange", cases=30)
def _arange(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    start, length, step = draw.between(0, 5), draw.between(1, 70), draw.one((1, 1, 2, 3))
    if draw.chance(20):
        return f"ttnn.{name}({draw.one(('', '2.5', '0, 4, 0', '4, 0', '0, 4, 1, B16', 'None', '0, 0'))})"
    bounds = draw.one(
        (f"{length}", f"{start}, {start + length}", f"{start}, {start + length}, {step}", f"end={length}")
    )
    dtype = draw.one(("B16", "F32", "I32", "U32", "U16"))
    options = draw.options((50, f"dtype={dtype}"), (70, "device=m"), (25, f"layout={draw.layout(40)}"))
    return f"ttnn.{name}({bounds}{options})"


@generates("allocate_tensor_on_device", cases=40, meshes=_MESHES)
def _allocate(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, dtype = _shape(draw), draw.one(_DTYPES)
    if draw.chance(20):
        wrong = draw.one((f"{shape}, B16, TL, m", f"ttnn.Shape({shape}), B16, TL", f"ttnn.Shape({shape}), TL, B16, m"))
        return f"ttnn.{name}({wrong})"
    fits = draw.chance(80)
    place = sharding(draw, shape, fits=fits) if draw.chance(40) and 0 not in shape else draw.one(PLACES)
    layout = "TL" if place not in PLACES else _layout(draw, dtype)
    return f"ttnn.{name}(ttnn.Shape({shape}), {dtype}, {layout}, m{draw.options((70, place))})"


@generates("copy_host_to_device_tensor", cases=30)
def _copy(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, dtype = draw.shape(1, 4), draw.dtype()
    layout = _layout(draw, dtype)
    host = draw.tensor(shape, dtype=dtype, layout=layout, host=95)
    device = draw.tensor(shape, dtype=dtype, layout=layout)
    if draw.chance(30):
        other = draw.one(_DTYPES)
        device = draw.one(
            (
                operand(draw, [*shape, 2], dtype),
                operand(draw, [2, *shape], dtype),
                draw.tensor(shape, dtype=other, layout=_layout(draw, other)),
                f"dead({device})" if draw.chance(25) else draw.tensor([1, *shape], dtype=dtype),
            )
        )
    return f"ttnn.{name}({host}, {device})"
