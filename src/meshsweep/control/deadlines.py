"""Give every test a deadline from its history: seconds after which it is taken to hang.

Only arithmetic: ``meshsweep.control.watchdog`` enforces what is decided here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil
from statistics import median

from meshsweep.results.history import History, times_of
from meshsweep.toml import Table

__all__ = ["Deadline", "Deadlines", "percentile", "read"]

#: From this many passed tests on the host's own speed is known.
_ENOUGH = 5

#: How many of the last passed tests tell the speed of the host.
_RECENT = 50

#: Only tests that take longer than this tell it, in seconds.
_TELLING_S = 0.01

#: A host that seems slower than this has another trouble.
_SLOWEST = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """How an environment turns history into deadlines, in seconds.

    A deadline is ``factor`` times the 95th percentile, at least ``floor_s`` and at most ``cap_s``; ``unknown_s``
    for a test that never passed here; and ``open_s`` more where the test has to open its mesh first. A worker gets
    ``start_s`` to import and collect, and ``end_s`` to close what it has open.
    """

    factor: float = 5.0
    floor_s: float = 60.0
    cap_s: float = 3600.0
    unknown_s: float = 1800.0
    open_s: float = 120.0
    start_s: float = 600.0
    end_s: float = 300.0


def read(table: Table) -> Deadline:
    """Return the table ``deadline`` of an environment; mistakes are noted at the table."""
    default = Deadline()
    day_s = 86_400.0
    found = Deadline(
        factor=table.number("factor", default.factor, low=1, high=1000) or default.factor,
        **{
            name: table.number(name, getattr(default, name), low=0.1, high=day_s) or getattr(default, name)
            for name in ("floor_s", "cap_s", "unknown_s", "open_s", "start_s", "end_s")
        },
    )
    if found.floor_s > found.cap_s:
        table.mistake("floor_s", f"is {found.floor_s:g}; expected at most cap_s, {found.cap_s:g}")
    table.close()
    return found


class Deadlines:
    """The deadlines of one run: from history, and from how fast this host proves to be."""

    def __init__(self, history: History, environment: str, deadline: Deadline) -> None:
        self._history = history
        self._environment = environment
        self._deadline = deadline
        self._ratios: deque[float] = deque(maxlen=_RECENT)

    @property
    def slowness(self) -> float:
        """How many times longer than in history the tests of this run take, at least 1."""
        if len(self._ratios) < _ENOUGH:
            return 1.0
        return min(max(median(self._ratios), 1.0), _SLOWEST)

    def of(self, test: str, *, opens: bool) -> float:
        """Return the seconds that a test may take; ``opens`` where it may have to open its mesh first."""
        limit = self._deadline
        times = times_of(self._history, self._environment, test)
        asked = limit.factor * percentile(times, 0.95) if times else limit.unknown_s
        highest = limit.cap_s if times else max(limit.cap_s, limit.unknown_s)
        bounded = min(max(asked * self.slowness, limit.floor_s), highest)
        return bounded + (limit.open_s if opens else 0.0)

    def observe(self, test: str, duration_s: float) -> None:
        """Take in how long a passed test took: a host slower than history gets longer deadlines."""
        times = times_of(self._history, self._environment, test)
        # A test of a few milliseconds says more of the clock than of the host.
        if times and max(times) > _TELLING_S and (usual := median(times)) > _TELLING_S:
            self._ratios.append(duration_s / usual)


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of the values do not exceed."""
    return sorted(values)[max(ceil(share * len(values)) - 1, 0)]
