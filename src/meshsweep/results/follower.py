"""Fold the log of a run while the process that wrote it still takes its time to end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshsweep.record.events import Reader
from meshsweep.results.fold import Fold
from meshsweep.results.ledger import Ledger

__all__ = ["Follower", "following"]

#: How often the log is looked at.
_POLL_S = 0.02


@contextmanager
def following(log: Path) -> Iterator[Follower]:
    """Follow a log within a ``with`` block."""
    follower = Follower(log)
    try:
        yield follower
    finally:
        follower.end()


class Follower:
    """Reads a log from the end of its tests on, in a thread that lives until ``end``."""

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
        self._take()
        return self._fold.ledger()

    def end(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        # While tests run they get all there is of the processor.
        while not self._stop.wait(_POLL_S):
            if self._reader.ends_in("wave-finished"):
                try:
                    self._take()
                except Exception as error:  # noqa: BLE001 - raised where the ledger is asked for
                    self._error = error
                return

    def _take(self) -> None:
        for event in self._reader.read():
            self._fold.take(event)
