"""What a dispatch is given and what it answers: tests, and the four things to do with slots."""

from __future__ import annotations

from dataclasses import dataclass

from meshsweep.planning.slots import Slot

__all__ = ["Action", "Close", "Next", "Open", "Run", "Task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A test: its index in the collection, its cell, its mesh (empty: none), expected seconds, host memory."""

    index: int
    group: str
    mesh: str
    expected_s: float | None
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Lease a slot's chips and start its worker."""

    slot: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Send a test to the worker of an open slot."""

    slot: str
    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """Offer a slot, whose test is in flight, the one to begin if that passes: it need not ask, and may be refused."""

    slot: str
    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """End the worker of an open slot that has nothing in flight, and release its chips."""

    slot: str


Action = Open | Run | Next | Close
