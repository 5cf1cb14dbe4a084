"""The loop over what workers tell in two ways: lines by the wire, events by xdist's threads."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest

from meshsweep.workers import session as loop
from meshsweep.workers.session import Session


class Wire:
    """A wire on which there is something each time that it is looked at, or nothing."""

    def __init__(self, *looks: list[tuple[str, str]]) -> None:
        self.looks = list(looks)

    def wait(self, timeout_s: float) -> Iterator[tuple[str, str]]:
        yield from self.looks.pop(0) if self.looks else []


class Scheduler:
    """Notes what it is told."""

    tests_finished = False

    def __init__(self) -> None:
        self.told: list[object] = []
        self.acts = 0

    def act(self) -> None:
        self.acts += 1

    def gives_up(self) -> None:
        pass

    def passed(self, worker: str, index: int, result: str, *, begun: int | None) -> None:
        self.told.append((worker, index, result, begun))


@pytest.fixture
def session() -> Any:
    """A session without pytest."""
    made: Any = Session.__new__(Session)
    made.queue, made.sched = Queue(), Scheduler()
    made.shuttingdown = made.shouldstop = False
    return made


def test_line_that_was_sent_before_an_event_comes_first(session: Any) -> None:
    """A test that was begun unasked is reported in the other way than the one before it, and never overtakes it."""
    # The line comes in right after the wire has been looked at, and right before the event that follows.
    session.exchange = Wire([], [("gw0", "3 4 [0.1,[]]")], [])
    session.queue.put(("call", {"call": lambda: session.sched.told.append("test 4 has failed")}))
    session.loop_once()

    assert session.sched.told == [("gw0", 3, "[0.1,[]]", 4), "test 4 has failed"]


ON, DONE = ("gw0", "3 4 [0.1,[]]"), ("gw1", "5 - [0.1,[]]")


@pytest.mark.parametrize(
    ("lines", "acts"),
    [
        ([[ON], [ON], [ON]], [1, 1, 1]),
        ([[ON], [ON, DONE], [ON], [ON]], [1, 1, 2, 2]),
        ([[DONE], [DONE], [ON]], [1, 2, 3]),
        ([[], [ON], [ON]], [1, 2, 2]),
    ],
)
def test_workers_that_go_on_by_themselves_need_nothing(
    session: Any, monkeypatch: pytest.MonkeyPatch, lines: list[list[tuple[str, str]]], acts: list[int]
) -> None:
    monkeypatch.setattr(loop.time, "monotonic", lambda: 100.0)
    session.exchange = Wire(*lines)
    seen = []
    for _ in lines:
        session.loop_once()
        seen.append(session.sched.acts)

    assert seen == acts


def test_after_an_event_what_is_due_is_done(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.time, "monotonic", lambda: 100.0)
    session.exchange = Wire([ON], [], [ON])
    session.queue.put(("call", {"call": lambda: None}))
    session.loop_once()
    session.loop_once()

    assert session.sched.acts == 2


def test_time_alone_may_make_something_due(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.1, 100.3, 100.4])
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    session.exchange = Wire([ON], [ON], [ON], [ON])
    seen = []
    for _ in range(4):
        session.loop_once()
        seen.append(session.sched.acts)

    assert seen == [1, 1, 2, 2]
