"""Record outcomes and PCCs of tt-metal's tests as lines of JSON in the file that PORTED_RECORD names.

It lies in a folder of its own: on the path of a checkout's pytest, where ``tests`` is the checkout's.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

__all__ = ["pytest_collection_finish", "pytest_runtest_logreport", "pytest_runtest_setup"]

_running = [""]


def _write(**fields: object) -> None:
    with Path(os.environ["PORTED_RECORD"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"test": _running[0]} | fields) + "\n")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember which test runs."""
    _running[0] = item.nodeid


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Record how a test ended."""
    if report.when == "call" or not report.passed:
        reason = str(report.longrepr).strip().splitlines()[-1].removeprefix("E ").strip() if report.longrepr else ""
        _write(outcome=report.outcome, seconds=round(report.duration, 1), reason=reason)


def _recorded(measure: Callable[..., tuple[bool, object]]) -> Callable[..., tuple[bool, object]]:
    @functools.wraps(measure)
    def comp_pcc(golden: object, calculated: object, pcc: float | Sequence[float] = 0.99) -> tuple[bool, object]:
        passed, found = measure(golden, calculated, pcc)
        callers = [frame.function for frame in inspect.stack()[1:]]
        component = next((name for name in callers if name.startswith(("run_", "test_"))), callers[0])
        # Some of its thresholds are sequences of one.
        floor = pcc[0] if isinstance(pcc, (list, tuple)) else pcc
        _write(component=component, pcc=float(str(found)), floor=floor)
        return passed, found

    return comp_pcc


def pytest_collection_finish(session: pytest.Session) -> None:
    """Put the recording comparison where the tests have imported tt-metal's."""
    from models.common import utility_functions

    original = utility_functions.comp_pcc
    recording = _recorded(original)
    for module in list(sys.modules.values()):
        if getattr(module, "comp_pcc", None) is original:
            module.comp_pcc = recording
