"""What a worker sends of a test that passed: one short text in place of six messages and three reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from meshsweep.results.outcome import plain

__all__ = ["Passed"]

# Once: json.dumps makes an encoder each time that it is asked for anything of its own.
_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A test whose setup, call and teardown passed: their seconds together, and what it recorded."""

    duration_s: float
    properties: Sequence[tuple[str, Any]]

    @classmethod
    def of(cls, reports: Sequence[pytest.TestReport], known: slice = slice(0)) -> Passed:
        """Return what three reports add up to; the last one holds all that was recorded.

        ``known`` are the properties that follow from the test's cell, and are left out.
        """
        properties = list(reports[-1].user_properties)
        del properties[known]
        return cls(duration_s=sum(report.duration for report in reports), properties=properties)

    def encode(self) -> str:
        """Return the message."""
        # Most tests record nothing: a number is written as JSON has it.
        return _encode([self.duration_s, plain(self.properties)]) if self.properties else f"[{self.duration_s!r},[]]"

    @classmethod
    def decode(cls, text: str) -> Passed:
        """Return what ``encode`` wrote."""
        duration_s, properties = json.loads(text)
        return cls(duration_s=duration_s, properties=properties)

    def report(self, test: str) -> pytest.TestReport:
        """Return a report that stands for all three."""
        return pytest.TestReport(
            nodeid=test,
            location=("", None, test),
            keywords={},
            outcome="passed",
            longrepr=None,
            when="call",
            duration=self.duration_s,
            user_properties=self.properties,
        )
