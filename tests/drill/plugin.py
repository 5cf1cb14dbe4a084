"""Put a fault into the code while pytest runs: ``python -m pytest -p tests.drill.plugin --fault NAME ...``.

The tests then fail as they would with the defect in the code, or they do not and the fault survives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.drill.fault import Fault, UnknownFaultError, find
from tests.drill.verdict import Failure, Result

NONE = "none"
# Weights on disk outlive a run: a fault would leave its tensors in the cache, or never meet those of its cell.
_FROM_DISK = ("GPT_DIR", "TT_CACHE_PATH")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("drill", "faults in the code")
    group.addoption(
        "--fault", metavar="NAME", help="run the tests with this fault of tests/drill/catalogue in the code"
    )
    group.addoption("--fault-report", metavar="FILE", help="write what became of the fault; set by `tests.drill`")


# Last, so that meshsweep has decided which library `ttnn` is before a fault imports the model.
@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    name, report = config.getoption("--fault"), config.getoption("--fault-report")
    if not name and not report:
        return
    _forget_disk()
    _be_brief()
    from tests.drill.catalogue import FAULTS

    try:
        fault = find(FAULTS, name) if name else None
    except UnknownFaultError as error:
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(_Drill(fault, Path(report) if report else None), "drill")


def _forget_disk() -> None:
    """Let this process make its weights up, and keep none of what it makes of them."""
    for variable in _FROM_DISK:
        os.environ.pop(variable, None)


def _be_brief() -> None:
    """Let hypothesis stop at its first counterexample, always the same, instead of looking for the smallest."""
    try:
        from hypothesis import Phase, settings
    except ImportError:
        return
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("drill", phases=phases, deadline=None, database=None, derandomize=True)
    settings.load_profile("drill")


class _Drill:
    """Holds the fault in the code while tests run, and notes how they fail."""

    def __init__(self, fault: Fault | None, report: Path | None) -> None:
        self.fault = fault
        self.report = report
        self.calls = 0
        self.passed = 0
        self.failures: list[Failure] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Iterator[Any]:
        """Inject after the tests are imported: what they took by name stays whole."""
        if self.fault is None:
            return (yield)
        with self.fault.injected() as patch:
            try:
                return (yield)
            finally:
                self.calls = patch.calls

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
        """Keep the error itself: a report holds its text only."""
        report = yield
        if report.failed and call.excinfo is not None:
            self.failures.append(Failure.of(getattr(item, "originalname", item.name), call.excinfo.value))
        elif report.passed and call.when == "call":
            self.passed += 1
        return report

    @property
    def result(self) -> Result:
        """What can be said so far."""
        name = self.fault.name if self.fault else NONE
        return Result(fault=name, calls=self.calls, passed=self.passed, failures=tuple(self.failures))

    def pytest_sessionfinish(self) -> None:
        """Write the result for the runner."""
        if self.report is not None:
            self.report.write_text(json.dumps(asdict(self.result)), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say in one line what became of the fault."""
        if self.fault is not None:
            result = self.result
            tests = f" by {len(result.catches)} tests" if result.catches else ""
            text = ": ".join(filter(None, [f"fault {self.fault.name} {result.verdict}{tests}", result.why()]))
            terminalreporter.write_line(text)
