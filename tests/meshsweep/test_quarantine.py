"""Quarantine: read, applied, expired, and matched against what there is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from meshsweep import loader, quarantine
from meshsweep.errors import MatrixError
from meshsweep.quarantine import Entry
from meshsweep.results.ledger import NO_CELL, Ledger, Result

from .project import Project
from .test_ledger import CELL, OTHER, Log, seen

TODAY = date(2026, 3, 1)
TEST = "tests/unit/test_a.py::test_x[1x8-bfloat16-tiny]"
ENTRY = Entry(
    place="quarantine.toml [[quarantine]] 1",
    test="tests/unit/test_a.py::test_x",
    owner="ada",
    reason="issue 7",
    expires="2026-03-31",
)

GOOD = """
    [[quarantine]]
    test = "tests/unit/test_a.py::test_x"
    mesh = "1x8"
    owner = "ada"
    reason = "issue 7"
    expires = 2026-03-31

    [[quarantine]]
    test = "tests/unit/*::test_y*"
    dtype = ["bfloat16", "bfloat8_b"]
    scale = "tiny"
    environment = "fake"
    owner = "bob"
    reason = "hangs"
    expires = 2026-02-01
    run = false
"""

BAD = """
    [[quarantine]]
    test = "test_x"
    mesh = "9x9"
    owner = ""
    expires = 2026-12-31
    zzz = "later"

    [[quarantine]]
    test = "a::b"
    owner = "ada"
    reason = "issue 7"
    expires = "2026-03-31"
    run = "no"
"""


def read(path: Path, text: str) -> tuple[Entry, ...]:
    """Return the entries of a project as they are read on the first of March."""
    project = Project(path)
    directory = project.declare()
    project.write("matrix/quarantine.toml", text)
    return loader.load(directory, today=TODAY).quarantine


def test_entries_are_read(tmp_path: Path) -> None:
    first, second = read(tmp_path, GOOD)

    assert first == replace(ENTRY, meshes=("1x8",))
    assert (second.dtypes, second.scales, second.environments) == (("bfloat16", "bfloat8_b"), ("tiny",), ("fake",))
    assert (second.expires, second.run) == ("2026-02-01", False)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(MatrixError) as caught:
        read(tmp_path, BAD)

    one, two = "matrix/quarantine.toml [[quarantine]] 1", "matrix/quarantine.toml [[quarantine]] 2"
    assert caught.value.mistakes == (
        f"{one} test: is 'test_x'; expected a node id or a pattern, such as tests/unit/test_a.py::test_x",
        f"{one} owner: is ''; expected a non-empty string",
        f"{one} reason: missing; expected a non-empty string",
        f"{one} expires: is 2026-12-31, 305 days ahead; expected at most 92 days",
        f"{one} mesh: unknown mesh '9x9'; choose from 1x1, 1x2, 1x8, 4x4",
        f"{one} zzz: unknown key; choose from dtype, environment, expires, mesh, owner, reason, run, scale, test",
        f"{two} expires: is '2026-03-31'; expected a day without quotes, such as 2026-01-31",
        f"{two} run: is 'no'; expected true or false",
    )


def test_entries_survive_the_log() -> None:
    entries = (ENTRY, replace(ENTRY, meshes=("1x8", "4x4"), run=False))

    assert quarantine.from_json(json.loads(json.dumps(quarantine.to_json(entries)))) == entries


@pytest.mark.parametrize(
    ("pattern", "is_covered"),
    [
        (TEST, True),
        ("tests/unit/test_a.py::test_x", True),
        ("tests/unit/test_a.py::test_*", True),
        ("*::test_x*", True),
        ("tests/unit/test_a.py::test_x[1x8-*]", True),
        ("tests/unit/test_a.py::test_x[1x?-bfloat16-tiny]", True),
        ("tests/unit/test_a.py::test", False),
        ("tests/unit/test_a.py::test_x[4x4-*]", False),
        ("tests/unit/test_b.py::test_x", False),
    ],
)
def test_patterns_are_of_node_ids(pattern: str, is_covered: object) -> None:
    assert replace(ENTRY, test=pattern).covers(TEST, CELL, "fake") is is_covered


@pytest.mark.parametrize(
    ("axes", "is_covered"),
    [
        ({}, True),
        ({"meshes": ("1x8", "4x4")}, True),
        ({"meshes": ("4x4",)}, False),
        ({"dtypes": ("bfloat8_b",)}, False),
        ({"scales": ("big",)}, False),
        ({"environments": ("fake",), "scales": ("tiny",)}, True),
        ({"environments": ("silicon",)}, False),
    ],
)
def test_axes_narrow_an_entry(axes: dict[str, Any], is_covered: object) -> None:
    assert replace(ENTRY, **axes).covers(TEST, CELL, "fake") is is_covered


def test_axis_leaves_tests_without_mesh_alone() -> None:
    assert ENTRY.covers(TEST, NO_CELL, "fake")
    assert not replace(ENTRY, meshes=("1x8",)).covers(TEST, NO_CELL, "fake")


def held(*outcomes: str, today: str = "2026-03-31", **entry: Any) -> Ledger:
    """Return the ledger of a run with one quarantined test that went through these attempts."""
    log = Log().collected(TEST).attempts(TEST, *outcomes)
    rows = quarantine.to_json([replace(ENTRY, **entry)])
    log.events[0] |= {"quarantine": rows, "today": today, "suite": ["tests/unit"]}
    return log.ledger


@pytest.mark.parametrize("outcome", ["failed", "hang", "crashed"])
def test_failure_in_quarantine_is_set_apart(outcome: str) -> None:
    ledger = held(outcome)

    assert seen(ledger) == {
        TEST: ("quarantined", f"{outcome} because 1 (in quarantine of ada until 2026-03-31: issue 7)")
    }
    assert (ledger.results[0].owner, ledger.results[0].expires) == ("ada", "2026-03-31")
    assert ledger.warnings == ()


@pytest.mark.parametrize("outcome", ["infra", "collateral", "skipped", "xfailed"])
def test_what_is_not_the_tests_fault_counts(outcome: str) -> None:
    assert held(outcome).results[0].outcome == outcome


def test_pass_in_quarantine_is_said() -> None:
    ledger = held("passed")

    assert ledger.results[0].outcome == "passed"
    assert ledger.warnings == (
        "tests/unit/test_a.py::test_x passes now: ada can remove quarantine.toml [[quarantine]] 1",
    )


@pytest.mark.parametrize("outcome", ["failed", "passed"])
def test_expired_quarantine_is_loud(outcome: str) -> None:
    ledger = held(outcome, today="2026-04-01")

    assert ledger.results[0].outcome == outcome
    (warning,) = ledger.warnings
    assert warning == (
        "the quarantine of tests/unit/test_a.py::test_x expired on 2026-03-31, and its failures count again: "
        "ada is to mend it or renew quarantine.toml [[quarantine]] 1"
    )


def test_test_that_is_not_run_is_quarantined() -> None:
    assert seen(held("skipped", run=False)) == {
        TEST: ("quarantined", "not run (in quarantine of ada until 2026-03-31: issue 7)")
    }


def test_partly_passing_entry_can_be_narrowed() -> None:
    results = [
        Result(test=f"{ENTRY.test}[{n}]", cell=CELL, outcome=outcome)
        for n, outcome in enumerate(["passed", "failed", "passed"])
    ]
    judged = quarantine.judge([ENTRY], results, today="2026-03-01")

    assert judged.warnings == (
        "2 of 3 tests of tests/unit/test_a.py::test_x pass now: ada can narrow quarantine.toml [[quarantine]] 1",
    )


@pytest.mark.parametrize(
    ("change", "is_told"),
    [
        ({"test": "tests/unit/test_a.py::test_gone"}, True),
        ({"test": "tests/unit/*::test_gone"}, True),
        ({"test": "tests/unit/test_a.py::test_gone", "meshes": ("4x4",)}, False),
        ({"test": "tests/unit/test_a.py::test_gone", "environments": ("silicon",)}, False),
        ({"test": "tests/layouts/test_a.py::test_gone"}, False),
        ({"test": TEST}, False),
        ({"test": TEST, "scales": ("big",)}, False),
        ({"test": TEST, "dtypes": ("bfloat8_b",)}, True),
    ],
)
def test_entry_that_matches_nothing_is_a_problem(change: dict[str, Any], is_told: object) -> None:
    """A run that has none of the entry's cells or files says nothing of it."""
    log = Log({"wave-0": [CELL, OTHER]}).collected(TEST).reported(TEST)
    entry = replace(ENTRY, **change)
    log.events[0] |= {"quarantine": quarantine.to_json([entry]), "today": "2026-03-01", "suite": ["tests/unit"]}
    text = f"quarantine.toml [[quarantine]] 1: {entry.test!r} matches no test; mend or remove the entry"

    assert (text in log.ledger.problems) is is_told


def test_filtered_run_blames_no_entry() -> None:
    log = Log().collected(TEST, filtered=True).reported(TEST)
    gone = replace(ENTRY, test="tests/unit/test_a.py::test_gone")
    log.events[0] |= {"quarantine": quarantine.to_json([gone]), "today": "2026-03-01", "suite": ["tests/unit"]}

    assert log.ledger.problems == ()
