"""Put one call to the emulator and to ttnn's own golden function, and compare what comes back per device."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch

__all__ = ["DEVICES", "Call", "Draw", "Input", "Made", "Mesh", "compare", "emulate", "expect", "named"]

DEVICES = 2
"""Each call runs on a mesh of 1x2 whose devices hold different numbers."""
_BFLOAT16_BITS = 8
_SLACK = 1.001  # the bound itself is computed in floating point
_SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 1.5, -2.5, float("inf"), float("-inf"), float("nan"), 2.0**-100, -3.0e38)

Numbers = torch.Tensor


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor of a call: one part per device, or a single part that all of them hold."""

    parts: tuple[Numbers, ...]
    dtype: str
    layout: str = "TILE"
    on_host: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """An argument that each library makes of its own names."""

    make: Callable[[ModuleType], Any]


class Mesh:
    """Stands for the mesh; a golden function gets None in its place."""


def named(path: str) -> Made:
    """Return an argument such as ``bfloat16`` or ``UnaryOpType.RELU``."""

    def find(library: ModuleType) -> Any:
        value: Any = library
        for name in path.split("."):
            value = getattr(value, name)
        return value

    return Made(find)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Arguments of an op and how closely its result must meet the golden one."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    # Where the golden function wants other arguments than the op.
    golden_args: tuple[Any, ...] | None = None
    golden_kwargs: Mapping[str, Any] | None = None
    # Relative to the largest magnitude of the result; with no tolerance at all, numbers must be equal.
    tolerance: float = 0.0
    # Relative to each number.
    relative: float = 0.0
    # Where numbers of known size may cancel.
    absolute: float = 0.0
    adapt: Callable[[Any], Any] | None = None
    # Why a difference is not held against the emulator.
    excuse: str | None = None
    text: str = ""


class Draw:
    """Seeded choices for one call."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(self.random.getrandbits(48))

    def choice(self, *options: Any) -> Any:
        """Return one of the options."""
        return self.random.choice(options)

    def integer(self, low: int, high: int) -> int:
        """Return an integer of ``low``..``high``."""
        return self.random.randint(low, high)

    def chance(self, share: float = 0.5) -> bool:
        """Return True with a probability."""
        return self.random.random() < share

    def shape(self, low: int = 1, high: int = 4, *, least: int = 1, most: int = 40) -> tuple[int, ...]:
        """Return a shape of ``low``..``high`` dims, small ones in front."""
        rank = self.integer(low, high)
        front = [self.integer(1, 3) for _ in range(rank - 2)]
        return (*front, *(self.integer(least, most) for _ in range(min(rank, 2))))

    def numbers(self, shape: Sequence[int], *, scale: float = 1.0, special: bool = False) -> Numbers:
        """Return normally distributed numbers, with infinities, NaNs and the like if asked for."""
        values = torch.randn(tuple(shape), generator=self.generator) * scale
        if special and values.numel():
            flat = values.view(-1)
            for _ in range(max(1, values.numel() // 16)):
                flat[self.integer(0, values.numel() - 1)] = self.choice(*_SPECIAL)
        return values

    def whole(self, shape: Sequence[int], low: int, high: int) -> Numbers:
        """Return integers of ``low``..``high`` as int64."""
        return torch.randint(low, high + 1, tuple(shape), generator=self.generator)

    def floats(
        self,
        shape: Sequence[int],
        dtype: str | None = None,
        *,
        scale: float = 1.0,
        special: bool = False,
        layout: str = "TILE",
        shared: bool | None = None,
    ) -> Input:
        """Return an input of floating numbers, most often different ones on each device."""
        kind = dtype or self.choice("float32", "bfloat16")
        alone = (self.chance(0.25) if shared is None else shared) or not shape
        count = 1 if alone else DEVICES
        parts = tuple(self.numbers(shape, scale=scale, special=special) for _ in range(count))
        return Input(parts, kind, layout)

    def integers(
        self,
        shape: Sequence[int],
        low: int,
        high: int,
        dtype: str = "int32",
        *,
        layout: str = "TILE",
        shared: bool = False,
    ) -> Input:
        """Return an input of integers."""
        count = 1 if shared or not shape else DEVICES
        return Input(tuple(self.whole(shape, low, high) for _ in range(count)), dtype, layout)


def _walk(value: Any, on_input: Callable[[Input], Any], library: ModuleType, mesh: Any = None) -> Any:
    """Replace the inputs and the names within an argument."""
    if isinstance(value, Input):
        return on_input(value)
    if isinstance(value, Mesh):
        return mesh
    if isinstance(value, Made):
        return value.make(library)
    if isinstance(value, (list, tuple)):
        return type(value)(_walk(item, on_input, library, mesh) for item in value)
    return value


def _inputs(call: Call) -> Iterator[Input]:
    def find(value: Any) -> Iterator[Input]:
        if isinstance(value, Input):
            yield value
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from find(item)

    for value in (*call.args, *call.kwargs.values(), *(call.golden_args or ()), *(call.golden_kwargs or {}).values()):
        yield from find(value)


def put(library: ModuleType, mesh: Any, given: Input) -> Any:
    """Lay an input over the mesh, one part per device."""
    dtype, layout = getattr(library, given.dtype), getattr(library.Layout, given.layout)
    if given.on_host:
        return library.from_torch(given.parts[0], dtype=dtype, layout=layout)
    if len(given.parts) == 1:
        return library.from_torch(given.parts[0], dtype=dtype, layout=layout, device=mesh)
    mapper = library.ShardTensorToMesh(mesh, 0)
    return library.from_torch(torch.cat(given.parts), dtype=dtype, layout=layout, device=mesh, mesh_mapper=mapper)


def emulate(library: ModuleType, mesh: Any, function: Callable[..., Any], call: Call) -> tuple[list[Any], list[Any]]:
    """Return the results of a call per device, and the torch tensors that its inputs hold, by input."""
    held = {id(given): put(library, mesh, given) for given in _inputs(call)}
    # Read first: an op may write over its input.
    seen = [{key: _values(library, tensor, device) for key, tensor in held.items()} for device in range(DEVICES)]

    def find(given: Input) -> Any:
        return held[id(given)]

    args = [_walk(value, find, library, mesh) for value in call.args]
    kwargs = {name: _walk(value, find, library, mesh) for name, value in call.kwargs.items()}
    result = function(*args, **kwargs)
    return [_read(library, result, device) for device in range(DEVICES)], seen


def _values(library: ModuleType, tensor: Any, device: int) -> Numbers:
    """Return what the golden function is given: floating numbers as float32, whatever the tensor's format."""
    numbers: Numbers = _read(library, tensor, device)[0][0]
    return numbers.float() if numbers.is_floating_point() else numbers


def _read(library: ModuleType, result: Any, device: int) -> list[tuple[Numbers, str]]:
    """Return the tensors of a result on one device with their dtypes."""
    if isinstance(result, (list, tuple)):
        return [pair for item in result for pair in _read(library, item, device)]
    if isinstance(result, torch.Tensor):
        return [(result, str(result.dtype))]
    parts = library.get_device_tensors(result)
    part = parts[device] if len(parts) > 1 else parts[0]
    return [(library.to_torch(part), str(part.dtype).split(".")[-1].lower())]


def expect(library: ModuleType, golden: Callable[..., Any], call: Call, seen: dict[int, Numbers]) -> list[Numbers]:
    """Return what the golden function makes of copies of the same inputs."""
    given = call.args if call.golden_args is None else call.golden_args
    named_ones = call.kwargs if call.golden_kwargs is None else call.golden_kwargs
    args = [_walk(value, lambda item: seen[id(item)].clone(), library) for value in given]
    kwargs = {name: _walk(value, lambda item: seen[id(item)].clone(), library) for name, value in named_ones.items()}
    result = golden(*args, **kwargs)
    if call.adapt is not None:
        result = call.adapt(result)
    return list(result) if isinstance(result, (list, tuple)) else [result]


def compare(results: list[tuple[Numbers, str]], golden: list[Numbers], call: Call) -> str | None:
    """Return how the results of one device miss the golden ones, or None."""
    if len(results) != len(golden):
        return f"{len(results)} tensors where golden has {len(golden)}"
    for index, ((found, dtype), wanted) in enumerate(zip(results, golden, strict=True)):
        if found.shape != wanted.shape:
            return f"tensor {index} has shape {list(found.shape)}, golden {list(wanted.shape)}"
        missed = _missed(found, dtype, wanted, call)
        if missed is not None:
            return f"tensor {index}: {missed}"
    return None


def _missed(found: Numbers, dtype: str, wanted: Numbers, call: Call) -> str | None:
    exact, got = wanted.double(), found.double()
    # Rounded as it is written: the largest numbers become infinite.
    rounded = wanted.to(torch.bfloat16).double() if dtype == "bfloat16" and wanted.is_floating_point() else exact
    equal = (got == rounded) | (got.isnan() & exact.isnan())
    if call.tolerance or call.relative or call.absolute:
        # The bound of an infinite number is infinite, and would allow anything.
        equal |= exact.isfinite() & ((got - exact).abs() <= _bound(exact, dtype, call))
    if bool(equal.all()):
        return None
    place = int((~equal).flatten().nonzero()[0])
    pair = [float(numbers.flatten()[place]) for numbers in (got, rounded)]
    return f"{int((~equal).sum())} of {equal.numel()} differ, at {place} {pair[0]:.9g} for {pair[1]:.9g}"


def _bound(exact: Numbers, dtype: str, call: Call) -> Numbers:
    """Allow the arithmetic its share of the largest magnitude and of each number, and bfloat16 half a step."""
    finite = exact[exact.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    arithmetic = call.tolerance * scale + call.relative * exact.abs() + call.absolute
    if dtype == "bfloat16":
        step = torch.ldexp(torch.ones_like(exact), _exponents(exact + arithmetic) - _BFLOAT16_BITS)
        arithmetic = arithmetic + step / 2
    return arithmetic * _SLACK


def _exponents(numbers: Numbers) -> Numbers:
    """Return binary exponents; all subnormal numbers have that of the smallest normal one."""
    return torch.frexp(numbers).exponent.clamp(min=-125)
