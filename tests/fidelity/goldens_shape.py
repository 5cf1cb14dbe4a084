"""Draw calls of the ops that make tensors, rearrange them, and change how they are held."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from tests.fidelity.goldens_case import Call, Draw, Input, Made, Mesh, named

__all__ = ["BUILDERS"]

Builder = Callable[[Draw], Call]
_TYPES = ("float32", "bfloat16", "int32", "uint32")


def _any(draw: Draw, shape: tuple[int, ...], *, layout: str | None = None, types: tuple[str, ...] = _TYPES) -> Input:
    dtype = draw.choice(*types)
    place = layout or draw.choice("TILE", "ROW_MAJOR")
    if "int" in dtype:
        return draw.integers(shape, 0, 60000, dtype, layout=place)
    return draw.floats(shape, dtype, layout=place, special=draw.chance(0.2))


def _factor(draw: Draw, volume: int) -> tuple[int, ...]:
    """Return a shape of a volume."""
    shape: list[int] = []
    while volume > 1 and len(shape) < 4:
        divisors = [size for size in range(1, volume + 1) if volume % size == 0]
        shape.append(draw.choice(*divisors))
        volume //= shape[-1]
    return (*shape, volume)


def _reshape(draw: Draw) -> Call:
    given = _any(draw, draw.shape(1, 4, most=24))
    shape = list(_factor(draw, given.parts[0].numel()))
    if draw.chance(0.3):
        shape[draw.integer(0, len(shape) - 1)] = -1
    return Call(args=(given, shape))


def _unsqueeze(draw: Draw) -> Call:
    given = _any(draw, draw.shape(1, 4))
    return Call(args=(given, draw.integer(-given.parts[0].dim() - 1, given.parts[0].dim())))


def _squeeze(draw: Draw) -> Call:
    shape = tuple(1 if draw.chance(0.4) else extent for extent in draw.shape(2, 5))
    given = _any(draw, shape)
    return Call(args=(given, draw.choice(draw.integer(-len(shape), len(shape) - 1), [0, -1], None)))


def _unsqueeze_to_4d(draw: Draw) -> Call:
    return Call(args=(_any(draw, draw.shape(1, 4)),))


def _permute(draw: Draw) -> Call:
    given = _any(draw, draw.shape(2, 5))
    dims = list(range(given.parts[0].dim()))
    draw.random.shuffle(dims)
    return Call(args=(given, dims))


def _transpose(draw: Draw) -> Call:
    given = _any(draw, draw.shape(2, 4))
    rank = given.parts[0].dim()
    return Call(args=(given, draw.integer(-rank, rank - 1), draw.integer(-rank, rank - 1)))


def _repeat(draw: Draw) -> Call:
    given = _any(draw, draw.shape(2, 4, most=20))
    rank = given.parts[0].dim() + draw.choice(0, 0, 1)
    return Call(args=(given, [draw.integer(1, 3) for _ in range(min(rank, 4))]))


def _repeat_interleave(draw: Draw) -> Call:
    given = _any(draw, draw.shape(2, 4, most=20))
    return Call(args=(given, draw.integer(1, 4)), kwargs={"dim": draw.integer(0, given.parts[0].dim() - 1)})


def _concat(draw: Draw) -> Call:
    shape, dtype, layout = draw.shape(2, 4), draw.choice("float32", "bfloat16"), draw.choice("TILE", "ROW_MAJOR")
    dim = draw.integer(-len(shape), len(shape) - 1)
    pieces = []
    for _ in range(draw.integer(1, 4)):
        extents = list(shape)
        extents[dim] = draw.integer(1, 40)
        pieces.append(draw.floats(extents, dtype, layout=layout))
    return Call(args=(pieces, dim))


def _split(draw: Draw) -> Call:
    given = _any(draw, draw.shape(2, 4, least=2))
    dim = draw.integer(0, given.parts[0].dim() - 1)
    extent = given.parts[0].shape[dim]
    first = draw.integer(1, extent)
    sizes = draw.choice(first, [first, extent - first] if first < extent else [extent])
    return Call(args=(given, sizes, dim))


def _chunk(draw: Draw) -> Call:
    given = _any(draw, draw.shape(2, 4))
    return Call(args=(given, draw.integer(1, 5), draw.integer(0, given.parts[0].dim() - 1)))


def _slice(draw: Draw) -> Call:
    shape = draw.shape(1, 4)
    given = _any(draw, shape)
    starts = [draw.integer(0, extent - 1) for extent in shape]
    ends = [draw.integer(start + 1, extent) for start, extent in zip(starts, shape, strict=True)]
    steps = [draw.choice(1, 1, 2, 3) for _ in shape]
    return Call(args=(given, starts, ends, steps) if draw.chance() else (given, starts, ends))


def _pad(draw: Draw) -> Call:
    layout = draw.choice("TILE", "ROW_MAJOR")
    given = _any(draw, draw.shape(2, 4), layout=layout, types=("float32", "bfloat16"))
    rank = given.parts[0].dim()
    low = 0 if layout == "TILE" else 5
    pairs = [(draw.integer(0, low), draw.integer(0, 9)) for _ in range(draw.integer(1, rank))]
    value = draw.choice(0.0, 1.5, -4.0)
    return Call(args=(given, pairs, value)) if draw.chance() else Call(args=(given, pairs), kwargs={"value": value})


def _same(draw: Draw) -> Call:
    return Call(args=(_any(draw, draw.shape(1, 4)),))


def _clone(draw: Draw) -> Call:
    if draw.chance():
        return _same(draw)
    dtype = draw.choice("float32", "bfloat16")
    given = _any(draw, draw.shape(1, 4), layout="TILE", types=("float32", "bfloat16"))
    return Call(args=(given,), kwargs={"dtype": named(dtype)})


def _copy(draw: Draw) -> Call:
    source = _any(draw, draw.shape(2, 4), layout="TILE", types=("float32", "bfloat16"))
    target = draw.floats(source.parts[0].shape, draw.choice("float32", "bfloat16"), shared=False)
    return Call(args=(source, target))


def _tilize(draw: Draw) -> Call:
    given = _any(draw, (draw.integer(1, 3), 32 * draw.integer(1, 2), 32 * draw.integer(1, 2)), layout="ROW_MAJOR")
    return Call(args=(given,))


def _rows(draw: Draw) -> Call:
    return Call(args=(_any(draw, draw.shape(1, 4), layout="ROW_MAJOR"),))


def _untilize(draw: Draw) -> Call:
    return Call(args=(_any(draw, draw.shape(1, 4), layout="TILE"),))


def _to_layout(draw: Draw) -> Call:
    given = _any(draw, draw.shape(1, 4), types=("float32", "bfloat16", "int32"))
    return Call(args=(given, named(draw.choice("TILE_LAYOUT", "ROW_MAJOR_LAYOUT"))))


def _to_memory_config(draw: Draw) -> Call:
    return Call(args=(_any(draw, draw.shape(1, 4)), named(draw.choice("L1_MEMORY_CONFIG", "DRAM_MEMORY_CONFIG"))))


def _sharded(library: ModuleType) -> Any:
    spec = library.ShardSpec(
        library.num_cores_to_corerangeset(4, library.CoreCoord(8, 7), True),
        [32, 64],
        library.ShardOrientation.ROW_MAJOR,
    )
    return library.MemoryConfig(library.TensorMemoryLayout.HEIGHT_SHARDED, library.BufferType.L1, spec)


def _shard(draw: Draw) -> Call:
    return Call(args=(draw.floats((1, 1, 128, 64)), Made(_sharded)))


def _unshard(draw: Draw) -> Call:
    return Call(args=(draw.floats((1, 1, 128, 64)),))


def _to_torch(draw: Draw) -> Call:
    given = draw.floats(draw.shape(0, 4), shared=True)
    return Call(args=(Input(given.parts, given.dtype, given.layout, on_host=True),))


def _from_torch(draw: Draw) -> Call:
    numbers = draw.numbers(draw.shape(1, 4), scale=4.0)
    dtype = draw.choice("float32", "bfloat16", "bfloat8_b", "bfloat4_b", "int32")
    return Call(args=(numbers,), kwargs={"dtype": named(dtype), "layout": named("TILE_LAYOUT")}, text=dtype)


def _as_tensor(draw: Draw) -> Call:
    whole = _from_torch(draw)
    return Call(args=whole.args, kwargs=dict(whole.kwargs), text=whole.text)


def _to_device(draw: Draw) -> Call:
    return Call(args=(*_to_torch(draw).args, Mesh()))


def _moreh_full(draw: Draw) -> Call:
    whole = _filled(draw)
    return Call(args=(draw.shape(2, 4), whole.args[1], Mesh()), kwargs=whole.kwargs, text=whole.text)


def _typecast(draw: Draw) -> Call:
    source = draw.choice("float32", "bfloat16", "bfloat8_b", "int32", "uint32", "uint16", "int8")
    to = draw.choice("float32", "bfloat16", "int32", "uint32", "uint16", "uint8", "int8", "bfloat8_b", "bfloat4_b")
    shape = draw.shape(1, 4)
    if "int" in source:
        low, high = {"int32": (-70000, 70000), "int8": (-128, 127)}.get(source, (0, 65535))
        given = draw.integers(shape, low, high, source)
    else:
        given = draw.floats(shape, source, scale=draw.choice(1.0, 100.0, 40000.0))
    golden = {"_ttnn_input_dtype": named(source)}
    return Call(args=(given, named(to)), golden_kwargs=golden, text=f"{source} to {to}")


def _to_dtype(draw: Draw) -> Call:
    given = draw.floats(draw.shape(1, 4), "float32", scale=100.0, shared=True)
    host = Input(given.parts, given.dtype, given.layout, on_host=True)
    dtype = draw.choice("bfloat16", "int32", "float32", "bfloat8_b", "bfloat4_b")
    return Call(args=(host, named(dtype)), text=dtype)


def _arange(draw: Draw) -> Call:
    start, count, step = draw.integer(-50, 50), draw.integer(1, 100), draw.choice(1, 2, 3)
    dtype = draw.choice("bfloat16", "float32", "int32")
    return Call(args=(start, start + count, step), kwargs={"dtype": named(dtype)}, text=dtype)


def _filled(draw: Draw) -> Call:
    dtype = draw.choice("bfloat16", "float32", "int32")
    kwargs = {"dtype": named(dtype), "layout": named("TILE_LAYOUT")}
    return Call(args=(draw.shape(1, 4), draw.choice(0, 3, -7)), kwargs=kwargs, text=dtype)


def _default_fill(draw: Draw) -> Call:
    return Call(args=(draw.shape(1, 4), draw.choice(0.0, 1.1, -7.0))) if draw.chance() else _filled(draw)


def _uniform(draw: Draw) -> Call:
    whole = _filled(draw)
    return Call(args=whole.args[:1], kwargs=whole.kwargs, text=whole.text)


def _like(draw: Draw) -> Call:
    given = _any(draw, draw.shape(1, 4), types=("float32", "bfloat16"))
    return Call(args=(given,), kwargs={"dtype": named("float32")} if draw.chance(0.3) else {})


def _full_like(draw: Draw) -> Call:
    return Call(args=(_any(draw, draw.shape(1, 4), types=("float32", "bfloat16")), draw.choice(0.0, 2.5, -1.0)))


BUILDERS: dict[str, Builder] = {
    "arange": _arange,
    "as_tensor": _as_tensor,
    "chunk": _chunk,
    "clone": _clone,
    "concat": _concat,
    "copy": _copy,
    "from_device": _same,
    "from_torch": _from_torch,
    "full": _default_fill,
    "full_like": _full_like,
    "interleaved_to_sharded": _shard,
    "moreh_full": _moreh_full,
    "move": _same,
    "ones": _uniform,
    "ones_like": _like,
    "pad": _pad,
    "permute": _permute,
    "reallocate": _same,
    "repeat": _repeat,
    "repeat_interleave": _repeat_interleave,
    "reshape": _reshape,
    "sharded_to_interleaved": _unshard,
    "slice": _slice,
    "split": _split,
    "squeeze": _squeeze,
    "tilize": _tilize,
    "tilize_with_zero_padding": _rows,
    "to_device": _to_device,
    "to_dtype": _to_dtype,
    "to_layout": _to_layout,
    "to_memory_config": _to_memory_config,
    "to_torch": _to_torch,
    "transpose": _transpose,
    "typecast": _typecast,
    "unsqueeze": _unsqueeze,
    "unsqueeze_to_4D": _unsqueeze_to_4d,
    "untilize": _untilize,
    "zeros": _uniform,
    "zeros_like": _like,
}
