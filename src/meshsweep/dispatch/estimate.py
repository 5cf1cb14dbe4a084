"""What a test is taken to need where it has no history: the middle of its cell, its mesh, or of all."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from meshsweep.dispatch.action import Task

__all__ = ["UNKNOWN_S", "Estimate"]

#: What a test is taken to need where nothing at all is known: only the order depends on it.
UNKNOWN_S = 1.0


class Estimate:
    """Expected seconds of tests; what ended tests of a cell took corrects those without a history."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        known: dict[tuple[str, str], list[float]] = {}
        for task in tasks:
            if task.expected_s is not None:
                for key in (("cell", task.group), ("mesh", task.mesh), ("all", "")):
                    known.setdefault(key, []).append(task.expected_s)
        self._middle = {key: median(times) for key, times in known.items()}
        self._seen: dict[tuple[str, str], tuple[int, float]] = {}

    def of(self, task: Task) -> float:
        """Return the seconds that a test is taken to need."""
        if task.expected_s is not None:
            return task.expected_s
        for key in (("cell", task.group), ("mesh", task.mesh), ("all", "")):
            # What was seen in this run counts before what the neighbours once took.
            if key in self._seen:
                number, total = self._seen[key]
                return total / number
            if key in self._middle:
                return self._middle[key]
        return UNKNOWN_S

    def learn(self, task: Task, seconds: float) -> int:
        """Take in what a test of unknown length took, and return how many of its cell have been seen."""
        for key in (("cell", task.group), ("mesh", task.mesh), ("all", "")):
            number, total = self._seen.get(key, (0, 0.0))
            # The mean, and not the middle: sums are what estimates are for.
            self._seen[key] = number + 1, total + seconds
        return self._seen["cell", task.group][0]
