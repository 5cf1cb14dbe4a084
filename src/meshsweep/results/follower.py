"""Fold the log of a run while it goes, in the time that nobody else wants."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from meshsweep.record.events import Reader
from meshsweep.results.fold import Fold
from meshsweep.results.ledger import Ledger

__all__ = ["Follower", "following"]

#: How often the log is looked at.
_POLL_S = 0.02

#: How far the thread stands back: tests come first, but nobody waits long for a lock that it holds.
_POLITE = 10


@contextmanager
def following(log: Path) -> Iterator[Follower]:
    """Follow a log within a ``with`` block."""
    follower = Follower(log)
    try:
        yield follower
    finally:
        follower.end()


class Follower:
    """Reads a log in a thread that lives until ``end``, and has little left to read when the run is over."""

    def __init__(self, log: Path) -> None:
        self._reader = Reader(log)
        self._fold = Fold()
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="meshsweep-follower", daemon=True)
        self._thread.start()

    def ledger(self) -> Ledger:
        """Return what the log has come to by now, and follow it no longer. Raises what a reader of it would."""
        self.end()
        if self._error is not None:
            raise self._error
        # The rest, at the priority of who asks.
        for event in self._reader.read():
            self._fold.take(event)
        return self._fold.ledger()

    def end(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        _give_way()
        try:
            while not self._stop.wait(_POLL_S):
                for event in self._reader.read():
                    self._fold.take(event)
                    if self._stop.is_set():
                        return
        except Exception as error:  # noqa: BLE001 - raised where the ledger is asked for
            self._error = error


def _give_way() -> None:
    """Have this thread run where nothing else wants to; only Linux tells a thread from its process."""
    if sys.platform.startswith("linux"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _POLITE)
