"""An xdist scheduler that keeps one test in flight per worker.

xdist 3.8 sends batches, and its scope modes hang or repeat tests when a worker dies.
Here a worker is sent its next test when it has reported the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xdist.report import report_collection_diff

from meshsweep.errors import InfraError
from meshsweep.queue import Queue, Task

__all__ = ["PullScheduling"]


class PullScheduling:
    """xdist's scheduler protocol over a Queue.

    ``make_queue`` turns collected ids into a queue; ``slot_of`` names a worker's slot;
    ``sent`` is told of every test before it is sent.
    """

    def __init__(
        self,
        *,
        make_queue: Callable[[list[str]], Queue],
        slot_of: Callable[[str], str],
        sent: Callable[[str, str], None],
    ) -> None:
        self._make_queue = make_queue
        self._slot_of = slot_of
        self._sent = sent
        self._queue: Queue | None = None
        self._ids: list[str] = []
        self._flying: dict[Any, Task | None] = {}
        self._ready: set[Any] = set()
        self._slots: dict[Any, str] = {}

    @property
    def nodes(self) -> list[Any]:
        """The workers that are alive."""
        return list(self._flying)

    @property
    def collection_is_completed(self) -> bool:
        """Whether tests can be sent: from the first worker's collection on."""
        return self._queue is not None

    @property
    def tests_finished(self) -> bool:
        """Whether every test has been reported."""
        return self._queue is not None and not self.has_pending

    @property
    def has_pending(self) -> bool:
        """Whether a test waits or is in flight."""
        return bool(self._queue) or any(self._flying.values())

    def add_node(self, node: Any) -> None:
        """Take in a worker that has started."""
        self._flying[node] = None
        # Asked now: when a worker has died, its slot has been taken back already.
        self._slots[node] = self._slot_of(node.gateway.id)

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """Take in what a worker has collected; all must have collected the same.

        Raises InfraError with the difference where they did not.
        """
        if self._queue is None:
            self._ids = list(collection)
            self._queue = self._make_queue(self._ids)
        elif list(collection) != self._ids:
            difference = report_collection_diff(self._ids, collection, "the first worker", node.gateway.id)
            raise InfraError(difference or "workers collected different tests")
        self._ready.add(node)

    def schedule(self) -> None:
        """Send a test to every worker that has none."""
        for node in self._flying:
            self._feed(node)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Note a finished test and send the worker its next one."""
        self._flying[node] = None
        self._feed(node)

    def remove_node(self, node: Any) -> str | None:
        """Forget a worker that ended; returns the test that it died in, if any."""
        task = self._flying.pop(node)
        self._ready.discard(node)
        if self._queue is not None:
            self._queue.release(self._slots[node])
        return self._ids[task.index] if task is not None else None

    def mark_test_pending(self, item: str) -> None:
        """Xdist asks for this to run a test again; a crash is final here."""
        raise NotImplementedError(f"{item}: rerunning a test is not offered")

    def remove_pending_tests_from_node(self, node: Any, indices: Sequence[int]) -> None:
        """Xdist asks for this after stealing; nothing waits at a worker here."""
        raise NotImplementedError("nothing waits at a worker: there is nothing to steal")

    def _feed(self, node: Any) -> None:
        if self._queue is None or node not in self._ready or self._flying[node] is not None:
            return
        if node.shutting_down:
            return
        task = self._queue.take(self._slots[node])
        if task is None:
            return
        self._sent(self._ids[task.index], node.gateway.id)
        self._flying[node] = task
        node.send_runtest_some([task.index])
