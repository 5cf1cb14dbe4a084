"""The controller's side of a run: slots for workers, and every result into the event log."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from meshsweep import history
from meshsweep.events import EventLog
from meshsweep.outcome import Phases
from meshsweep.plan import Wave
from meshsweep.progress import Progress
from meshsweep.queue import Queue, Task
from meshsweep.rundir import RunDir
from meshsweep.scheduler import PullScheduling
from meshsweep.slots import Slot
from meshsweep.words import count

__all__ = ["Controller"]


class Controller:
    """Hands slots to workers, tests to slots, and results to the log, in that order."""

    def __init__(self, config: pytest.Config, rundir: RunDir, wave: Wave, environment: str) -> None:
        self._config = config
        self._rundir = rundir
        self._wave = wave
        self._environment = environment
        self._log = EventLog(rundir.events)
        self._free = list(reversed(wave.slots))
        self._held: dict[str, Slot] = {}
        self._running: dict[str, Phases] = {}
        self._flying: dict[str, str] = {}
        self._progress = Progress(config)

    # Slots. xdist renames a replaced worker, so slots follow leases, not worker numbers.

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a starting worker a free slot; a replacement gets its predecessor's."""
        if not self._free:
            raise pytest.UsageError(
                f"{self._wave.name} has {count(len(self._wave.slots), 'slot')}: -n cannot exceed that"
            )
        slot = self._free.pop()
        self._held[node.gateway.id] = slot
        node.workerinput["slot"] = slot.to_json()
        self._log.write("worker-started", worker=node.gateway.id, slot=slot.name)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take a worker's slot back."""
        slot = self._held.pop(node.gateway.id, None)
        if slot is None:
            return
        self._free.append(slot)
        worker = node.gateway.id
        self._log.write("worker-ended", worker=worker, slot=slot.name, error=str(error) if error else "")
        if error and worker not in self._flying:
            self._log.write("infra", text=f"worker {worker} died on {slot.name} outside of any test: {error}")

    # Tests to slots.

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> PullScheduling:
        """Replace xdist's schedulers: one test in flight per worker."""
        return PullScheduling(make_queue=self._make_queue, slot_of=self._slot_of, sent=self._sent)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record the collection of a run without workers; with them the scheduler asks for it."""
        if not self._wave_is_distributed():
            self._collected()

    def _wave_is_distributed(self) -> bool:
        return self._config.pluginmanager.hasplugin("dsession")

    def _make_queue(self, ids: list[str]) -> Queue:
        cells = self._collected()
        times = history.load(self._rundir.history)
        return Queue(
            [
                Task(
                    index=index,
                    group=cells[test],
                    expected_s=history.expected_s(times, self._environment, test) or history.UNKNOWN_S,
                )
                for index, test in enumerate(ids)
            ]
        )

    def _collected(self) -> dict[str, str]:
        tests = json.loads(self._rundir.collection(self._wave.name).read_text(encoding="utf-8"))
        self._log.write("collected", wave=self._wave.name, tests=tests, filtered=_is_filtered(self._config))
        # From here on the run has something to say: a refused command does not hide the one before.
        self._rundir.make_latest()
        cells = dict(tests)
        self._progress.begin(cells)
        return cells

    def _slot_of(self, worker: str) -> str:
        return self._held[worker].name

    def _sent(self, test: str, worker: str) -> None:
        self._flying[worker] = test
        self._log.write("sent", test=test, worker=worker, slot=self._held[worker].name)
        self._progress.started(test, worker)

    # Results to the log: written before anything is shown.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather the phases of a test; a phase after its end is a teardown that was put off."""
        worker = getattr(report, "worker_id", "")
        if report.when not in ("setup", "call", "teardown"):
            return  # xdist's stand-in for a crash: pytest_handlecrashitem has recorded it
        phases = self._running.setdefault(report.nodeid, Phases(test=report.nodeid, worker=worker))
        phases.add(report)
        if phases.is_late:
            self._report(phases)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Record a test that has gone through its phases."""
        phases = self._running.get(nodeid)
        if phases is not None:
            self._report(phases)
            phases.is_late = True
            self._flying.pop(phases.worker, None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any, sched: Any) -> None:
        """Record the test that a worker died in."""
        worker = report.node.gateway.id
        phases = self._running.setdefault(crashitem, Phases(test=crashitem, worker=worker))
        phases.crash(f"worker {worker} died while running this test")
        self._report(phases)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a test file that could not be collected."""
        if report.failed:
            text = str(report.longrepr)
            self._log.write("problem", text=f"{report.nodeid or 'collection'}: {_last_line(text)}")

    def pytest_internalerror(self, excrepr: object) -> None:
        """Record an error of pytest or a plugin."""
        self._log.write("infra", text=f"internal error: {_last_line(str(excrepr))}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record why the rest did not run: Ctrl-C, or xdist stopping after failures."""
        reason = str(excinfo.value)
        if reason and "keyboard-interrupt" not in reason:
            self._log.write("stopped", reason=f"not started: {reason}")
        else:
            # From here on pytest only writes down what it has: a second SIGINT would cut it short.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._log.write("interrupted")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Close the wave."""
        if session.shouldstop or session.shouldfail:
            self._log.write("stopped", reason=f"not started: {session.shouldstop or session.shouldfail}")
        elif reason := getattr(self._config.pluginmanager.getplugin("dsession"), "_summary_report", None):
            # xdist gives up after many crashes, and says why nowhere else.
            self._log.write("stopped", reason=f"not started: {reason}")
        self._log.write("wave-finished", wave=self._wave.name)
        self._progress.end()
        self._log.close()

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Keep pytest's own dots quiet: the progress display takes their place."""
        return self._progress.quiet_status(report)

    def _report(self, phases: Phases) -> None:
        self._log.write("reported", **phases.to_json())
        self._progress.finished(phases)


def _is_filtered(config: pytest.Config) -> bool:
    """Return whether the user narrowed the suite, so that a cell may rightly be left without a test."""
    names = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise")
    return config.args_source is pytest.Config.ArgsSource.ARGS or any(config.getoption(name, None) for name in names)


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].removeprefix("E ").strip() if lines else "unknown error"
