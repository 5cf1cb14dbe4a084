"""Turn pytest's reports of one test into one outcome, with its message and numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from meshsweep.control.stacks import Crash, Hang
from meshsweep.numerics.measure import MEASURES, worst

__all__ = ["INFRA", "Phases", "plain"]

#: The property with which the setup of a test says that not the test, but its devices failed.
INFRA = "infra"

#: Longest failure text, and longest captured output, kept in the log: the ends of both tell most.
_TEXT_BYTES = 16_384

#: What xdist puts in front of a failure; the worker has a field of its own, and a run that is resumed has others.
_WORKER = re.compile(r"^\[gw\d+\] .*\n+")


@dataclass(slots=True, kw_only=True)
class Phases:
    """The reports of one test so far, and what they add up to."""

    test: str
    worker: str
    outcome: str = "passed"
    duration_s: float = 0.0
    message: str = ""
    text: str = ""
    out: str = ""
    err: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    is_late: bool = False
    seen: str = ""

    def add(self, report: pytest.TestReport) -> None:
        """Take in the report of a phase; the worst phase decides."""
        self.duration_s += report.duration
        for name, value in report.user_properties:
            self.properties[name] = _worst(name, self.properties.get(name), value)
        # Nobody expects a test to fail for want of a mesh, so no xfail explains that.
        is_infra = INFRA in self.properties
        if hasattr(report, "wasxfail") and not is_infra:
            self.outcome = "xfailed" if report.skipped else "failed"
            self.message = report.wasxfail or "xfail"
        elif report.failed or hasattr(report, "wasxfail"):
            # A teardown often fails because the test did: the test's own words stay in front.
            self.message = "; ".join([self.message] * (self.outcome == "failed") + [_message(report)])
            self.outcome = INFRA if is_infra else "failed"
            self.text = f"{self.text}\n{_WORKER.sub('', report.longreprtext)}".strip()[-_TEXT_BYTES:]
            # The sections of a report hold what all phases up to it have printed.
            self.out = _printed(report, "log", "stdout")
            self.err = _printed(report, "stderr")
        elif report.skipped and self.outcome == "passed":
            self.outcome = "skipped"
            self.message = _skip_reason(report)

    def crash(self, crash: Crash) -> None:
        """Note that the worker died in this test."""
        self.outcome = "crashed"
        self.message = f"worker {self.worker} {crash.how} while running this test"
        self.text = crash.stack[-_TEXT_BYTES:]

    def hang(self, hang: Hang) -> None:
        """Note that the worker was killed at the deadline of this test."""
        self.outcome = "hang"
        self.duration_s = hang.after_s
        self.message = str(hang)
        self.text = hang.stack[-_TEXT_BYTES:]
        self.out, self.err = hang.out[-_TEXT_BYTES:], hang.err[-_TEXT_BYTES:]
        self.properties["failure_type"] = "hang"

    def settle(self, outcome: str) -> None:
        """Take the outcome that was decided on; what it was before stays in the message."""
        if outcome != self.outcome:
            self.message = f"{self.outcome} on a slot that had just been spoiled: {self.message}"
            self.seen, self.outcome = self.outcome, outcome

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the event ``reported``."""
        more = {name: text for name, text in (("out", self.out), ("err", self.err), ("seen", self.seen)) if text}
        fields: dict[str, Any] = plain(
            {
                "test": self.test,
                "worker": self.worker,
                "outcome": self.outcome,
                "duration_s": round(self.duration_s, 6),
                "message": self.message,
                "text": self.text,
                "properties": self.properties,
                **more,
            }
        )
        return fields


def _worst(name: str, before: Any, value: Any) -> Any:
    """Return the value that stands where a test has recorded a name more than once: the worst one."""
    numbers = isinstance(before, int | float) and isinstance(value, int | float)
    measure = MEASURES.get(name.partition(".")[0])
    return worst(measure, (before, value)) if numbers and measure else value


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
    # What pytest says of a missing fixture opens with the test's file; the error is marked.
    lines = (crash.message if crash is not None else str(report.longrepr)).strip().splitlines()
    marked = [line[1:].strip() for line in lines if crash is None and line.startswith("E ")]
    prefix = "" if report.when == "call" else f"{report.when}: "
    return prefix + (marked or lines or ["failed"])[0].removeprefix("AssertionError: ")


def _printed(report: pytest.TestReport, *kinds: str) -> str:
    """Return the end of what a test has printed or logged, kind after kind."""
    found = [text for kind in kinds for title, text in report.sections if title.startswith(f"Captured {kind}")]
    return "\n".join(found)[-_TEXT_BYTES:]


def _skip_reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)
