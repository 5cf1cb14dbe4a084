"""Carry out a dispatch on paper: given what each test takes, when would what run where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from meshsweep.dispatch.action import Close, Open, Run, Task
from meshsweep.dispatch.dispatch import Dispatch
from meshsweep.planning.slots import Slot

__all__ = ["Bar", "Timeline", "simulate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A stretch of a slot's life in seconds: a test, or opening where ``task`` is None."""

    slot: str
    start_s: float
    end_s: float
    task: Task | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What ran where and when, in the order of starting."""

    slots: tuple[Slot, ...]
    bars: tuple[Bar, ...]
    makespan_s: float


def simulate(
    dispatch: Dispatch, seconds: Mapping[int, float], *, open_s: float = 0.0, close_s: float = 0.0
) -> Timeline:
    """Return the timeline of a dispatch in which tests take these seconds by index, and nothing goes wrong."""
    events: list[tuple[float, int, str, Task | None]] = []
    slots: list[Slot] = []
    bars: list[Bar] = []
    now_s = end_s = 0.0
    number = 0
    while True:
        for action in dispatch.actions(now_s):
            number += 1
            if isinstance(action, Run):
                end_s = now_s + seconds[action.task.index]
                bars.append(Bar(slot=action.slot, start_s=now_s, end_s=end_s, task=action.task))
                heappush(events, (end_s, number, action.slot, action.task))
            elif isinstance(action, Open):
                slots.append(action.slot)
                bars.append(Bar(slot=action.slot.name, start_s=now_s, end_s=now_s + open_s, task=None))
                heappush(events, (now_s + open_s, number, action.slot.name, None))
            elif isinstance(action, Close):
                heappush(events, (now_s + close_s, -number, action.slot, None))
        if not events:
            return Timeline(
                slots=tuple(slots), bars=tuple(bars), makespan_s=max((bar.end_s for bar in bars), default=0.0)
            )
        now_s, order, slot, task = heappop(events)
        if task is not None:
            dispatch.done(slot, task.index, seconds[task.index])
        elif order < 0:
            dispatch.closed(slot)
        else:
            dispatch.opened(slot)
