"""What became of each test, into the event log before anything is shown, and whether it runs again."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest

from meshsweep.attempts import Again, Book, Final
from meshsweep.events import EventLog
from meshsweep.outcome import Phases
from meshsweep.progress import Progress
from meshsweep.stacks import Hang
from meshsweep.workers.message import Passed

__all__ = ["Results"]


class Results:
    """Gathers the phases of tests in flight; ``place`` tells a worker's chips and whether they are in doubt."""

    def __init__(
        self,
        log: EventLog,
        book: Book,
        progress: Progress,
        place: Callable[[str], tuple[Collection[int], bool]],
    ) -> None:
        self._log = log
        self._book = book
        self._progress = progress
        self._place = place
        self._running: dict[str, Phases] = {}
        self._numbers: dict[str, int] = {}
        self._again: dict[str, Again] = {}

    def begin(self, test: str) -> int:
        """Return the number of the attempt at a test that begins now."""
        self._running.pop(test, None)
        number = self._numbers[test] = self._book.begin(test)
        return number

    def add(self, report: pytest.TestReport) -> None:
        """Take in a phase; one that comes after the end of its test is a teardown that was put off."""
        phases = self._phases(report.nodeid, getattr(report, "worker_id", ""))
        phases.add(report)
        if phases.is_late:
            self._write(phases, is_final=True)

    def passed(self, test: str, worker: str, passed: Passed) -> pytest.TestReport:
        """Take in a test that passed in all of its phases; returns a report that stands for them."""
        report = passed.report(test)
        phases = self._phases(test, worker)
        phases.add(report)
        self.complete(test)
        return report

    def complete(self, test: str) -> None:
        """Record a test that has gone through its phases."""
        phases = self._running.get(test)
        if phases is None or phases.is_late:
            return
        chips, is_spoiled = self._place(phases.worker)
        decision = self._book.end(test, phases.outcome, is_spoiled=is_spoiled, chips=chips)
        phases.settle(decision.outcome)
        self._write(phases, is_final=isinstance(decision, Final))
        phases.is_late = True
        if isinstance(decision, Again):
            self._again[test] = decision

    def died(self, test: str, worker: str, hang: Hang | None) -> None:
        """Record a test that its worker died in, killed at the deadline or not."""
        phases = self._phases(test, worker)
        if hang is not None:
            phases.hang(hang)
        else:
            phases.crash(f"worker {worker} died while running this test")
        self.complete(test)

    def again(self, test: str) -> Again | None:
        """Return, once, whether and where not a test runs again."""
        return self._again.pop(test, None)

    def _phases(self, test: str, worker: str) -> Phases:
        return self._running.setdefault(test, Phases(test=test, worker=worker))

    def _write(self, phases: Phases, *, is_final: bool) -> None:
        # Without workers nothing is sent: the attempt begins with its result.
        number = self._numbers.get(phases.test) or self._numbers.setdefault(phases.test, self._book.begin(phases.test))
        self._log.write("reported", **phases.to_json(), attempt=number, final=is_final)
        self._progress.finished(phases)
