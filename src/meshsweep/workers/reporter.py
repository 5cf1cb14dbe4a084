"""The worker's reports on their way to the controller: short where a test passed, whole where it did not."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from meshsweep.results.outcome import plain
from meshsweep.workers.message import Passed
from meshsweep.workers.wire import Wire

__all__ = ["HOOKS", "NOTHING", "Reporter"]

#: Stands in a worker's line for the test that it has begun by itself where there is none.
NOTHING = "-"

#: What is called for every test, which xdist forwards one by one.
HOOKS = ("pytest_runtest_logstart", "pytest_runtest_logreport", "pytest_runtest_logfinish")


class Reporter:
    """Holds the reports of a test back until it is known whether it passed.

    As soon as a phase did anything but pass, everything is sent as xdist would, so that nothing is lost to a crash
    that follows.
    """

    def __init__(self, config: pytest.Config, xdist: Any, wire: Wire, *, is_terse: bool) -> None:
        self._xdist = xdist
        self._wire = wire
        self._is_terse = is_terse
        self._held: list[pytest.TestReport] = []
        self._location: tuple[str, int | None, str] = ("", None, "")
        self._is_holding = False
        _mute(config, xdist, *HOOKS)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Keep pytest from showing each test, and a summary: it writes into /dev/null here.

        For the summary plugins import what they need: hypothesis all of itself, 0.15 s.
        """
        if terminal := session.config.pluginmanager.getplugin("terminalreporter"):
            _mute(session.config, terminal, *HOOKS, "pytest_sessionfinish")

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """Begin to hold back."""
        self._held = []
        self._location = location
        self._is_holding = self._is_terse
        if not self._is_holding:
            self._xdist.pytest_runtest_logstart(nodeid=nodeid, location=location)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hold a report of a passed phase; send any other, and all before it."""
        self._held.append(report)
        if not self._is_holding or not _is_plain(report):
            self._let_go(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """Send the end of a test that did not simply pass."""
        if self._is_holding and len(self._held) != 3:
            self._let_go(nodeid)
        if not self._is_holding:
            self._xdist.pytest_runtest_logfinish(nodeid=nodeid, location=location)

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self, report: object) -> Generator[None, Any, Any]:
        """Replace what execnet cannot send: it would end the whole run."""
        return plain((yield))

    def complete(self, index: int, duration_s: float, known: slice) -> int | None:
        """Tell the controller that a test has ended, with all that it did where it passed, but for what is ``known``.

        Returns the test that follows without being asked for; only one that passed is followed so.
        """
        if not self._is_holding:
            # The way that its reports have taken, so that they come first.
            self._xdist.sendevent("runtest_protocol_complete", item_index=index, duration=duration_s)
            return None
        self._is_holding = False
        following = self._wire.take()
        begun = NOTHING if following is None else following
        self._wire.send(f"{index} {begun} {Passed.of(self._held, known).encode()}")
        return following

    def _let_go(self, nodeid: str) -> None:
        held, self._held = self._held, []
        if self._is_holding:
            self._is_holding = False
            self._xdist.pytest_runtest_logstart(nodeid=nodeid, location=self._location)
        for report in held:
            self._xdist.pytest_runtest_logreport(report=report)


def _mute(config: pytest.Config, plugin: Any, *hooks: str) -> None:
    """Keep a plugin, but call some of its hooks no more."""
    for name in hooks:
        hook = getattr(config.hook, name)
        if any(implementation.plugin is plugin for implementation in hook.get_hookimpls()):
            # To unregister it and register a part of it again would have it told of earlier warnings twice.
            hook._remove_plugin(plugin)  # noqa: SLF001


def _is_plain(report: pytest.TestReport) -> bool:
    return type(report) is pytest.TestReport and report.passed and not hasattr(report, "wasxfail")
