"""Waiting tests that may run in the same slots, by cell, the longest of each cell first."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Collection, Iterator

from meshsweep.dispatch.action import Task

__all__ = ["Block", "Waiting"]


class Waiting:
    """A waiting test, the seconds that it is taken to need, and the chips that it should not run on."""

    __slots__ = ("avoid", "expected_s", "task")

    def __init__(self, task: Task, expected_s: float, avoid: int = 0) -> None:
        self.task = task
        self.expected_s = expected_s
        self.avoid = avoid

    def __lt__(self, other: Waiting) -> bool:
        return self.key() < other.key()

    def key(self) -> tuple[float, int]:
        """Return what tests of a cell are ordered by, the first to run last."""
        return self.expected_s, -self.task.index


class Block:
    """The waiting tests of one mesh that keep off the same chips; ``rank`` orders blocks, least first.

    ``key`` is the mesh, the chips to avoid and whether these are the long tests; ``chips``
    is how many are leased for the mesh.
    """

    __slots__ = ("avoid", "cells", "chips", "count", "key", "load_s", "loads", "mesh", "rank")

    def __init__(self, key: tuple[str, int, bool], *, chips: int) -> None:
        self.key = key
        self.mesh, self.avoid, _ = key
        self.chips = chips
        self.rank: tuple[object, ...] = ()
        self.cells: dict[str, list[Waiting]] = {}
        self.loads: dict[str, float] = {}
        self.load_s = 0.0
        self.count = 0

    def __iter__(self) -> Iterator[Waiting]:
        for tests in self.cells.values():
            yield from tests

    @property
    def longest_s(self) -> float:
        """The seconds of the longest test."""
        return max(tests[-1].expected_s for tests in self.cells.values())

    @property
    def least_bytes(self) -> int:
        """The memory of the cell that claims least."""
        return min(tests[-1].task.memory_bytes for tests in self.cells.values())

    def add(self, test: Waiting) -> None:
        """Take in a test."""
        group = test.task.group
        tests = self.cells.setdefault(group, [])
        if tests and test < tests[-1]:
            insort(tests, test)
        else:
            tests.append(test)
        self.loads[group] = self.loads.get(group, 0.0) + test.expected_s
        self.load_s += test.expected_s
        self.count += 1

    def remove(self, test: Waiting) -> None:
        """Give out a test that ``choose`` returned, or that can never run."""
        group = test.task.group
        tests = self.cells[group]
        tests.pop() if tests[-1] is test else tests.remove(test)
        self.loads[group] -= test.expected_s
        self.load_s -= test.expected_s
        self.count -= 1
        if not tests:
            del self.cells[group], self.loads[group]

    def choose(
        self, own: str | None, taken: Callable[[], Collection[str]], *, window_s: float, room_bytes: float
    ) -> Waiting | None:
        """Return the next test for a slot, or None where none ends within the window and fits into memory.

        A slot keeps its cell; then it takes the cell with most left that no other slot works
        on; then it helps with the one that has most left. Of long tests the longest goes first.
        """
        if self.key[2]:
            longest = (_longest(tests, window_s, room_bytes) for tests in self.cells.values())
            return max((test for test in longest if test is not None), default=None)
        if own in self.cells:
            found = _longest(self.cells[own], window_s, room_bytes)
            if found is not None:
                return found
        loads, others = self.loads, taken()
        for group in sorted(loads, key=lambda group: (group in others, -loads[group], group)):
            found = _longest(self.cells[group], window_s, room_bytes)
            if found is not None:
                return found
        return None

    def reestimate(self, group: str, expected_s: float) -> None:
        """Change what tests of a cell without a history of their own are taken to need."""
        tests = self.cells.get(group)
        if not tests:
            return
        for test in tests:
            if test.task.expected_s is None:
                test.expected_s = expected_s
        tests.sort(key=Waiting.key)
        load_s = sum(test.expected_s for test in tests)
        self.load_s += load_s - self.loads[group]
        self.loads[group] = load_s


def _longest(tests: list[Waiting], window_s: float, room_bytes: float) -> Waiting | None:
    last = tests[-1]
    if last.expected_s > window_s:
        at = bisect_right(tests, window_s, key=lambda test: test.expected_s)
        if not at:
            return None
        last = tests[at - 1]
    # The tests of a cell claim the same memory.
    return last if last.task.memory_bytes <= room_bytes else None
