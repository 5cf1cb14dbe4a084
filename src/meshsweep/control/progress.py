"""Show a run while it goes: one status line in a terminal, a line per finished cell in a log."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import pytest

from meshsweep.results.ledger import BAD, short_name
from meshsweep.results.outcome import Phases
from meshsweep.words import count

__all__ = ["Progress"]

#: A log gets a sign of life at least this often, as long as tests end.
_QUIET_S = 30.0

#: The status line is drawn at most this often: a terminal may be slow.
_SHOWN_S = 0.02

#: A result is shown by itself where nothing was for so long.
_IDLE_S = 0.5


class Progress:
    """Counts results by cell and prints the little that is worth reading."""

    def __init__(self, config: pytest.Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._cells: Mapping[str, str] = {}
        self._left: Counter[str] = Counter()
        self._seen: dict[str, Counter[str]] = {}
        self._busy: dict[str, float] = {}
        self._running: dict[str, str] = {}
        self._done = 0
        self._printed = clock()
        self._shown = -_SHOWN_S

    # Asked for with every test, and settled once pytest is configured.

    @cached_property
    def _terminal(self) -> Any:
        return self._config.pluginmanager.getplugin("terminalreporter")

    @cached_property
    def _is_quiet(self) -> bool:
        # With -v pytest names every test itself.
        return self._terminal is not None and self._config.option.verbose == 0

    @cached_property
    def _is_live(self) -> bool:
        return self._is_quiet and bool(self._terminal.isatty)

    def begin(self, cells: Mapping[str, str]) -> None:
        """Take in the planned tests and their cells."""
        self._cells = cells
        self._left = Counter(cells.values())
        self._line(f"meshsweep: {count(len(cells), 'test')} in {count(len(self._left), 'cell')}")

    def started(self, test: str, worker: str) -> None:
        """Note what a worker is doing."""
        self._running[worker] = test
        self._status()

    def finished(self, phases: Phases) -> None:
        """Count a result, print it if it is bad, and print its cell if that was the last.

        A teardown that failed late is printed only: its test has been counted.
        """
        if phases.is_late:
            self._line(f"FAILED {phases.test}: {phases.message}")
            return
        self._running.pop(phases.worker, None)
        cell = self._cells.get(phases.test, "")
        counts = self._seen.setdefault(cell, Counter())
        counts[phases.outcome] += 1
        self._busy[cell] = self._busy.get(cell, 0.0) + phases.duration_s
        self._left[cell] -= 1
        self._done += 1
        if phases.outcome in BAD:
            self._line(f"{phases.outcome.upper()} {phases.test}: {phases.message}")
        if self._left[cell] == 0:
            self._line(f"{self._count()}  {cell}  {_words(counts)}  {self._busy[cell]:.1f} s")
        elif self._clock() - self._printed > _QUIET_S and not self._is_live:
            self._line(f"{self._count()}  so far")
        # The next test mostly starts at once, and is shown along with this result.
        if self._done == len(self._cells) or self._clock() - self._shown >= _IDLE_S:
            self._status()

    def tell(self, text: str) -> None:
        """Print what the user should know of the run."""
        self._line(f"meshsweep: {text}")
        self._status()

    def end(self) -> None:
        """Clear the status line."""
        if self._is_live:
            self._terminal.rewrite("", erase=True)
            self._terminal.write("\r")

    def quiet_status(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Return pytest's category for a report without its letter, or None to leave it be."""
        if not self._is_quiet:
            return None
        return _category(report), "", ""

    def _count(self) -> str:
        total = len(self._cells)
        return f"{self._done:>{len(str(total))}}/{total}"

    def _line(self, text: str) -> None:
        if self._is_live:
            # Over the status line: behind an erased one the cursor stands at the right edge.
            self._terminal.rewrite(text, erase=True)
            self._terminal.write("\n")
        elif self._is_quiet:
            self._terminal.write_line(text)
        self._printed = self._clock()

    def _status(self) -> None:
        if not self._is_live or (self._clock() - self._shown < _SHOWN_S and self._done < len(self._cells)):
            return
        self._shown = self._clock()
        total = Counter[str]()
        for counts in self._seen.values():
            total.update(counts)
        doing = ", ".join(sorted({short_name(test) for test in self._running.values()}))
        width = shutil.get_terminal_size().columns - 1
        self._terminal.rewrite(f"{self._count()}  {_words(total)}  {doing}"[:width], erase=True)


def _category(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed:
        return "error" if report.when in ("setup", "teardown") else "failed"
    if report.skipped:
        return "skipped"
    return "passed" if report.when == "call" else ""


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
