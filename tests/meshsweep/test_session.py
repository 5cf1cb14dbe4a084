"""The loop over what workers tell in two ways: lines by the wire, events by xdist's threads."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue
from typing import Any

from meshsweep.workers.session import Session


class Late:
    """A wire on which a line comes in right after it has been looked at, and right before the event that follows."""

    def __init__(self) -> None:
        self.looks = [[], [("gw0", "3 4 [0.1,[]]")], []]

    def wait(self, timeout_s: float) -> Iterator[tuple[str, str]]:
        yield from self.looks.pop(0) if self.looks else []


class Scheduler:
    """Notes what it is told."""

    tests_finished = False

    def __init__(self) -> None:
        self.told: list[object] = []

    def act(self) -> None:
        pass

    def gives_up(self) -> None:
        pass

    def passed(self, worker: str, index: int, result: str, *, begun: int | None) -> None:
        self.told.append((worker, index, result, begun))


def test_line_that_was_sent_before_an_event_comes_first() -> None:
    """A test that was begun unasked is reported in the other way than the one before it, and never overtakes it."""
    session: Any = Session.__new__(Session)
    session.queue, session.exchange, session.sched = Queue(), Late(), Scheduler()
    session.shuttingdown = session.shouldstop = False
    session.queue.put(("call", {"call": lambda: session.sched.told.append("test 4 has failed")}))
    session.loop_once()

    assert session.sched.told == [("gw0", 3, "[0.1,[]]", 4), "test 4 has failed"]
