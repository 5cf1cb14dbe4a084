"""Host conversions give the bits of the real library, and the comparison sees a single wrong one."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

import ttemu
from tests.fidelity import conversions_casts, conversions_meshes, conversions_sources
from tests.fidelity.conversions_compare import RANGES, UNDEFINED, compare, refuse
from tests.fidelity.conversions_values import KINDS, SOURCES, inside, sample
from tests.fidelity.libraries import Libraries
from tests.fidelity.tally import Row, Tally
from ttemu import convert, formats
from ttemu.dtypes import BLOCK_FLOATS, DataType


class Altered(ModuleType):
    """The emulator with one function replaced."""

    def __init__(self, **functions: Callable[..., Any]) -> None:
        super().__init__("altered")
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(ttemu, name)


def differing(rows: list[Row]) -> list[str]:
    """Return the differences of all rows."""
    return [f"{row.name}: {text}" for row in rows for text in row.differences]


def test_a_library_agrees_with_itself() -> None:
    twins = Libraries(real=Altered(), emulated=ttemu)

    rows = conversions_sources.run(twins, 0, seed=3)

    assert differing(rows) == []
    assert {row.name for row in rows if row.exceptions} == {
        f"from_torch: {source} -> {dtype}"
        for source in ("float32", "bfloat16", "float16", "float64")
        for dtype in RANGES
    }


def test_one_wrong_bit_is_seen() -> None:
    def flipped(tensor: ttemu.Tensor) -> torch.Tensor:
        result = ttemu.to_torch(tensor)
        result.view(-1).view(torch.int32)[-1] ^= 1
        return result

    tally = Tally("x")
    numbers = torch.ones(4, 4)

    compare(
        Libraries(real=ttemu, emulated=Altered(to_torch=flipped)),
        tally,
        "ones",
        16,
        lambda library: library.to_torch(library.from_torch(numbers)),
    )

    assert tally.differences == [
        "ones: tensor 0: 1 of 16 differ, at 15 ttnn 1.0 (0x3f800000), ttemu 1.0000001192092896 (0x3f800001)"
    ]


@pytest.mark.parametrize(
    ("real", "emulated", "difference"),
    [
        (torch.zeros(2), torch.zeros(3), "gives torch.float32 [2], ttemu torch.float32 [3]"),
        (torch.zeros(2), torch.zeros(2).double(), "gives torch.float32 [2], ttemu torch.float64 [2]"),
        (torch.zeros(2), -torch.zeros(2), "2 of 2 differ"),
        ([torch.zeros(2), "TILE"], [torch.zeros(2), "ROW_MAJOR"], "gives TILE, ttemu ROW_MAJOR"),
        ([torch.zeros(2)], [], "gives 1 tensors, ttemu 0"),
        (RuntimeError("no"), torch.zeros(2), "raises RuntimeError (no), ttemu gives a result"),
        (RuntimeError("no"), TypeError("no"), "raises RuntimeError (no), ttemu raises TypeError (no)"),
    ],
)
def test_what_is_not_the_same_is_said(real: object, emulated: object, difference: str) -> None:
    outcomes = {"real": real, "emulated": emulated}
    libraries = Libraries(real=ModuleType("real"), emulated=ModuleType("emulated"))
    tally = Tally("x")

    def call(library: ModuleType) -> object:
        outcome = outcomes[library.__name__]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    compare(libraries, tally, "case", 2, call)

    assert len(tally.differences) == 1
    assert difference in tally.differences[0]


def test_only_a_refusal_excuses_what_is_not_defined() -> None:
    libraries = Libraries(real=Altered(), emulated=ttemu)
    refused, given = Tally("refused"), Tally("given")

    refuse(libraries, refused, "300", lambda library: library.from_torch(torch.tensor([300.0]), dtype=ttemu.uint8))
    refuse(libraries, given, "30", lambda library: library.from_torch(torch.tensor([30.0]), dtype=ttemu.uint8))

    assert refused.exceptions == {UNDEFINED: 1}
    assert given.differences == ["30: ttemu gives a result where ttnn's is not defined"]


@pytest.mark.parametrize("source", SOURCES)
def test_samples_have_their_dtype_and_number(source: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)

    for kind in KINDS:
        numbers = sample(source, kind, 100, generator)

        assert (numbers.dtype, numbers.shape) == (source, (100,))


@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(("low", "high"), [(0, 2**8 - 1), (0, 2**16 - 1), (0, 2**32 - 1), (-(2**31), 2**31 - 1)])
def test_samples_of_integers_stay_inside(source: torch.dtype, low: int, high: int) -> None:
    numbers = inside(source, low, high, 1000, torch.Generator().manual_seed(0)).double()

    reach = torch.finfo(source).max
    assert low <= numbers.trunc().min() <= max(low, -reach) * 0.9
    assert min(high, reach) * 0.9 < numbers.max() <= high + 0.5


def test_every_bfloat16_pattern_is_drawn() -> None:
    numbers = sample(torch.bfloat16, "bfloat16 patterns", 65536, torch.Generator().manual_seed(0))

    assert len(numbers.view(torch.int16).unique()) == 65536


def test_host_conversions_give_the_real_bits(libraries: Libraries) -> None:
    rows = [
        *conversions_sources.run(libraries, 40_000, seed=5),
        *conversions_casts.run(libraries, 0, seed=5),
        *conversions_meshes.run(libraries, seed=5),
    ]

    assert differing(rows) == []
    assert sum(row.elements for row in rows) > 50_000_000


def _away_from_zero(values: torch.Tensor, dtype: DataType) -> torch.Tensor:
    # A little more, so that ties go up.
    return formats.store(values.float() * (1 + 2.0**-22) if dtype in BLOCK_FLOATS else values, dtype)


def _whole_first(tensor: torch.Tensor, dtype: DataType) -> torch.Tensor:
    return formats.load(formats.store(tensor, dtype)) if dtype in BLOCK_FLOATS else tensor


@pytest.mark.parametrize(
    ("place", "name", "broken", "part", "seen"),
    [
        (convert, "store", _away_from_zero, conversions_sources, "from_torch: float32 -> bfloat8_b: ties"),
        (convert, "round_bfloat16", lambda values: values.to(torch.bfloat16), conversions_sources, "0x7fc0"),
        (convert, "_prepared", lambda tensor, _: tensor, conversions_sources, "float64 -> bfloat16: bits"),
        (formats, "round_fp8", lambda values: values.to(torch.float8_e4m3fn).float(), conversions_sources, "fp8_e4m3"),
        (formats, "_quantise_bits", lambda blocks, _: torch.zeros_like(blocks), conversions_casts, "bfloat2_b: huge"),
        (convert, "_prepared", _whole_first, conversions_meshes, "composers on host: bfloat8_b: [8, 64] over 1x8"),
    ],
    ids=["ties", "nan", "torch's rounding", "fp8", "ends of the range", "shards"],
)
def test_a_broken_conversion_is_seen(
    libraries: Libraries,
    monkeypatch: pytest.MonkeyPatch,
    place: ModuleType,
    name: str,
    broken: Callable[..., torch.Tensor],
    part: ModuleType,
    seen: str,
) -> None:
    monkeypatch.setattr(place, name, broken)

    rows = part.run(libraries, seed=7) if part is conversions_meshes else part.run(libraries, 100_000, seed=7)

    assert any(seen in text for text in differing(rows))
