"""Reports of pytest turned into one outcome."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshsweep.control.stacks import Crash, Hang
from meshsweep.results.outcome import INFRA, Phases, plain


def phase(when: str, outcome: str = "passed", longrepr: Any = None, **more: Any) -> pytest.TestReport:
    """Return a report of half a second."""
    report = pytest.TestReport(
        nodeid="t",
        location=("f", 1, "t"),
        keywords={},
        outcome=outcome,
        longrepr=longrepr,
        when=when,
        duration=0.5,
        user_properties=more.pop("properties", ()),
    )
    for name, value in more.items():
        setattr(report, name, value)
    return report


def gathered(*reports: pytest.TestReport) -> Phases:
    """Return what reports add up to."""
    phases = Phases(test="t", worker="gw0")
    for report in reports:
        phases.add(report)
    return phases


SKIP = ("f.py", 3, "Skipped: no hardware")


@pytest.mark.parametrize(
    ("reports", "outcome", "message"),
    [
        ([phase("setup"), phase("call"), phase("teardown")], "passed", ""),
        ([phase("setup"), phase("call", "failed", "boom\nmore"), phase("teardown")], "failed", "boom"),
        ([phase("setup", "failed", "no device"), phase("teardown")], "failed", "setup: no device"),
        (
            [phase("setup"), phase("call"), phase("teardown", "failed", "stuck")],
            "failed",
            "teardown: stuck",
        ),
        (
            [phase("setup"), phase("call", "failed", "boom"), phase("teardown", "failed", "stuck")],
            "failed",
            "boom; teardown: stuck",
        ),
        ([phase("setup"), phase("call", "failed", ""), phase("teardown")], "failed", "failed"),
        (
            [phase("setup", "failed", "file t.py, line 1\n  def t(x): pass\nE       fixture 'x' not found\n> others")],
            "failed",
            "setup: fixture 'x' not found",
        ),
        ([phase("setup", "skipped", SKIP), phase("teardown")], "skipped", "no hardware"),
        ([phase("setup"), phase("call", "skipped", SKIP), phase("teardown")], "skipped", "no hardware"),
        ([phase("setup"), phase("call", "skipped", "x", wasxfail="known"), phase("teardown")], "xfailed", "known"),
        ([phase("setup"), phase("call", "skipped", "x", wasxfail=""), phase("teardown")], "xfailed", "xfail"),
        # With xfail_strict pytest reports a surprise pass as a plain failure.
        (
            [phase("setup"), phase("call", "failed", "[XPASS(strict)] known"), phase("teardown")],
            "failed",
            "[XPASS(strict)] known",
        ),
        ([phase("setup"), phase("call", "passed", None, wasxfail="known"), phase("teardown")], "failed", "known"),
        (
            [phase("setup", "skipped", SKIP), phase("teardown", "failed", "stuck")],
            "failed",
            "teardown: stuck",
        ),
        ([phase("setup", "failed", "x", properties=[(INFRA, "mesh 1x8")])], "infra", "setup: x"),
        # That a test is expected to fail does not mean that it may have no devices.
        ([phase("setup", "skipped", "x", properties=[(INFRA, "m")], wasxfail="known")], "infra", "setup: x"),
    ],
)
def test_worst_phase_decides(reports: list[pytest.TestReport], outcome: str, message: str) -> None:
    phases = gathered(*reports)

    assert (phases.outcome, phases.message) == (outcome, message)


def test_times_of_phases_add_up() -> None:
    assert gathered(phase("setup"), phase("call"), phase("teardown")).duration_s == 1.5


def test_properties_of_all_phases_are_kept() -> None:
    phases = gathered(phase("setup", properties=[("seed", 7)]), phase("call", properties=[("pcc.mlp", 0.5)]))

    assert phases.properties == {"seed": 7, "pcc.mlp": 0.5}


NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "values", "kept"),
    [
        ("pcc.mlp", [0.99, 0.98, 0.995], 0.98),
        ("pcc.mlp", [0.99, NAN, 0.5], NAN),
        ("pcc.mlp", [NAN, 0.5], NAN),
        ("max_error.mlp", [0.1, 0.3, 0.2], 0.3),
        ("max_error.mlp", [NAN, 0.5], NAN),
        ("max_error.mlp", [0.5, NAN], NAN),
        ("floor.mlp", [0.9, 0.8], 0.8),
        ("seed", ["a", 7], 7),
    ],
)
def test_worst_of_repeated_number_stays(name: str, values: list[object], kept: object) -> None:
    phases = gathered(*(phase("call", properties=[(name, value)]) for value in values))

    assert phases.properties == {name: pytest.approx(kept, nan_ok=True)}


def test_crash_overrides_what_was_reported() -> None:
    phases = gathered(phase("setup"))
    phases.crash(Crash(how="died", stack="in native code"))

    message = "worker gw0 died while running this test"
    assert (phases.outcome, phases.message, phases.text) == ("crashed", message, "in native code")
    assert phases.duration_s == 0.5


def test_long_text_keeps_its_end() -> None:
    phases = gathered(phase("call", "failed", "x" * 20_000 + "the end"))

    assert len(phases.text) == 16_384
    assert phases.text.endswith("the end")


class Tensor:
    """What a test may record by mistake."""

    def __init__(self, value: float, text: str = "tensor") -> None:
        self.value = value
        self.text = text

    def __float__(self) -> float:
        if self.value < 0:
            raise RuntimeError("only one element tensors can be converted")
        return self.value

    def __str__(self) -> str:
        return self.text


class Real(float):
    """What numpy.float64 is: a float, and yet not one that execnet sends."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Tensor(0.5), 0.5),
        (Tensor(-1, "many"), "many"),
        (Real(0.5), 0.5),
        ("half \udc80 pair", "half \\udc80 pair"),
        ([("a", Real(1.0)), {"b": (None, True, 2)}], [("a", 1.0), {"b": (None, True, 2)}]),
    ],
)
def test_values_become_plain(value: object, expected: object) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


@settings(max_examples=30)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.characters()), st.lists))
def test_plain_values_can_be_written(value: object) -> None:
    json.dumps(plain(value), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("name", "values", "kept"),
    [
        ("pcc.experts", [0.9, 0.8, 0.95], 0.8),
        ("max_error.experts", [0.1, 0.3, 0.2], 0.3),
        ("seed", [1, 3, 2], 2),
    ],
)
def test_worst_of_repeated_numbers_stands(name, values, kept):
    found = gathered(phase("call", properties=[(name, value) for value in values]))

    assert found.properties == {name: kept}


def test_pcc_that_is_no_number_stands():
    found = gathered(phase("call", properties=[("pcc.x", 0.9), ("pcc.x", float("nan")), ("pcc.x", 0.5)]))

    assert str(found.properties["pcc.x"]) == "nan"


def test_what_failed_phases_printed_is_kept() -> None:
    sections = [("Captured stdout setup", "one"), ("Captured stdout call", "two"), ("Captured stderr call", "three")]
    log = [("Captured log call", "WARNING four")]
    fields = gathered(phase("setup"), phase("call", "failed", "boom", sections=[*sections, *log])).to_json()

    assert (fields["out"], fields["err"]) == ("WARNING four\none\ntwo", "three")


def test_what_passed_tests_printed_is_dropped() -> None:
    fields = gathered(phase("call", sections=[("Captured stdout call", "two")])).to_json()

    assert not {"out", "err"} & set(fields)


def test_only_the_end_of_much_output_is_kept() -> None:
    found = gathered(phase("call", "failed", "boom", sections=[("Captured stdout call", "x" * 100_000 + "end")]))

    assert (len(found.out), found.out[-4:]) == (16_384, "xend")


def test_worker_is_no_part_of_the_text() -> None:
    found = gathered(phase("call", "failed", "[gw3] linux -- Python 3.11.7 /bin/python\n\n    def test(): ..."))

    assert found.text == "def test(): ..."


def test_hang_keeps_stack_and_output() -> None:
    found = gathered(phase("setup"))
    found.hang(Hang(worker="gw0", test="t", after_s=2.5, state="running", stack="File a", out="said", err="warned"))
    fields = found.to_json()

    assert (fields["outcome"], fields["duration_s"], fields["text"]) == ("hang", 2.5, "File a")
    assert (fields["out"], fields["err"]) == ("said", "warned")
    assert fields["message"] == "killed at its deadline of 2.5 s, running"
    assert fields["properties"]["failure_type"] == "hang"


def test_changed_outcome_says_what_it_was() -> None:
    found = gathered(phase("call", "failed", "boom"))
    found.settle("failed")
    found.settle("collateral")

    assert (found.outcome, found.message) == ("collateral", "failed on a slot that had just been spoiled: boom")
