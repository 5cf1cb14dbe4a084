"""The verdict, and its forms."""

from __future__ import annotations

import json
import re

import pytest

from meshsweep.results import summary

from .test_ledger import CELL, OTHER, Log


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["passed"], 0),
        (["passed", "skipped"], 0),
        (["passed", "xfailed"], 0),
        (["passed", "failed"], 1),
        (["crashed"], 1),
        (["not-run"], 1),
        (["skipped"], 1),
        (["passed", "infra"], 3),
        (["failed", "infra"], 1),
        (["not-run", "infra"], 3),
    ],
)
def test_exit_code_follows_the_outcomes(outcomes: list[str], code: int) -> None:
    log = Log().collected(*(str(number) for number in range(len(outcomes))))
    for number, outcome in enumerate(outcomes):
        log.reported(str(number), outcome)

    assert summary.exit_code(log.ledger) == code


@pytest.mark.parametrize(
    ("event", "code", "line"),
    [
        ({"event": "problem", "text": "test_b.py: no such module"}, 1, "test_b.py: no such module"),
        ({"event": "infra", "text": "pytest was killed"}, 3, "pytest was killed"),
        ({"event": "interrupted"}, 1, "the run was interrupted"),
    ],
)
def test_event_spoils_a_green_run(event: dict[str, str], code: int, line: str) -> None:
    ledger = Log().collected("t").reported("t").add(**event).ledger

    assert (summary.exit_code(ledger), summary.problems(ledger)) == (code, (line,))


def test_interruption_is_no_infrastructure() -> None:
    """What Ctrl-C tears down on its way is not at fault."""
    ledger = Log().collected("t").add("interrupted").add("infra", text="worker gw0 died").ledger

    assert summary.exit_code(ledger) == 1


def test_run_without_tests_is_not_green() -> None:
    ledger = Log({}).ledger

    assert (summary.exit_code(ledger), summary.problems(ledger)) == (1, ("no test was planned",))


def test_cells_with_one_problem_share_line() -> None:
    ledger = Log({"wave-0": [CELL, OTHER, "1x1-x-y"]}).collected("t").reported("t", "skipped").ledger

    assert summary.problems(ledger) == (
        f"{CELL}: every test skipped",
        f"{OTHER} and 1 more: no test runs in this cell",
    )


def test_row_prints_counts_and_pcc() -> None:
    log = Log().collected("f.py::a", "f.py::b", "f.py::c", "f.py::d")
    log.reported("f.py::a", **{"pcc.mlp": 0.98765}).reported("f.py::b", "crashed").reported("f.py::c", "xfailed")
    (row,) = summary.rows(log.ledger)

    assert dict(zip(summary.headings(log.ledger), summary.cells_of(row, log.ledger), strict=True)) == {
        "cell": CELL,
        "planned": "4",
        "passed": "1",
        "failed": "-",
        "crashed": "1",
        "skipped": "-",
        "xfailed": "1",
        "never ran": "1",
        "lowest PCC": "0.98765",
        "in": "a",
        "time s": "1.5",
    }


def test_totals_say_it_in_a_sentence() -> None:
    log = Log().collected("a", "b", "c").reported("a", mesh_open_s=0.25).reported("b", "failed")

    assert summary.totals(log.ledger) == (
        "3 planned: 1 passed, 1 failed, 1 never ran; 3.0 s, 1.0 s of tests, 1 mesh opened in 0.25 s"
    )


def test_json_holds_no_nan() -> None:
    log = Log().collected("t").reported("t", **{"pcc.mlp": float("nan"), "max_error.mlp": float("inf")})
    text = summary.as_json(log.ledger)
    data = json.loads(text, parse_constant=pytest.fail)

    properties = data["results"][0]["properties"]
    assert (properties["pcc.mlp"], properties["max_error.mlp"]) == ("nan", "inf")
    assert data["cells"][0]["pcc"] == "nan"


def test_json_repeats_the_verdict() -> None:
    data = json.loads(summary.as_json(Log().collected("t").ledger))

    assert (data["exit_code"], data["problems"]) == (1, [])
    assert data["included"] == [{"cell": "4x4-a-b", "reason": "seen broken"}]
    assert data["excluded"] == [{"cell": "1x1-a-b", "reason": "small"}]
    assert data["runs"][0]["environment"] == "fake"


def test_markdown_has_verdict_table_failures() -> None:
    log = Log().collected("f.py::a", "f.py::b").sent("f.py::a").reported("f.py::a", "failed", "x | y")
    lines = summary.as_markdown(log.ledger).splitlines()

    assert lines[0] == "# meshsweep: failed"
    assert f"| {CELL} | 2 | - | 1 | - | 1 |  |  | 0.5 |" in lines
    assert lines.index("## Included") + 4 == lines.index("| 4x4-a-b | seen broken |")
    assert lines.index("## Excluded") + 4 == lines.index("| 1x1-a-b | small |")
    assert f"- `a` in `{CELL}` on virtual.0: **failed** x | y" in lines
    assert f"- `b` in `{CELL}`: **not-run** the run ended before this test was started" in lines


def test_markdown_cells_escape_pipes() -> None:
    table = summary.as_markdown(Log({"wave-0": ["a|b\nc"]}).ledger)

    assert "| a\\|b c | 0 |" in table


@pytest.mark.parametrize("limit", [500, 2_000, 5_000])
def test_markdown_stays_below_its_limit(limit: int) -> None:
    log = Log().collected(*(f"f.py::t{number}" for number in range(100)))
    text = summary.as_markdown(log.ledger, limit=limit)
    (left_out,) = re.findall(r"\((\d+) more parts are left out here; summary.json has them all\)", text)

    assert len(text.encode()) <= limit
    assert text.count("**not-run**") + int(left_out) >= 100


@pytest.mark.parametrize(("outcome", "word"), [("passed", "passed"), ("failed", "failed")])
def test_verdict_is_a_word(outcome: str, word: str) -> None:
    assert summary.verdict(Log().collected("t").reported("t", outcome).ledger) == word


def test_infrastructure_has_its_own_verdict() -> None:
    assert summary.verdict(Log().collected("t").reported("t", "infra").ledger) == "infrastructure failed"


def test_waived_values_are_counted_and_shown() -> None:
    log = Log().collected("t", "u").reported("t", waived=3).reported("u", waived=1)
    (row,) = summary.rows(log.ledger)

    assert "4 waived" in summary.cells_of(row, log.ledger)
    assert summary.totals(log.ledger).endswith("; 4 comparisons of values waived")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("passed", 0),
        ("skipped", 1),  # as the only one of its cell
        ("quarantined", 0),
        ("xfailed", 0),
        ("failed", 1),
        ("hang", 1),
        ("crashed", 1),
        ("infra", 3),
        ("collateral", 3),
        ("not-run", 1),
    ],
)
def test_every_outcome_has_its_exit_code(outcome: str, code: int) -> None:
    assert summary.exit_code(Log().collected("t").reported("t", outcome).ledger) == code


def test_flaky_is_green_and_said() -> None:
    log = Log().collected("f.py::t", "f.py::u").attempts("f.py::t", "failed", "passed").reported("f.py::u")
    lines = summary.as_markdown(log.ledger).splitlines()

    assert (summary.exit_code(log.ledger), summary.verdict(log.ledger)) == (0, "passed, 1 flaky")
    assert summary.totals(log.ledger).startswith("2 planned: 1 passed, 1 flaky; ")
    assert lines[lines.index("## Flaky") + 2] == (
        f"- `t` in `{CELL}` on virtual.2: **flaky** passed at attempt 2, after failed because 1"
    )


def test_strict_flaky_is_red() -> None:
    log = Log().collected("t").attempts("t", "failed", "passed")
    log.events[0]["strict_flaky"] = True

    assert (summary.exit_code(log.ledger), summary.verdict(log.ledger)) == (1, "failed")
    assert summary.problems(log.ledger) == ("1 test flaky, which --strict-flaky takes for a failure",)


def test_outcome_that_occurs_has_a_column() -> None:
    log = Log().collected("t", "u").reported("t", "hang").reported("u", "collateral")

    assert summary.headings(log.ledger)[2:-3] == ["passed", "failed", "hang", "collateral", "skipped", "never ran"]
