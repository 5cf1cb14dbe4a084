"""What is shown while a run goes on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from meshsweep.control.progress import Progress
from meshsweep.results.outcome import Phases

from .test_outcome import phase


class Terminal:
    """pytest's terminal reporter, as far as it is used: lines, and a line that is rewritten."""

    def __init__(self, *, isatty: bool) -> None:
        self.isatty = isatty
        self.lines: list[str] = []
        self.status: list[str] = []

    def write_line(self, text: str) -> None:
        self.lines.append(text)

    def write(self, text: str) -> None:
        if text == "\n":
            self.lines.append(self.status.pop())

    def rewrite(self, text: str, *, erase: bool) -> None:
        assert erase
        self.status.append(text)


class Bench:
    """A progress display over a fake terminal, with a clock set by hand."""

    def __init__(self, *, isatty: bool = False, verbose: int = 0) -> None:
        self.terminal = Terminal(isatty=isatty)
        self.now = 0.0
        config: Any = SimpleNamespace(
            pluginmanager=SimpleNamespace(getplugin=lambda name: self.terminal),
            option=SimpleNamespace(verbose=verbose),
        )
        self.progress = Progress(config, clock=lambda: self.now)

    def finish(self, test: str, outcome: str = "passed", message: str = "", *, is_late: bool = False) -> None:
        """Report a test of half a second on the worker gw0."""
        fields: dict[str, Any] = {"outcome": outcome, "message": message, "duration_s": 0.5, "is_late": is_late}
        self.progress.finished(Phases(test=test, worker="gw0", **fields))


def test_log_has_line_per_finished_cell() -> None:
    bench = Bench()
    bench.progress.begin({"a": "x", "b": "x", "c": "y"})
    for test in "abc":
        bench.finish(test)
    bench.progress.end()

    assert bench.terminal.lines == [
        "meshsweep: 3 tests in 2 cells",
        "2/3  x  2 passed  1.0 s",
        "3/3  y  1 passed  0.5 s",
    ]
    assert bench.terminal.status == []


@pytest.mark.parametrize("outcome", ["failed", "crashed", "infra"])
def test_bad_result_is_shown_at_once(outcome: str) -> None:
    bench = Bench()
    bench.progress.begin({"a": "x", "b": "x"})
    bench.finish("a", outcome, "boom")

    assert bench.terminal.lines[1:] == [f"{outcome.upper()} a: boom"]


def test_late_teardown_is_counted_once() -> None:
    bench = Bench()
    bench.progress.begin({"a": "x", "b": "y"})
    bench.finish("a")
    bench.finish("a", "failed", "teardown: stuck", is_late=True)
    bench.finish("b")

    assert bench.terminal.lines[1:] == [
        "1/2  x  1 passed  0.5 s",
        "FAILED a: teardown: stuck",
        "2/2  y  1 passed  0.5 s",
    ]


def test_log_shows_life_after_silence() -> None:
    bench = Bench()
    bench.progress.begin(dict.fromkeys("abcd", "x"))
    for test, now in (("a", 29.0), ("b", 31.0), ("c", 32.0)):
        bench.now = now
        bench.finish(test)

    assert bench.terminal.lines[1:] == ["2/4  so far"]


def test_terminal_has_one_status_line() -> None:
    bench = Bench(isatty=True)
    bench.progress.begin({"f.py::a[x]": "x", "f.py::b[x]": "x"})
    bench.progress.started("f.py::a[x]", "gw0")
    bench.now += 1
    bench.progress.started("f.py::b[x]", "gw1")
    bench.now += 1
    bench.finish("f.py::a[x]")
    bench.progress.started("f.py::c[x]", "gw0")  # at once: a terminal may be slow
    bench.progress.end()

    assert bench.terminal.lines == ["meshsweep: 2 tests in 1 cell"]
    assert bench.terminal.status == ["0/2    a", "0/2    a, b", "1/2  1 passed  b", ""]


def test_status_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    bench = Bench(isatty=True)
    bench.progress.begin({"f.py::" + "long" * 20: "x"})
    bench.progress.started("f.py::" + "long" * 20, "gw0")

    assert len(bench.terminal.status[-1]) == 19


@pytest.mark.parametrize("verbose", [1, -1])
def test_verbose_and_quiet_are_left_to_pytest(verbose: int) -> None:
    bench = Bench(verbose=verbose)
    bench.progress.begin({"a": "x"})
    bench.finish("a", "failed")

    assert bench.terminal.lines == []
    assert bench.progress.quiet_status(phase("call")) is None


@pytest.mark.parametrize(
    ("report", "category"),
    [
        (phase("call"), "passed"),
        (phase("setup"), ""),
        (phase("teardown"), ""),
        (phase("call", "failed"), "failed"),
        (phase("setup", "failed"), "error"),
        (phase("teardown", "failed"), "error"),
        (phase("setup", "skipped"), "skipped"),
        (phase("call", "skipped", wasxfail="x"), "xfailed"),
        (phase("call", "passed", wasxfail="x"), "xpassed"),
    ],
)
def test_reports_keep_categories_without_letters(report: pytest.TestReport, category: str) -> None:
    assert Bench().progress.quiet_status(report) == (category, "", "")


def test_no_terminal_means_no_display() -> None:
    config: Any = SimpleNamespace(
        pluginmanager=SimpleNamespace(getplugin=lambda name: None), option=SimpleNamespace(verbose=0)
    )
    progress = Progress(config)
    progress.begin({"a": "x"})
    progress.started("a", "gw0")
    progress.end()

    assert progress.quiet_status(phase("call")) is None
