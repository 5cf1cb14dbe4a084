"""Turn pytest's reports of one test into one outcome, with its message and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

__all__ = ["INFRA", "Phases", "plain"]

#: The property with which the setup of a test says that not the test, but its devices failed.
INFRA = "infra"

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
            self.outcome = "infra" if INFRA in self.properties else "failed"
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
        fields: dict[str, Any] = plain(
            {
                "test": self.test,
                "worker": self.worker,
                "outcome": self.outcome,
                "duration_s": round(self.duration_s, 6),
                "message": self.message,
                "text": self.text,
                "properties": self.properties,
            }
        )
        return fields


def plain(value: Any) -> Any:
    """Return a value made of plain types: numbers of numpy and torch as float, text as valid UTF-8."""
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [plain(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return plain(str(value))


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
