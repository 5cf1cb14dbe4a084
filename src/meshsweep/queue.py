"""Decide which test a free slot runs next: longest cell first, one cell kept together.

A pure decision: what has been taken is passed back in by the scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Queue", "Task", "makespan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A test that waits: its index in the collection, its cell, its expected time."""

    index: int
    group: str
    expected_s: float


class Queue:
    """Waiting tests by group; ``take`` hands a slot its next one."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._waiting: dict[str, list[Task]] = {}
        for task in sorted(tasks, key=lambda task: (task.expected_s, -task.index)):
            self._waiting.setdefault(task.group, []).append(task)
        self._load = {group: sum(t.expected_s for t in tasks) for group, tasks in self._waiting.items()}
        self._holder: dict[str, str] = {}

    def __len__(self) -> int:
        return sum(len(tasks) for tasks in self._waiting.values())

    def take(self, slot: str) -> Task | None:
        """Return the next test for a slot, or None where none waits.

        A slot keeps its group; then it takes the heaviest group that no other slot
        works on; then it helps with the heaviest one.
        """
        group = self._group_for(slot)
        if group is None:
            return None
        self._holder[slot] = group
        task = self._waiting[group].pop()
        self._load[group] -= task.expected_s
        if not self._waiting[group]:
            del self._waiting[group]
        return task

    def release(self, slot: str) -> None:
        """Forget a slot's group, after its worker has gone."""
        self._holder.pop(slot, None)

    def _group_for(self, slot: str) -> str | None:
        own = self._holder.get(slot)
        if own in self._waiting:
            return own
        others = {group for holder, group in self._holder.items() if holder != slot}
        free = [group for group in self._waiting if group not in others]
        return max(free or self._waiting, key=lambda group: (self._load[group], group), default=None)


def makespan(tasks: Sequence[Task], slots: int) -> float:
    """Return the expected seconds until the last of ``slots`` workers is done."""
    queue = Queue(tasks)
    times = {str(number): 0.0 for number in range(slots)}
    while len(queue):
        slot = min(times, key=lambda name: times[name])
        task = queue.take(slot)
        assert task is not None
        times[slot] += task.expected_s
    return max(times.values())
