"""Kill the worker whose test has passed its deadline, from a thread of the controller's process.

It calls nobody back: the controller sees the worker die, asks here whether that was a hang, and records it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from meshsweep.control import stacks
from meshsweep.control.stacks import Hang
from meshsweep.record.rundir import RunDir

__all__ = ["Watchdog"]

#: How long a process gets to write its stacks: one that is stopped never answers.
_PATIENCE_S = 2.0


class _Watched(NamedTuple):
    worker: str
    pid: int
    test: str
    deadline_s: float
    due: float


class Watchdog:
    """Deadlines of the tests in flight, one per worker; ``close`` ends its thread."""

    def __init__(
        self, rundir: RunDir, *, patience_s: float = _PATIENCE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rundir = rundir
        self._patience_s = patience_s
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._hangs: dict[str, Hang] = {}
        #: Which test's worker is being asked for its stacks, what is known so far, and where in the file they begin.
        self._asked: tuple[_Watched, Hang, int] | None = None
        # The lock itself is taken without a line of Python.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._wakes = float("inf")
        self._is_open = True
        self._thread = threading.Thread(target=self._watch, name="meshsweep-watchdog", daemon=True)
        self._thread.start()

    def started(self, worker: str, pid: int, test: str, deadline_s: float) -> None:
        """Watch a test that a worker has been sent."""
        due = self._clock() + deadline_s
        watched = _Watched(worker=worker, pid=pid, test=test, deadline_s=deadline_s, due=due)
        with self._lock:
            self._watched[worker] = watched
            # Waking a thread costs more than all else here: most tests end long before the thread would look.
            if due < self._wakes:
                self._changed.notify()

    def ended(self, worker: str) -> Hang | None:
        """Watch a worker's test no longer, for it has ended; returns the hang if it was killed here even so."""
        with self._lock:
            self._watched.pop(worker, None)
            return self._hangs.pop(worker, None)

    def died(self, worker: str) -> Hang | None:
        """Watch a worker no longer, for it has died; returns the hang if that was done here.

        A process that is past its deadline may die of being asked for its stacks: faulthandler reads frames that
        the interpreter is just writing (Python 3.11 dies in one of some hundred dumps).
        """
        with self._lock:
            asked = self._asked
            watched = self._watched.pop(worker, None)
            hang = self._hangs.pop(worker, None)
        # While it was asked it may have gone on to another test, which has not hung.
        if asked is None or asked[0] is not watched:
            return hang
        return replace(asked[1], stack=stacks.tail(self._rundir.stack(worker), asked[2]))

    def is_asking(self, worker: str) -> bool:
        """Return whether a worker is being asked for its stacks: that it dies may be the fault of the question."""
        with self._lock:
            return self._asked is not None and self._asked[0].worker == worker

    def close(self) -> None:
        """Stop watching, and wait for the thread."""
        with self._lock:
            self._is_open = False
            self._watched.clear()
            self._changed.notify()
        self._thread.join()

    def _watch(self) -> None:
        while (late := self._next_late()) is not None:
            hang = self._hang(late)
            path = self._rundir.stack(late.worker)
            with self._lock:
                self._asked = late, hang, stacks.size(path)
            hang = replace(hang, stack=self._stack(late, path))
            with self._lock:
                self._asked = None
                # While its stacks were written the test may have ended after all.
                if self._watched.get(late.worker) is not late:
                    continue
                del self._watched[late.worker]
                self._hangs[late.worker] = hang
                # Under the lock: a result that is taken in later finds the hang, one taken in before prevents it.
                _signal(late.pid, signal.SIGKILL)

    def _next_late(self) -> _Watched | None:
        """Wait for a test to pass its deadline; None when closed."""
        with self._lock:
            while self._is_open:
                first = min(self._watched.values(), key=lambda watched: watched.due, default=None)
                if first is not None and first.due <= self._clock():
                    return first
                self._wakes = first.due if first else float("inf")
                self._changed.wait(min(first.due - self._clock(), threading.TIMEOUT_MAX) if first else None)
            return None

    def _hang(self, late: _Watched) -> Hang:
        """Return what can be seen of a process without asking it: a signal wakes what sleeps."""
        state = stacks.state_of(late.pid)
        out, err = stacks.printed(late.pid)
        return Hang(
            worker=late.worker, test=late.test, after_s=late.deadline_s, state=state, stack="", out=out, err=err
        )

    def _stack(self, late: _Watched, path: Path) -> str:
        ask = stacks.SIGNAL
        # A process that has not armed itself would die of the question.
        if ask is None or not path.exists():
            return ""
        return stacks.look(path, lambda: _signal(late.pid, ask), patience_s=self._patience_s)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
