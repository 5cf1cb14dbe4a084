"""The controller's side of a run: what pytest's hooks tell goes into the event log, and from there to the eye."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Collection

import pytest

from meshsweep.control.doubt import Doubts
from meshsweep.control.progress import Progress
from meshsweep.control.results import Results
from meshsweep.errors import InfraError
from meshsweep.planning.plan import Wave
from meshsweep.record import runlock
from meshsweep.record.events import EventLog, read
from meshsweep.record.rundir import RunDir
from meshsweep.results.attempts import Book

__all__ = ["Controller"]


class Controller:
    """Records collection, results and how the run ends; ``distribution`` adds the workers, where there are any."""

    def __init__(self, config: pytest.Config, rundir: RunDir, wave: Wave, *, reruns: int = 0) -> None:
        self.config = config
        self.rundir = rundir
        self.wave = wave
        self.log = EventLog(rundir.events)
        self._hold = runlock.hold_events(rundir)
        self.log.write("controller-started", pid=os.getpid())
        earlier = list(read(rundir.events))
        self.book = Book(earlier, reruns=reruns)
        self.progress = Progress(config)
        #: Tells the chips of a worker.
        self.place: Callable[[str], Collection[int]] = _nowhere
        self.results = Results(self.log, self.book, self.progress, self._where, Doubts(earlier))

    def _where(self, worker: str) -> Collection[int]:
        return self.place(worker)

    def collected(self) -> dict[str, str]:
        """Record which tests there are; returns their cells.

        Raises InfraError where no worker could write them down.
        """
        path = self.rundir.collection(self.wave.name)
        try:
            tests = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InfraError(f"{path}: what was collected could not be written: make room") from error
        self.log.write("collected", wave=self.wave.name, tests=tests, filtered=_is_filtered(self.config))
        # From here on the run has something to say: a refused command does not hide the one before.
        self.rundir.make_latest()
        cells = dict(tests)
        self.progress.begin(cells)
        return cells

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record the collection of a run without workers; with them the scheduler asks for it."""
        if not self.config.pluginmanager.hasplugin("dsession"):
            self.collected()

    # Results to the log: written before anything is shown.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather the phases of a test; xdist's stand-in for a crash is left out: that has been recorded."""
        if report.when in ("setup", "call", "teardown"):
            self.results.add(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Record a test that has gone through its phases."""
        self.results.complete(nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a test file that could not be collected."""
        if report.failed:
            text = str(report.longrepr)
            self.log.write("problem", text=f"{report.nodeid or 'collection'}: {_last_line(text)}")

    def pytest_internalerror(self, excrepr: object) -> None:
        """Record an error of pytest or a plugin."""
        self.log.write("infra", text=f"internal error: {_last_line(str(excrepr))}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record why the rest did not run: Ctrl-C, or xdist stopping after failures."""
        reason = str(excinfo.value)
        if reason and "keyboard-interrupt" not in reason:
            self.log.write("stopped", reason=f"not started: {reason}")
        else:
            # From here on pytest only writes down what it has: a second SIGINT would cut it short.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self.log.write("interrupted")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Close the wave."""
        if session.shouldstop or session.shouldfail:
            self.log.write("stopped", reason=f"not started: {session.shouldstop or session.shouldfail}")
        elif reason := getattr(self.config.pluginmanager.getplugin("dsession"), "_summary_report", None):
            self.log.write("stopped", reason=f"not started: {reason}")
        self.log.write("wave-finished", wave=self.wave.name)
        self.progress.end()
        self.log.close()
        os.close(self._hold)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Keep pytest's own dots quiet: the progress display takes their place."""
        return self.progress.quiet_status(report)


def _nowhere(_: str) -> Collection[int]:
    return ()


def _is_filtered(config: pytest.Config) -> bool:
    """Return whether the user narrowed the suite, so that a cell may rightly be left without a test."""
    names = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise")
    return config.args_source is pytest.Config.ArgsSource.ARGS or any(config.getoption(name, None) for name in names)


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].removeprefix("E ").strip() if lines else "unknown error"
