"""Decide whether an attempt at a test is final, or the test runs again, and where not.

Pure: what happened before is read from the events of the run, so that a resumed run decides as one process would.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshsweep.results.ledger import BAD

__all__ = ["COLLATERAL_LIMIT", "Again", "Book", "Final", "decide", "standing"]

#: How often a test may be spoiled by its neighbours before that is taken for its outcome.
COLLATERAL_LIMIT = 3

#: Outcomes of the test's own doing: only these make a later pass a flaky one.
_OWN = frozenset({"failed", "hang", "crashed"})

#: Outcomes that may lie with the slot: such a test is tried once more, and elsewhere.
_ELSEWHERE = frozenset({"hang", "crashed", "infra"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """This attempt stands, with this outcome."""

    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """This attempt ended so, and the test runs again, if possible on other chips than ``avoid``."""

    outcome: str
    avoid: frozenset[int] = frozenset()


def decide(
    history: Sequence[str], outcome: str, *, is_spoiled: bool, reruns: int, chips: Collection[int] = ()
) -> Final | Again:
    """Return what follows from an outcome, after the outcomes of a test's earlier attempts.

    On a spoiled slot whatever went wrong is ``collateral``, and runs again elsewhere. A failed test runs again
    as often as ``reruns`` says, one that hung, crashed or found no devices once, elsewhere, if reruns are asked for.
    """
    if outcome not in BAD:
        return Final(outcome=outcome)
    if is_spoiled or outcome == "collateral":
        within = history.count("collateral") + 1 < COLLATERAL_LIMIT
        return Again(outcome="collateral", avoid=frozenset(chips)) if within else Final(outcome="collateral")
    if outcome in _ELSEWHERE:
        has_been = any(before in _ELSEWHERE for before in history)
        return Final(outcome=outcome) if has_been or not reruns else Again(outcome=outcome, avoid=frozenset(chips))
    counted = sum(before != "collateral" for before in history)
    return Again(outcome=outcome) if counted < reruns else Final(outcome=outcome)


def standing(outcomes: Sequence[str]) -> str:
    """Return the outcome of a test from those of its attempts: a pass after a failure of its own is ``flaky``.

    A skip after a failure hides nothing: the failure stands.
    """
    *earlier, last = outcomes
    own = [outcome for outcome in earlier if outcome in _OWN]
    if own and last == "passed":
        return "flaky"
    return own[-1] if own and last not in BAD else last


class Book:
    """The attempts at every test of a run so far, read from its events; without ``reruns`` what the run began with."""

    def __init__(self, events: Iterable[Mapping[str, Any]], *, reruns: int | None = None) -> None:
        self._reruns = reruns or 0
        self._outcomes: dict[str, dict[int, str]] = {}
        self._begun: dict[str, int] = {}
        self.final: set[str] = set()
        for event in events:
            if event["event"] == "run-started" and reruns is None:
                self._reruns = event.get("reruns", 0)
            elif event["event"] == "sent":
                self._begun[event["test"]] = event.get("attempt", 1)
            elif event["event"] == "reported":
                self._take(event["test"], event)

    def _take(self, test: str, event: Mapping[str, Any]) -> None:
        attempts = self._outcomes.setdefault(test, {})
        # Reported twice: a teardown that came late has failed, which starts nothing again.
        if event.get("final", True) and event.get("attempt", 1) not in attempts:
            self.final.add(test)
        attempts[event.get("attempt", 1)] = event["outcome"]

    def begin(self, test: str) -> int:
        """Return the number of the attempt that begins now, from 1."""
        self._begun[test] = self._begun.get(test, 0) + 1
        return self._begun[test]

    def end(self, test: str, outcome: str, *, is_spoiled: bool = False, chips: Collection[int] = ()) -> Final | Again:
        """Take in how the attempt under way has ended; return what follows.

        ``is_spoiled`` says that a hang or crash had just spoiled the slot, whose chips are ``chips``.
        """
        attempts = self._outcomes.setdefault(test, {})
        decision = decide(list(attempts.values()), outcome, is_spoiled=is_spoiled, reruns=self._reruns, chips=chips)
        attempts[self._begun.get(test, 1)] = decision.outcome
        if isinstance(decision, Final):
            self.final.add(test)
        return decision
