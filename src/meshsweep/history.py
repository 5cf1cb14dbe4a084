"""How long each test took in earlier runs of this project."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median

from meshsweep.ledger import Result

__all__ = ["UNKNOWN_S", "History", "expected_s", "load", "remember"]

_KEPT = 5
#: What a test is taken to need where nothing at all is known: only the order depends on it.
UNKNOWN_S = 1.0

History = Mapping[str, list[float]]


def load(path: Path) -> dict[str, list[float]]:
    """Return the recorded seconds by test; empty where there is no readable record."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # History only sharpens the order: losing it must never stop a run.
        return {}
    return {test: times for test, times in data.items() if _is_times(times)} if isinstance(data, dict) else {}


def remember(path: Path, results: Iterable[Result]) -> None:
    """Add the seconds of passed tests, keeping the last few of each; a disk that refuses is left be."""
    history = load(path)
    for result in results:
        if result.outcome == "passed":
            kept = history.setdefault(_key(result.environment, result.test), [])
            history[_key(result.environment, result.test)] = [*kept, round(result.duration_s, 4)][-_KEPT:]
    part = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        part.write_text(json.dumps(history, indent=0), encoding="utf-8")
        part.replace(path)


def expected_s(history: History, environment: str, test: str) -> float | None:
    """Return the median of a test's recorded seconds, None where it never ran."""
    times = history.get(_key(environment, test))
    return median(times) if times else None


def _is_times(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(time, int | float) for time in value)


def _key(environment: str, test: str) -> str:
    return f"{environment}|{test}"
