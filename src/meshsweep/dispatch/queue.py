"""The waiting tests of a run in blocks, the most pressing first."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from meshsweep.dispatch.action import Task
from meshsweep.dispatch.block import Block, Waiting
from meshsweep.dispatch.estimate import Estimate
from meshsweep.dispatch.floorplan import Floorplan
from meshsweep.dispatch.policy import Policy

__all__ = ["Queue"]


class Queue:
    """Blocks of waiting tests in the order of a policy."""

    def __init__(self, floor: Floorplan, tasks: Sequence[Task], policy: Policy) -> None:
        self.blocks: list[Block] = []
        self._floor = floor
        self._estimate = Estimate(tasks)
        self._long_s = inf if policy.long_s is None else policy.long_s
        self._by_key: dict[tuple[str, int, bool], Block] = {}
        self._has_unknown = any(task.expected_s is None for task in tasks)
        waiting = [Waiting(task, self._estimate.of(task)) for task in tasks]
        self._order = self._ordered(waiting, policy)
        for test in sorted(waiting, key=Waiting.key):
            self._enter(test)

    def add(self, task: Task, avoid: int) -> None:
        """Put a test back."""
        self._enter(Waiting(task, self._estimate.of(task), avoid))

    def restore(self, test: Waiting) -> None:
        """Put a test back that was not begun, as it was."""
        self.add(test.task, test.avoid)

    def remove(self, block: Block, test: Waiting) -> None:
        """Give out a test of a block."""
        block.remove(test)
        if not block.count:
            self.blocks.remove(block)
            del self._by_key[block.key]

    def learn(self, task: Task, seconds: float) -> None:
        """Correct what tests like one without a history are taken to need."""
        number = self._estimate.learn(task, seconds)
        # The second, fourth, eighth... test of a cell: what is known of it has about doubled.
        if number & (number - 1):
            return
        for block in self.blocks:
            if block.mesh == task.mesh or not self._floor.all:
                block.reestimate(task.group, self._estimate.of(task))

    def _enter(self, test: Waiting) -> None:
        mesh = test.task.mesh if self._floor.all else ""
        key = (mesh, test.avoid, test.expected_s >= self._long_s)
        block = self._by_key.get(key)
        if block is None:
            chips = self._floor.size(mesh)
            block = self._by_key[key] = Block(key, chips=chips)
            is_whole = chips == self._floor.all.bit_count()
            # Beside a mesh of all chips nothing runs: it goes before everything, so that it never waits for chips.
            block.rank = (not is_whole, not key[2], *self._order.get(mesh, (0.0, 0.0)), mesh, not key[1], key[1])
            self.blocks.append(block)
            self.blocks.sort(key=lambda block: block.rank)
        block.add(test)

    def _ordered(self, waiting: Sequence[Waiting], policy: Policy) -> dict[str, tuple[float, float]]:
        """Return what each mesh is ranked by, least first."""
        loads: dict[str, list[float]] = {}
        for test in waiting:
            loads.setdefault(test.task.mesh if self._floor.all else "", []).append(test.expected_s)
        return {mesh: self._weight(mesh, times, policy) for mesh, times in loads.items()}

    def _weight(self, mesh: str, times: Sequence[float], policy: Policy) -> tuple[float, float]:
        chips = self._floor.size(mesh)
        longest_s, load_s = max(times), sum(times)
        lanes = max(1, self._floor.all.bit_count() // max(1, chips))
        if policy.order == "large":
            return -float(chips), -load_s
        if policy.order == "tail":
            return -max(load_s / lanes, longest_s), -float(chips)
        return -longest_s, -float(chips)
