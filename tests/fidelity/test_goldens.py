"""The emulator's numbers meet ttnn's golden functions, and a wrong formula in any op is seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import ttemu
from tests.fidelity import goldens, goldens_mesh
from tests.fidelity.goldens_absent import ABSENT, BORROWED, NOT_ATTACHED, offered
from tests.fidelity.goldens_case import Call, Draw, Input, compare, named
from tests.fidelity.libraries import Libraries
from tests.fidelity.tally import Row

OPS = sorted({*goldens.BUILDERS, *goldens_mesh.RUNNERS})
UNATTACHED = sorted(op for op, reason in ABSENT.items() if reason == NOT_ATTACHED)


@pytest.fixture
def pair() -> Iterator[Any]:
    """Return a mesh of two devices of the emulator."""
    with goldens.opened(ttemu, (1, 2)) as mesh:
        yield mesh


def against(golden: Callable[..., Any]) -> Libraries:
    """Return the emulator beside a library whose one golden function is ``golden``."""
    real = SimpleNamespace(get_golden_function=lambda _: golden, silu=None, topk=None, bfloat16=torch.bfloat16)
    return Libraries(real=real, emulated=ttemu)  # type: ignore[arg-type]  # all that is asked of it


def run(libraries: Libraries, op: str, cases: int = 20) -> Row:
    """Return the row of one op."""
    if op in goldens_mesh.RUNNERS:
        return goldens.run_mesh_op(libraries, op, cases, seed=11)
    with goldens.opened(libraries.emulated, (1, 2)) as mesh:
        return goldens.run_op(libraries, mesh, op, cases, seed=11)


def test_every_op_has_a_golden_function_or_a_reason() -> None:
    assert offered(ttemu) == set(OPS) | set(ABSENT)
    assert not set(OPS) & set(ABSENT)


def test_right_numbers_agree() -> None:
    row = run(against(torch.nn.functional.silu), "silu")

    assert (row.cases, row.agreed, row.differences) == (20, 20, ())


@pytest.mark.parametrize(
    ("golden", "difference"),
    [
        (lambda x: torch.nn.functional.silu(x) * 1.00001, " differ, at "),
        (lambda x: torch.nn.functional.silu(x)[..., None], "has shape"),
        (lambda x: [torch.nn.functional.silu(x)] * 2, "1 tensors where golden has 2"),
        (lambda x: 1 // 0, "raises ZeroDivisionError"),
    ],
)
def test_wrong_numbers_differ(golden: Callable[..., Any], difference: str) -> None:
    row = run(against(golden), "silu")

    assert row.differing == 20 - row.agreed > 15
    assert any(difference in text for text in row.differences)


def test_an_excuse_is_counted_where_results_differ(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(draw: Draw) -> Call:
        return Call(args=(draw.floats((4, 4), "float32"),), excuse="known")

    monkeypatch.setitem(goldens.BUILDERS, "silu", build)

    row = goldens.run_op(against(torch.relu), pair, "silu", 3, seed=0)

    assert (row.agreed, row.exceptions) == (0, (("known", 3),))


def test_refusals_are_counted_and_must_not_be_the_rule(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(draw: Draw) -> Call:
        shares.append(len(shares))
        return Call(args=(draw.integers((2, 2), 0, 9) if shares[-1] < limit else draw.floats((2, 2)),))

    monkeypatch.setitem(goldens.BUILDERS, "silu", build)
    shares: list[int] = []
    limit = 2
    few = goldens.run_op(against(torch.nn.functional.silu), pair, "silu", 4, seed=0)
    shares.clear()
    limit = 3
    most = goldens.run_op(against(torch.nn.functional.silu), pair, "silu", 4, seed=0)

    assert (few.exceptions, few.differences) == (((goldens.REFUSED, 2),), ())
    assert (most.exceptions, most.differences) == (((goldens.REFUSED, 3),), ("silu: 3 of 4 calls are refused",))


def test_each_device_is_looked_at(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (torch.zeros(2, 2), torch.ones(2, 2))
    monkeypatch.setitem(goldens.BUILDERS, "silu", lambda _: Call(args=(Input(parts, "float32"),)))

    row = goldens.run_op(against(torch.zeros_like), pair, "silu", 1, seed=0)

    assert "at 0 0.731058598 for 0" in row.differences[0]


@pytest.mark.parametrize(
    ("found", "dtype", "wanted", "call", "is_close"),
    [
        ([1.0, float("nan")], "float32", [1.0, float("nan")], Call(), True),
        ([0.0], "float32", [-0.0], Call(), True),
        ([float("inf")], "float32", [-float("inf")], Call(tolerance=1.0), False),
        ([1.0], "float32", [float("inf")], Call(relative=1e-6), False),
        ([-float("inf")], "bfloat16", [float("inf")], Call(relative=1e-6), False),
        ([1.0, 1000.0], "float32", [1.0009, 1000.0], Call(tolerance=1e-6), True),
        ([1.0, 1000.0], "float32", [1.002, 1000.0], Call(tolerance=1e-6), False),
        ([1.0, 1000.0], "float32", [1.0009, 1000.0], Call(relative=1e-6), False),
        ([1.0], "bfloat16", [1.0039], Call(), True),
        ([1.0], "bfloat16", [1.004], Call(), False),
        ([1.0], "bfloat16", [1.0039], Call(tolerance=1e-6), True),
        ([1.0], "bfloat16", [1.004], Call(tolerance=1e-6), False),
        ([2.0**-133], "bfloat16", [1.4 * 2.0**-133], Call(tolerance=1e-6), True),
        ([3.0], "int32", [4.0], Call(tolerance=1e-6), False),
    ],
)
def test_closeness_is_as_wide_as_said(
    found: list[float],
    dtype: str,
    wanted: list[float],
    call: Call,
    is_close: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    missed = compare([(torch.tensor(found), dtype)], [torch.tensor(wanted)], call)

    assert (missed is None) == is_close


def test_names_are_found_in_either_library() -> None:
    assert named("UnaryOpType.SILU").make(ttemu) is ttemu.UnaryOpType.SILU  # type: ignore[arg-type]  # a module


@pytest.mark.parametrize("op", OPS)
def test_numbers_meet_the_golden_function(libraries: Libraries, op: str) -> None:
    assert run(libraries, op).differences == ()


@pytest.mark.parametrize("op", UNATTACHED)
def test_what_is_said_to_have_no_golden_function_has_none(libraries: Libraries, op: str) -> None:
    assert goldens.golden_of(libraries, op) is None


@pytest.mark.parametrize("op", UNATTACHED)
def test_what_has_no_golden_function_is_tested_otherwise(op: str) -> None:
    tests = [path.read_text(encoding="utf-8") for path in (Path(__file__).parents[1] / "ttemu").glob("test_*.py")]

    assert any(re.search(rf"\b{op.rsplit('.', 1)[-1]}\b", text) for text in tests)


@pytest.mark.parametrize("op", sorted(BORROWED))
def test_what_borrows_a_golden_function_has_none(libraries: Libraries, op: str) -> None:
    with pytest.raises((AttributeError, RuntimeError)):
        libraries.real.get_golden_function(goldens.find(libraries.real, op))
