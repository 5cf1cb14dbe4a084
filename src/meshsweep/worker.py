"""The worker's side of a run: one test in flight, and the collection written down once.

xdist 3.8's own loop starts a test only when it knows the next one, so a worker holds two.
Ours runs what it was given and tears down to the shared parents while it waits.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from meshsweep.expansion import cell_of
from meshsweep.outcome import plain
from meshsweep.plan import Wave
from meshsweep.rundir import RunDir

__all__ = ["CollectionFile", "PlainReports", "WorkerLoop", "join"]


def join(config: pytest.Config, rundir: RunDir | None, wave: Wave | None) -> None:
    """Register the worker's parts; outside a run pytest and xdist are left alone."""
    if rundir is None or wave is None:
        return
    config.pluginmanager.register(CollectionFile(rundir.collection(wave.name)), "meshsweep-collection")
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(PlainReports(), "meshsweep-reports")
        config.pluginmanager.register(WorkerLoop(config), "meshsweep-loop")


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
        part.write_text(json.dumps(tests), encoding="utf-8")
        part.replace(self._path)


class PlainReports:
    """Makes reports fit for the way to the controller.

    xdist ends the whole run when a test has recorded a tensor, or failed with half a
    surrogate pair in its message.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self, report: object) -> Generator[None, Any, Any]:
        """Replace what execnet cannot send."""
        return plain((yield))


class WorkerLoop:
    """Runs one test at a time as the controller sends them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of xdist's loop, until the controller says shutdown."""
        xdist = self._interactor()
        xdist.channel.setcallback(lambda command: _receive(xdist, command), endmarker=None)
        last: pytest.Item | None = None
        while isinstance(index := xdist.torun.get(), int):
            item = session.items[index]
            if last is not None:
                self._leave(last, item)
            xdist.item_index = index
            last = item
            self._run(xdist, item, index)
            if session.shouldfail or session.shouldstop:
                break
        if last is not None:
            self._leave(last, None)
        return True

    def _interactor(self) -> Any:
        # xdist sends its module as source, so the class is not the one that can be imported here.
        plugins = self._config.pluginmanager.get_plugins()
        return next(plugin for plugin in plugins if type(plugin).__name__ == "WorkerInteractor")

    @staticmethod
    def _run(xdist: Any, item: pytest.Item, index: int) -> None:
        start = time.perf_counter()
        # The parent as "next item": fixtures of the function end, wider ones stay.
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=item.parent)
        xdist.sendevent("runtest_protocol_complete", item_index=index, duration=time.perf_counter() - start)

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


def _receive(xdist: Any, command: Any) -> None:
    if command is None:
        # The controller has gone: whatever is no index ends the loop.
        xdist.torun.put(None)
    else:
        xdist.handle_command(command)
