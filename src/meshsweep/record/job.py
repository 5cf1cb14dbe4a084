"""Keep what a run was asked for besides its plan, so that it can be resumed as it began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshsweep import quarantine
from meshsweep.quarantine import Entry

__all__ = ["Job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Where a run takes place, what it runs, and how its results are judged.

    ``arguments`` go to pytest; ``today`` is the day, such as 2026-01-31, by which quarantine is judged.
    """

    root: Path
    matrix: Path
    suite: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    reruns: int = 0
    strict_flaky: bool = False
    quarantine: tuple[Entry, ...] = ()
    today: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the fields of the event ``run-started`` that ``from_json`` reads."""
        return {
            "root": str(self.root),
            "matrix": str(self.matrix),
            "suite": list(self.suite),
            "arguments": list(self.arguments),
            "reruns": self.reruns,
            "strict_flaky": self.strict_flaky,
            "quarantine": quarantine.to_json(self.quarantine),
            "today": self.today,
        }

    @classmethod
    def from_json(cls, event: Mapping[str, Any]) -> Job:
        """Return the job of an event ``run-started``."""
        return cls(
            root=Path(event["root"]),
            matrix=Path(event["matrix"]),
            suite=tuple(event["suite"]),
            arguments=tuple(event["arguments"]),
            reruns=event["reruns"],
            strict_flaky=event["strict_flaky"],
            quarantine=quarantine.from_json(event["quarantine"]),
            today=event["today"],
        )
