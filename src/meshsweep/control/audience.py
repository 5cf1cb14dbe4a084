"""Tell pytest of tests that passed, for whom nobody but the last line of its summary asks."""

from __future__ import annotations

from typing import Any

import pytest

from meshsweep.workers.message import Passed
from meshsweep.workers.reporter import HOOKS

__all__ = ["Audience", "needs_all"]

#: What of pytest's own does nothing for a test that passed, or is done by ``Audience``.
_CONTENT = {"LFPlugin", "LoggingPlugin", "NFPlugin", "Session", "TerminalReporter"}


def needs_all(config: pytest.Config) -> bool:
    """Return whether something in this process wants to see every report of every test."""
    option = config.option
    # xdist's options are not there where it is switched off, nor others where their plugin is.
    asked = (
        option.verbose > 0
        or getattr(option, "durations", None) is not None
        or set(getattr(option, "reportchars", "")) & set("pPA")
    )
    return bool(asked) or any(_is_curious(plugin) for plugin in _listeners(config))


class Audience:
    """Counts tests that passed, for pytest's last line and for --lf."""

    def __init__(self, config: pytest.Config) -> None:
        terminal = config.pluginmanager.getplugin("terminalreporter")
        self._failed: Any = config.pluginmanager.getplugin("lfplugin")
        self._stats: dict[str, list[object]] = terminal.stats if terminal is not None else {}
        self._first: pytest.TestReport | None = None

    def passed(self, test: str, passed: Passed) -> None:
        """Take in a test that passed."""
        # Only how many there are is looked at: the first stands for all.
        self._first = self._first or passed.report(test)
        self._stats.setdefault("passed", []).append(self._first)
        if self._failed is not None and self._failed.lastfailed:
            self._failed.pytest_runtest_logreport(report=passed.report(test))


def _listeners(config: pytest.Config) -> list[Any]:
    callers = [getattr(config.hook, hook) for hook in HOOKS]
    return [implementation.plugin for caller in callers for implementation in caller.get_hookimpls()]


def _is_curious(plugin: Any) -> bool:
    is_module = isinstance(plugin, type(pytest))
    module = plugin.__name__ if is_module else type(plugin).__module__
    package = module.partition(".")[0]
    if package in ("meshsweep", "xdist"):
        return False
    return package != "_pytest" or not (is_module or type(plugin).__name__ in _CONTENT)
