"""What became of each test, into the event log before anything is shown, and whether it runs again."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest

from meshsweep.control.doubt import Doubts
from meshsweep.control.progress import Progress
from meshsweep.control.stacks import Crash, Hang
from meshsweep.record.events import EventLog
from meshsweep.results.attempts import Again, Book, Final
from meshsweep.results.outcome import INFRA, Phases
from meshsweep.workers.message import Passed

__all__ = ["Results"]


class Results:
    """Gathers the phases of tests in flight; ``place`` tells a worker's chips."""

    def __init__(
        self,
        log: EventLog,
        book: Book,
        progress: Progress,
        place: Callable[[str], Collection[int]],
        doubts: Doubts,
    ) -> None:
        self._log = log
        self._book = book
        self._progress = progress
        self._place = place
        self._doubts = doubts
        self._running: dict[str, Phases] = {}
        self._numbers: dict[str, int] = {}
        self._again: dict[str, Again] = {}
        self._without_mesh: set[str] = set()

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

    def passed(self, test: str, worker: str, passed: Passed) -> None:
        """Take in a test that passed in all of its phases."""
        properties = dict(passed.properties)
        phases = Phases(test=test, worker=worker, duration_s=passed.duration_s, properties=properties)
        self._running[test] = phases
        if len(properties) < len(passed.properties):
            # Something was recorded more than once, and the worst of it counts.
            phases.duration_s = 0.0
            phases.add(passed.report(test))
        self._book.end(test, "passed")
        self._doubts.learn(test, self._place(worker), "passed")
        # What came through the wire is plain already.
        self._log.write(
            "reported",
            test=test,
            worker=worker,
            outcome="passed",
            duration_s=round(phases.duration_s, 6),
            message="",
            text="",
            properties=phases.properties,
            attempt=self._numbers[test],
            final=True,
        )
        self._progress.finished(phases)
        phases.is_late = True

    def complete(self, test: str) -> None:
        """Record a test that has gone through its phases."""
        phases = self._running.get(test)
        if phases is None or phases.is_late:
            return
        if phases.outcome == INFRA:
            self._without_mesh.add(phases.worker)
        chips = self._place(phases.worker)
        is_spoiled = self._doubts.cover(test, chips)
        decision = self._book.end(test, phases.outcome, is_spoiled=is_spoiled, chips=chips)
        # What was seen, not what was made of it: a crash on chips in doubt leaves them in doubt.
        self._doubts.learn(test, chips, phases.outcome)
        self._doubts.learn(test, chips, decision.outcome)
        phases.settle(decision.outcome)
        self._write(phases, is_final=isinstance(decision, Final))
        phases.is_late = True
        if isinstance(decision, Again):
            self._again[test] = decision

    def died(self, test: str, worker: str, end: Hang | Crash) -> None:
        """Record a test that its worker died in, killed at the deadline or not."""
        phases = self._phases(test, worker)
        if isinstance(end, Hang):
            phases.hang(end)
        else:
            phases.crash(end)
        self.complete(test)

    def again(self, test: str) -> Again | None:
        """Return, once, whether and where not a test runs again."""
        return self._again.pop(test, None)

    def found_no_mesh(self, worker: str) -> bool:
        """Return, once, whether a test of a worker found no mesh that it could open."""
        found = worker in self._without_mesh
        self._without_mesh.discard(worker)
        return found

    def _phases(self, test: str, worker: str) -> Phases:
        return self._running.setdefault(test, Phases(test=test, worker=worker))

    def _write(self, phases: Phases, *, is_final: bool) -> None:
        # Without workers nothing is sent: the attempt begins with its result.
        number = self._numbers.get(phases.test) or self._numbers.setdefault(phases.test, self._book.begin(phases.test))
        self._log.write("reported", **phases.to_json(), attempt=number, final=is_final)
        if is_final:
            self._progress.finished(phases)
        else:
            self._progress.tell(f"{phases.outcome} {phases.test}: {phases.message}; it runs again")
