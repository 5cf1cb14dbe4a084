"""What follows from the outcome of an attempt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsweep.results.attempts import COLLATERAL_LIMIT, Again, Book, Final, decide, standing
from meshsweep.results.ledger import BAD, OUTCOMES

CHIPS = frozenset({4, 5})


@pytest.mark.parametrize(
    ("history", "outcome", "reruns", "decision"),
    [
        ([], "passed", 2, Final(outcome="passed")),
        ([], "skipped", 2, Final(outcome="skipped")),
        ([], "xfailed", 2, Final(outcome="xfailed")),
        ([], "failed", 0, Final(outcome="failed")),
        ([], "failed", 1, Again(outcome="failed")),
        (["failed"], "failed", 1, Final(outcome="failed")),
        (["failed"], "failed", 2, Again(outcome="failed")),
        (["failed", "failed"], "passed", 2, Final(outcome="passed")),
        (["collateral"], "failed", 1, Again(outcome="failed")),
        ([], "hang", 0, Final(outcome="hang")),
        ([], "hang", 2, Again(outcome="hang", avoid=CHIPS)),
        (["hang"], "crashed", 5, Final(outcome="crashed")),
        ([], "crashed", 1, Again(outcome="crashed", avoid=CHIPS)),
        ([], "infra", 0, Final(outcome="infra")),
        ([], "infra", 1, Again(outcome="infra", avoid=CHIPS)),
    ],
)
def test_outcome_is_final_or_tried_again(history: list[str], outcome: str, reruns: int, decision: object) -> None:
    assert decide(history, outcome, is_spoiled=False, reruns=reruns, chips=CHIPS) == decision


@pytest.mark.parametrize("outcome", sorted(BAD - {"not-run"}))
def test_what_fails_on_spoiled_slot_is_collateral(outcome: str) -> None:
    assert decide([], outcome, is_spoiled=True, reruns=0, chips=CHIPS) == Again(outcome="collateral", avoid=CHIPS)


def test_pass_on_spoiled_slot_is_a_pass() -> None:
    assert decide([], "passed", is_spoiled=True, reruns=0) == Final(outcome="passed")


def test_collateral_has_an_end() -> None:
    history = ["collateral"] * (COLLATERAL_LIMIT - 1)

    assert decide(history, "failed", is_spoiled=True, reruns=9) == Final(outcome="collateral")


@given(
    st.lists(st.tuples(st.sampled_from([*OUTCOMES, "failed"]), st.booleans()), min_size=50, max_size=50),
    st.integers(0, 5),
)
def test_every_test_comes_to_an_end(ends: list[tuple[str, bool]], reruns: int) -> None:
    book = Book([], reruns=reruns)
    number = 0
    for number, (outcome, is_spoiled) in enumerate(ends, 1):
        assert book.begin("t") == number
        if isinstance(book.end("t", outcome, is_spoiled=is_spoiled), Final):
            break

    assert book.final == {"t"}
    assert number <= 1 + reruns + COLLATERAL_LIMIT


@pytest.mark.parametrize(
    ("outcomes", "stands"),
    [
        (["passed"], "passed"),
        (["failed", "passed"], "flaky"),
        (["hang", "passed"], "flaky"),
        (["crashed", "failed", "passed"], "flaky"),
        (["infra", "passed"], "passed"),
        (["collateral", "infra", "passed"], "passed"),
        (["failed", "failed"], "failed"),
        (["failed", "crashed"], "crashed"),
        (["failed", "skipped"], "failed"),
        (["infra", "skipped"], "skipped"),
        (["collateral", "collateral"], "collateral"),
    ],
)
def test_outcome_that_stands(outcomes: list[str], stands: str) -> None:
    assert standing(outcomes) == stands


def log(*reports: dict[str, Any], reruns: int = 2) -> list[dict[str, Any]]:
    """Return the events of a run of one test."""
    events: list[dict[str, Any]] = [{"event": "run-started", "reruns": reruns}]
    for number, report in enumerate(reports, 1):
        events.append({"event": "sent", "test": "t", "attempt": number})
        if report:
            events.append({"event": "reported", "test": "t", "attempt": number, **report})
    return events


def test_book_goes_on_where_the_log_ends() -> None:
    book = Book(log({"outcome": "failed", "final": False}, {"outcome": "failed", "final": False}))

    assert book.final == set()
    assert book.begin("t") == 3
    assert book.end("t", "failed") == Final(outcome="failed")


def test_attempt_without_report_counts_for_nothing() -> None:
    book = Book(log({"outcome": "failed", "final": False}, {}))

    assert book.begin("t") == 3
    assert book.end("t", "failed") == Again(outcome="failed")


@pytest.mark.parametrize("final", [True, False])
def test_late_teardown_decides_nothing_anew(final: object) -> None:
    late = {"event": "reported", "test": "t", "attempt": 1, "outcome": "failed", "final": True}
    book = Book([*log({"outcome": "failed", "final": final}), late])

    assert book.final == ({"t"} if final else set())


def test_reruns_are_given_or_read() -> None:
    events = log({"outcome": "failed", "final": False})

    assert [Book(events, reruns=reruns)._reruns for reruns in (None, 0, 5)] == [2, 0, 5]
