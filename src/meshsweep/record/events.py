"""The record of a run: one JSON line per event, appended before anything is shown.

A line is written by a single call to the kernel, so that a killed process can tear at
most the last one; readers leave a torn line out, and a resumed run writes below it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from meshsweep.errors import InfraError

__all__ = ["EventLog", "Reader", "mend", "read"]

# Once: json.dumps makes an encoder each time that it is asked for anything of its own.
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class EventLog:
    """An append-only log of events; several processes may hold it open."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise InfraError(f"{path}: cannot record events: {error.strerror}") from error
        self._path = path

    def write(self, event: str, **fields: object) -> float:
        """Append one event and return its time; raises InfraError where the disk refuses it."""
        now = round(self._clock(), 6)
        line = _encode({"event": event, "t": now, **fields})
        data = line.encode() + b"\n"
        try:
            written = os.write(self._file, data)
        except OSError as error:
            raise self._refusal(error.strerror) from error
        if written != len(data):
            raise self._refusal(f"the disk took {written} of {len(data)} bytes")
        return now

    def _refusal(self, reason: str | None) -> InfraError:
        return InfraError(
            f"{self._path}: cannot record events: {reason}; what is recorded so far stays: make room, "
            "then `meshsweep resume`"
        )

    def close(self) -> None:
        """Close the log."""
        os.close(self._file)


def mend(path: Path) -> bool:
    """End a torn last line, so that the next event begins a line of its own; returns whether there was one.

    Nothing is deleted. Raises InfraError where the disk refuses.
    """
    try:
        with path.open("rb+") as log:
            if log.seek(0, os.SEEK_END) == 0:
                return False
            log.seek(-1, os.SEEK_END)
            if log.read(1) == b"\n":
                return False
            log.write(b"\n")
    except OSError as error:
        raise InfraError(f"{path}: cannot record events: {error.strerror}") from error
    return True


class Reader:
    """Reads a log that is still being written, each event once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the events since the last time in order, leaving out lines that are not whole."""
        with self._path.open("rb") as lines:
            lines.seek(self._at)
            for line in lines:
                if not line.endswith(b"\n"):
                    # The rest of it may come yet.
                    return
                self._at += len(line)
                event = _event(line)
                if event is not None:
                    yield event


def read(path: Path, *kinds: str) -> Iterator[dict[str, Any]]:
    """Yield the events of a log in order, or those of some kinds, leaving out lines that are not whole."""
    if not path.exists():
        return
    wanted = [f'"{kind}"'.encode() for kind in kinds]
    with path.open("rb") as lines:
        for line in lines:
            # Reading a line as JSON costs ten times as much as looking for a word in it.
            if wanted and not any(word in line for word in wanted):
                continue
            event = _event(line)
            if event is not None and (not kinds or event["event"] in kinds):
                yield event


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
