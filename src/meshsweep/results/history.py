"""How long each test took in earlier runs of this project."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

from meshsweep.results.ledger import Result

try:
    import fcntl
except ImportError:  # Windows: two runs that end at the same moment may forget each other's times there
    fcntl = None  # type: ignore[assignment]

__all__ = ["UNKNOWN_S", "History", "expected_s", "load", "remember", "times_of"]

#: As many as a 95th percentile needs to be more than the longest.
_KEPT = 20
#: The order of tests follows the last few: a test that has become slower is known soon.
_RECENT = 5
#: What a test is taken to need where nothing at all is known: only the order depends on it.
UNKNOWN_S = 1.0

History = Mapping[str, list[float]]


def load(path: Path) -> dict[str, list[float]]:
    """Return the recorded seconds by test; empty where there is no readable record."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # History only sharpens order and deadlines: losing it must never stop a run.
        return {}
    return {test: times for test, times in data.items() if _is_times(times)} if isinstance(data, dict) else {}


def remember(path: Path, results: Iterable[Result]) -> None:
    """Add the seconds of passed tests, keeping the last 20 of each; a disk that refuses is left be.

    Opening a mesh is not counted: it happens to whichever test comes first. Two runs that end at once wait
    for each other.
    """
    passed = [result for result in results if result.outcome in ("passed", "flaky")]
    with suppress(OSError), _locked(path):
        history = load(path)
        for result in passed:
            key = _key(result.environment, result.test)
            history[key] = [*history.get(key, []), round(_own_s(result), 4)][-_KEPT:]
        part = path.with_suffix(f".{os.getpid()}")
        # A line per test; json's own indentation is many times slower. In a name the quote would be escaped.
        text = json.dumps(history).replace('], "', '],\n"')
        part.write_text(f"{text}\n", encoding="utf-8")
        part.replace(path)


def _own_s(result: Result) -> float:
    opened = result.properties.get("mesh_open_s", 0.0)
    return max(result.duration_s - (opened if isinstance(opened, int | float) else 0.0), 0.0)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The file itself is replaced, so the lock needs one that stays.
    with path.with_suffix(".lock").open("a") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def expected_s(history: History, environment: str, test: str) -> float | None:
    """Return the median of a test's last few recorded seconds, None where it never ran."""
    times = times_of(history, environment, test)[-_RECENT:]
    return median(times) if times else None


def times_of(history: History, environment: str, test: str) -> list[float]:
    """Return a test's recorded seconds, oldest first."""
    return history.get(_key(environment, test), [])


def _is_times(value: object) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= {int, float}


def _key(environment: str, test: str) -> str:
    return f"{environment}|{test}"
