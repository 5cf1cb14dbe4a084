"""Events folded into a ledger, and ledgers merged."""

from __future__ import annotations

from typing import Any

import pytest

from meshsweep.results.fold import fold
from meshsweep.results.ledger import NO_CELL, Ledger, Result, Row, merge, rows, short_name

CELL = "1x8-bfloat16-tiny"
OTHER = "1x8-bfloat8_b-tiny"


class Log:
    """Events with a clock that counts them."""

    def __init__(self, waves: dict[str, list[str]] | None = None, environment: str = "fake") -> None:
        self.events: list[dict[str, Any]] = []
        waves = {"wave-0": [CELL]} if waves is None else waves
        rules = {"included": [["4x4-a-b", "seen broken"]], "excluded": [["1x1-a-b", "small"]]}
        self.add("run-started", environment=environment, waves=waves, **rules)

    def add(self, event: str, **fields: Any) -> Log:
        """Append an event, a second after the last one."""
        self.events.append({"event": event, "t": 100.0 + len(self.events), **fields})
        return self

    def collected(self, *tests: str, cell: str = CELL, wave: str = "wave-0", filtered: bool = False) -> Log:
        """Append what a wave has collected."""
        return self.add("collected", wave=wave, tests=[[test, cell] for test in tests], filtered=filtered)

    def sent(self, test: str, *, attempt: int = 1, slot: str = "virtual.0") -> Log:
        """Append that a test went to the only worker."""
        return self.add("sent", test=test, worker="gw0", slot=slot, attempt=attempt)

    def reported(
        self,
        test: str,
        outcome: str = "passed",
        message: str = "",
        *,
        printed: dict[str, str] | None = None,
        attempt: int = 1,
        final: object = True,
        **properties: Any,
    ) -> Log:
        """Append a result of half a second."""
        fields = {"message": message, "text": message, "worker": "gw0", "properties": properties, **(printed or {})}
        return self.add("reported", test=test, outcome=outcome, duration_s=0.5, attempt=attempt, final=final, **fields)

    def attempts(self, test: str, *outcomes: str) -> Log:
        """Append attempts at a test, the last of them final; each slot is called after its attempt."""
        for number, outcome in enumerate(outcomes, 1):
            self.sent(test, attempt=number, slot=f"virtual.{number}")
            message = "" if outcome == "passed" else f"because {number}"
            self.reported(test, outcome, message, attempt=number, final=number == len(outcomes))
        return self

    @property
    def ledger(self) -> Ledger:
        """The fold of all events."""
        return fold(self.events)


def seen(ledger: Ledger) -> dict[str, tuple[str, str]]:
    """Return outcome and message by test."""
    return {result.test: (result.outcome, result.message) for result in ledger.results}


def row(ledger: Ledger, cell: str = CELL) -> Row:
    """Return the row of a cell."""
    return next(row for row in rows(ledger) if row.cell == cell)


def test_reported_test_knows_its_whereabouts() -> None:
    ledger = Log().collected("t").sent("t").reported("t", "failed", "boom", seed=7).ledger

    assert ledger.results == (
        Result(
            test="t",
            cell=CELL,
            outcome="failed",
            duration_s=0.5,
            message="boom",
            text="boom",
            worker="gw0",
            slot="virtual.0",
            wave="wave-0",
            environment="fake",
            started=102.5,
            properties={"mesh": "1x8", "dtype": "bfloat16", "scale": "tiny", "environment": "fake", "seed": 7},
        ),
    )


def test_planned_test_without_result_never_ran() -> None:
    ledger = Log().collected("done", "begun", "waiting").sent("done").reported("done").sent("begun").ledger

    assert seen(ledger) == {
        "done": ("passed", ""),
        "begun": ("not-run", "started, but never reported: the run ended under it"),
        "waiting": ("not-run", "the run ended before this test was started"),
    }


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"event": "stopped", "reason": "not started: stopping after 1 failures"}, None),
        ({"event": "interrupted"}, "the run was interrupted"),
    ],
)
def test_reason_of_never_run_is_kept(event: dict[str, str], reason: str | None) -> None:
    ledger = Log().collected("t").add(**event).ledger

    assert seen(ledger) == {"t": ("not-run", reason or event["reason"])}
    assert ledger.interrupted is (reason is not None)


def test_late_teardown_replaces_the_result() -> None:
    ledger = Log().collected("t").sent("t").reported("t").reported("t", "failed", "teardown: stuck").ledger

    assert seen(ledger) == {"t": ("failed", "teardown: stuck")}


def test_crashed_test_keeps_its_slot() -> None:
    ledger = Log().collected("t").sent("t").reported("t", "crashed", "worker gw0 died").ledger

    assert (ledger.results[0].outcome, ledger.results[0].slot) == ("crashed", "virtual.0")


def test_result_nobody_planned_is_kept() -> None:
    assert seen(Log().reported("stray").ledger) == {"stray": ("passed", "")}


def test_empty_log_is_an_empty_ledger() -> None:
    ledger = fold([])

    assert (ledger.results, ledger.cells, ledger.wall_s) == ((), (), 0.0)


def test_wall_time_spans_all_events() -> None:
    assert Log().collected("t").sent("t").reported("t").add("run-finished").ledger.wall_s == 4.0


def test_mesh_opens_are_counted() -> None:
    ledger = Log().collected("a", "b").reported("a", mesh_open_s=0.5).reported("b").ledger

    assert (ledger.mesh_opens, ledger.mesh_open_s) == (1, 0.5)


def test_row_counts_times_and_outcomes() -> None:
    log = Log().collected("a", "b", "c").sent("a").reported("a").sent("b").reported("b", "failed")
    found = row(log.ledger)

    assert (found.planned, found.counts) == (3, {"passed": 1, "failed": 1, "not-run": 1})
    assert (found.busy_s, found.wall_s) == (1.0, 2.5)


@pytest.mark.parametrize(
    ("values", "lowest", "test"),
    [
        ([0.99, 0.98], 0.98, "b"),
        ([0.98, 0.98], 0.98, "a"),
        ([float("nan"), 0.98], float("nan"), "a"),
        ([0.98, float("nan")], float("nan"), "b"),
        ([0.98, "0.5"], 0.5, "b"),
        ([0.98, "tensor(..)"], float("nan"), "b"),
    ],
)
def test_lowest_pcc_names_its_test(values: list[Any], lowest: float, test: str) -> None:
    log = Log().collected("f.py::a", "f.py::b")
    for name, value in zip("ab", values, strict=True):
        log.reported(f"f.py::{name}", **{"pcc.mlp": value, "pcc.rope": 1.0})
    found = row(log.ledger)

    assert (found.pcc, found.pcc_test) == (pytest.approx(lowest, nan_ok=True), test)


def test_cell_in_which_everything_skipped() -> None:
    log = Log().collected("a", "b").reported("a", "skipped").reported("b", "skipped")

    assert row(log.ledger).problem == "every test skipped"


@pytest.mark.parametrize(("filtered", "problem"), [(False, "no test runs in this cell"), (True, "")])
def test_cell_without_tests_is_a_problem(filtered: object, problem: str) -> None:
    ledger = Log({"wave-0": [CELL, OTHER]}).collected("t", filtered=filtered).reported("t").ledger

    assert (row(ledger, OTHER).planned, row(ledger, OTHER).problem) == (0, problem)


@pytest.mark.parametrize("filtered", [False, True])
def test_wave_that_never_collected_is_a_problem(filtered: object) -> None:
    ledger = Log({"wave-0": [CELL], "wave-1": [OTHER]}).collected("t", filtered=filtered).reported("t").ledger

    assert row(ledger, OTHER).problem == "its tests were never collected"


def test_last_result_of_test_stands() -> None:
    first = Log().collected("t").reported("t", "failed").ledger
    second = Log().collected("t").reported("t").ledger

    assert seen(merge([first, second])) == {"t": ("passed", "")}
    assert seen(merge([second, first])) == {"t": ("failed", "")}


def test_result_beats_never_ran() -> None:
    done = Log().collected("t").reported("t").ledger
    stopped = Log().collected("t").ledger

    assert seen(merge([done, stopped])) == seen(merge([stopped, done])) == {"t": ("passed", "")}


def test_environments_are_not_mixed() -> None:
    emulated = Log().collected("t").reported("t").ledger
    silicon = Log(environment="silicon").collected("t").reported("t", "failed").ledger
    merged = merge([emulated, silicon])

    assert [(found.environment, found.counts) for found in rows(merged)] == [
        ("fake", {"passed": 1}),
        ("silicon", {"failed": 1}),
    ]


def test_meshless_failure_hides_behind_no_pass() -> None:
    """Every run of a merge has the tests without a mesh, and each of them counts."""
    bad = Log().collected("t", cell=NO_CELL).reported("t", "failed").ledger
    good = Log().collected("t", cell=NO_CELL).reported("t").ledger

    assert row(merge([bad, good]), NO_CELL).counts == {"failed": 1, "passed": 1}


def test_merge_adds_what_runs_know() -> None:
    first = Log().collected("a").reported("a").add("problem", text="p").ledger
    second = Log({"wave-0": [OTHER]}).add("infra", text="i").add("interrupted").ledger
    merged = merge([first, second])

    assert [cell for _, cell in merged.cells] == [CELL, OTHER]
    assert (merged.problems, merged.infra, merged.interrupted) == (("p",), ("i",), True)
    assert (merged.included, merged.excluded) == ((("4x4-a-b", "seen broken"),), (("1x1-a-b", "small"),))
    assert len(merged.runs) == 2
    assert merged.wall_s == first.wall_s + second.wall_s
    assert row(merged, OTHER).problem == "its tests were never collected"


def test_attempts_are_kept_and_last_stands() -> None:
    (result,) = Log().collected("t").attempts("t", "failed", "failed").ledger.results

    assert (result.outcome, result.message, result.slot) == ("failed", "because 2", "virtual.2")
    assert [(a.outcome, a.message, a.slot, a.duration_s) for a in result.earlier] == [
        ("failed", "because 1", "virtual.1", 0.5)
    ]


def test_pass_after_failure_is_flaky() -> None:
    (result,) = Log().collected("t").attempts("t", "failed", "collateral", "passed").ledger.results

    assert result.outcome == "flaky"
    assert result.message == "passed at attempt 3, after failed because 1; collateral because 2"


def test_attempt_that_was_to_run_again_says_so() -> None:
    log = Log().collected("t", "u").reported("t", "collateral", "because", final=False).reported("u", final=False)
    log.add("given-up", test="t", reason="no healthy chips are left").add("interrupted")

    assert seen(log.ledger) == {
        "t": ("collateral", "because; it was to run again, but: no healthy chips are left"),
        "u": ("passed", "it was to run again, but: the run was interrupted"),
    }


def test_test_without_chips_never_ran() -> None:
    log = Log().collected("t").add("given-up", test="t", reason="no healthy chips are left")

    assert seen(log.ledger) == {"t": ("not-run", "no healthy chips are left")}


def test_late_teardown_keeps_place_and_finality() -> None:
    log = Log().collected("t").sent("t").reported("t", "failed", final=False).sent("t", attempt=2, slot="b")
    log.reported("t", "failed", "stuck", attempt=1).reported("t", attempt=2)
    (result,) = log.ledger.results

    assert [(attempt.message, attempt.slot) for attempt in result.earlier] == [("stuck", "virtual.0")]
    assert (result.outcome, result.slot) == ("flaky", "b")


# A run that was interrupted and resumed.


def test_resumed_run_forgets_how_it_was_interrupted() -> None:
    log = Log().collected("a", "b").sent("a").reported("a").sent("b").add("interrupted")
    log.add("infra", text="worker gw0 died").add("problem", text="no such module")
    log.add("resumed", pid=1).collected("a", "b").sent("b", attempt=2, slot="virtual.1").reported("b", attempt=2)
    ledger = log.ledger

    assert seen(ledger) == {"a": ("passed", ""), "b": ("passed", "")}
    assert (ledger.interrupted, ledger.infra, ledger.problems) == (False, (), ())
    assert ledger.results[1].earlier == ()
    assert ledger.results[1].slot == "virtual.1"
    assert ledger.notes == ("before it was resumed: worker gw0 died",)


def test_time_between_sessions_is_not_counted() -> None:
    log = Log().collected("a", "b").sent("a")
    log.events.append({"event": "resumed", "t": 5000.0})
    log.events.append({"event": "run-finished", "t": 5003.0})

    assert log.ledger.wall_s == 2.0 + 3.0


def test_test_that_is_gone_when_resumed() -> None:
    log = Log().collected("a", "b").sent("a").reported("a").add("resumed").collected("a").add("run-finished")

    assert seen(log.ledger) == {
        "a": ("passed", ""),
        "b": ("not-run", "it was not collected again when the run was resumed"),
    }


def test_measuring_stays_a_problem_when_resumed() -> None:
    log = Log().collected("a").add("resumed")
    log.events[0]["arguments"] = ["--sweep-measure"]

    assert log.ledger.problems == ("no comparison was held to its floor: this run measured only",)


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("tests/unit/test_a.py::test_x[1x8-bfloat16-tiny]", "test_x"),
        ("tests/unit/test_a.py::TestA::test_x", "test_x"),
        ("tests/unit/test_a.py::test_x[a::b]", "test_x"),
        ("test_x", "test_x"),
    ],
)
def test_short_name_is_the_function(test: str, name: str) -> None:
    assert short_name(test) == name
