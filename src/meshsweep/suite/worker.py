"""The worker's side of a run: one test in flight, and the collection written down once.

xdist 3.8's own loop starts a test only when it knows the next one, so a worker holds two.
Ours runs what it was given and tears down to the shared parents while it waits.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from meshsweep.cell import Cell
from meshsweep.control import stacks
from meshsweep.planning.plan import Wave
from meshsweep.record.rundir import RunDir
from meshsweep.suite.expansion import AXES, cell_of
from meshsweep.workers.nursery import die_with
from meshsweep.workers.reporter import Reporter
from meshsweep.workers.wire import Wire

__all__ = ["CollectionFile", "WorkerLoop", "join"]

#: So many objects may be made while tests are collected before garbage is looked for.
_SELDOM = 50_000
#: How many properties a test was collected with.
_GIVEN = pytest.StashKey[int]()
#: So many of them tell its cell, which the controller knows.
_AXES = len(Cell(mesh="", dtype="", scale="").axes(""))


def join(config: pytest.Config, rundir: RunDir | None, wave: Wave | None) -> None:
    """Register the worker's parts; outside a run pytest and xdist are left alone."""
    if rundir is None or wave is None:
        return
    config.pluginmanager.register(CollectionFile(rundir.collection(wave.name)), "meshsweep-collection")
    if hasattr(config, "workerinput"):
        # Ten thousand items stay: to look for garbage among them is a fifth of the time that collecting takes.
        thresholds = gc.get_threshold()
        gc.set_threshold(_SELDOM, *thresholds[1:])
        # No worker outlives its controller, be it killed, or the worker deaf in native code.
        die_with(os.getppid())
        account = stacks.arm(rundir.stack(config.workerinput["workerid"]))
        config.pluginmanager.register(WorkerLoop(config, account, thresholds), "meshsweep-loop")


class CollectionFile:
    """Writes which test belongs to which cell, for the controller.

    xdist sends bare ids; a cell cannot be parsed from one, since scale names and other
    parameters may both contain dashes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    # Before xdist's own, which tells the controller that collection is done.
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write the file, whole or not at all; every worker would write the same."""
        if self._path.exists():
            return
        part = self._path.with_suffix(f".{os.getpid()}")
        tests = [[item.nodeid, cell_of(item)] for item in session.items]
        # Where the disk refuses, the controller finds nothing and says so.
        with suppress(OSError):
            part.write_text(json.dumps(tests), encoding="utf-8")
            part.replace(self._path)


class WorkerLoop:
    """Runs one test at a time as the controller sends them."""

    def __init__(self, config: pytest.Config, account: int | None, thresholds: tuple[int, ...]) -> None:
        self._account = account
        self._thresholds = thresholds
        # xdist sends its module as source, so the class is not the one that can be imported here.
        plugins = config.pluginmanager.get_plugins()
        self._xdist = next(plugin for plugin in plugins if type(plugin).__name__ == "WorkerInteractor")
        is_terse = config.workerinput["is_terse"]  # type: ignore[attr-defined]
        self._wire = Wire(config.workerinput["wire"], config.workerinput["workerid"])  # type: ignore[attr-defined]
        self._reporter = Reporter(config, self._xdist, self._wire, is_terse=is_terse)
        config.pluginmanager.register(self._reporter, "meshsweep-reporter")
        self._places: dict[int, tuple[str, int | None]] = {}

    def pytest_sessionstart(self) -> None:
        """Have the process write its stacks where they are looked for, should it die by itself."""
        if self._account is not None:
            # pytest, when configured, has it write to the error output, where nobody knows whose they are.
            faulthandler.enable(file=self._account)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of xdist's loop, until the controller says shutdown or has gone."""
        # What stands now stands for good: the collector need not look at ten thousand tests again and again.
        gc.freeze()
        gc.set_threshold(*self._thresholds)
        # All that xdist still sends is the command to shut down; the end marker says that the controller has gone.
        self._xdist.channel.setcallback(lambda _: self._wire.stop(), endmarker=None)
        last: pytest.Item | None = None
        index = self._wire.receive()
        while index is not None:
            item = session.items[index]
            # The last test was torn down to its parent: where that is shared, nothing is left to end.
            if last is not None and last.parent is not item.parent:
                self._leave(last, item)
            self._xdist.item_index = index
            last = item
            following = self._run(item, index)
            # After a failure it is the controller that stops, or has the test run again.
            if session.shouldstop:
                break
            index = self._wire.receive() if following is None else following
        if last is not None:
            self._leave(last, None)
        return True

    def _run(self, item: pytest.Item, index: int) -> int | None:
        # An attempt knows nothing of what an earlier one in this process has recorded and printed.
        del item.user_properties[item.stash.setdefault(_GIVEN, len(item.user_properties)) :]
        item._report_sections.clear()  # noqa: SLF001 - pytest runs an item once
        self._place(item)
        start = time.perf_counter()
        # The parent as "next item": fixtures of the function end, wider ones stay.
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=item.parent)
        axes = item.stash.get(AXES, None)
        known = slice(0) if axes is None else slice(axes, axes + _AXES)
        return self._reporter.complete(index, time.perf_counter() - start, known)

    def _place(self, item: pytest.Item) -> None:
        """Tell a case of a parametrized test where it stands: pytest would look for its file with every one anew."""
        if type(item) is not pytest.Function:
            return
        # Its cases keep a function alive; it may be any callable, and not hashable.
        function = id(item.function)
        place = self._places.get(function)
        if place is None:
            self._places[function] = item.location[:2]
        else:
            # Where pytest keeps what it has found itself.
            vars(item).setdefault("location", (*place, item.getmodpath()))

    @staticmethod
    def _leave(last: pytest.Item, following: pytest.Item | None) -> None:
        """End the wider fixtures that ``following`` does not share, reporting a failure to do so."""
        call = pytest.CallInfo.from_call(
            # No public way leads here: the hook cannot run twice for one item (logging deletes its records).
            lambda: last.session._setupstate.teardown_exact(following),  # noqa: SLF001
            when="teardown",
        )
        if call.excinfo is not None:
            report = last.ihook.pytest_runtest_makereport(item=last, call=call)
            last.ihook.pytest_runtest_logreport(report=report)
