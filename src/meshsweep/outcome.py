"""Turn pytest's reports of one test into one outcome, with its message and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

__all__ = ["Phases"]

#: Longest failure text kept in the log; JUnit keeps it whole.
_TEXT_BYTES = 16_384


@dataclass(slots=True, kw_only=True)
class Phases:
    """The reports of one test so far, and what they add up to."""

    test: str
    worker: str
    outcome: str = "passed"
    duration_s: float = 0.0
    message: str = ""
    text: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    is_late: bool = False

    def add(self, report: pytest.TestReport) -> None:
        """Take in the report of a phase; the worst phase decides."""
        self.duration_s += report.duration
        self.properties.update(report.user_properties)
        if hasattr(report, "wasxfail"):
            self.outcome = "xfailed" if report.skipped else "failed"
            self.message = report.wasxfail or "xfail"
        elif report.failed:
            self.outcome = "failed"
            self.message = _message(report)
            self.text = report.longreprtext[-_TEXT_BYTES:]
        elif report.skipped and self.outcome == "passed":
            self.outcome = "skipped"
            self.message = _skip_reason(report)

    def crash(self, message: str) -> None:
        """Note that the worker died in this test."""
        self.outcome = "crashed"
        self.message = message

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the event ``reported``."""
        return {
            "test": self.test,
            "worker": self.worker,
            "outcome": self.outcome,
            "duration_s": round(self.duration_s, 6),
            "message": self.message,
            "text": self.text,
            "properties": self.properties,
        }


def _message(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    line = text.strip().splitlines()[0] if text.strip() else "failed"
    prefix = "" if report.when == "call" else f"{report.when}: "
    return prefix + line.removeprefix("AssertionError: ")


def _skip_reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)
