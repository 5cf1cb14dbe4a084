"""What others would need for a sweep: xdist with slots cut by hand, wave after wave, one test at a time."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from types import SimpleNamespace
from typing import Any

from xdist.remote import Producer
from xdist.scheduler import LoadScheduling

from benchmarks.workloads import Sweep
from meshsweep.dispatch import Task
from meshsweep.planning.slots import most

__all__ = ["by_hand", "in_waves", "load_s", "one_at_a_time"]

#: How an engineer would cut a machine by hand, stage after stage: slots of each mesh, side by side.
_STAGES = {
    "galaxy": ({"4x8": 1}, {"4x4": 1, "2x4": 1, "1x8": 1}, {"1x4": 4, "1x2": 4, "1x1": 8}),
    "t3k": ({"1x8": 1}, {"2x4": 1}, {"1x4": 2}, {"1x2": 2, "1x1": 2}),
}


class _Node:
    """A worker as xdist's scheduler knows it, and what it has been sent."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.sent: list[int] = []

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def has_next(self) -> bool:
        # xdist's worker starts a test only when it knows the one after it, or that there is none.
        return len(self.sent) > 1 or (bool(self.sent) and self.shutting_down)


def load_s(times: Sequence[float], workers: int) -> float:
    """Return what xdist's own ``load`` scheduler needs for tests in this order."""
    options = {"tx": ["popen"] * workers, "maxschedchunk": None}
    config: Any = SimpleNamespace(getoption=options.get, getvalue=options.get)
    scheduler = LoadScheduling(config, Producer("load", enabled=False))
    nodes = [_Node(str(number)) for number in range(workers)]
    for node in nodes:
        scheduler.add_node(node)  # type: ignore[arg-type]
        scheduler.add_node_collection(node, [str(index) for index in range(len(times))])  # type: ignore[arg-type]
    scheduler.schedule()
    running: list[tuple[float, int, int]] = []
    busy: set[int] = set()
    now_s = 0.0
    while True:
        for number, node in enumerate(nodes):
            if number not in busy and node.has_next:
                busy.add(number)
                heappush(running, (now_s + times[node.sent[0]], number, node.sent.pop(0)))
        if not running:
            return now_s
        now_s, number, index = heappop(running)
        busy.remove(number)
        scheduler.mark_test_complete(nodes[number], index, times[index])  # type: ignore[arg-type]


def by_hand(sweep: Sweep) -> float:
    """Return what ``xdist --dist load`` needs in slots cut by hand, every mesh in a pytest of its own."""
    total_s = 0.0
    for stage in _STAGES[sweep.machine.name]:
        stage_s = [
            sweep.open_s + load_s([sweep.seconds[task.index] for task in tests], min(slots, len(tests)))
            for mesh, slots in stage.items()
            if (tests := _of(sweep, mesh))
        ]
        total_s += max(stage_s, default=0.0)
    return total_s


def in_waves(sweep: Sweep) -> float:
    """Return what one mesh after another needs, each wave cut for its mesh, the longest test first."""
    total_s = 0.0
    for mesh, shape in sweep.meshes.items():
        times = sorted((sweep.seconds[task.index] for task in _of(sweep, mesh)), reverse=True)
        ends = [sweep.open_s] * most(sweep.machine, shape)
        for time in times:
            heappush(ends, heappop(ends) + time)
        total_s += max(ends) if times else 0.0
    return total_s


def one_at_a_time(sweep: Sweep) -> float:
    """Return what tt-metal's fixtures need: every test opens its mesh, and has the machine to itself."""
    return sum(sweep.open_s + seconds for seconds in sweep.seconds.values())


def _of(sweep: Sweep, mesh: str) -> list[Task]:
    return [task for task in sweep.tasks if task.mesh == mesh]
