"""Say who holds a lock, for people to read: nothing is decided by it."""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone

__all__ = ["NOTE_BYTES", "Holder"]

#: All notes are as long as this, so that one is written over another: to cut a file costs a disk milliseconds.
NOTE_BYTES = 1200
_WORD = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lock since when (Unix seconds); ``token`` is known to those who act for the holder."""

    user: str
    run: str
    pid: int
    since: float
    token: str = ""

    @classmethod
    def current(cls, run: str, *, since: float, token: str = "") -> Holder:
        """Return the process that asks, acting for a run."""
        return cls(user=_user(), run=run, pid=os.getpid(), since=since, token=token)

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, tz=timezone.utc).astimezone()
        return f"{self.user}, run {self.run} (pid {self.pid}, since {since:%Y-%m-%d %H:%M})"

    def to_note(self) -> bytes:
        """Return what is written into the lock file."""
        short = replace(self, user=_printable(self.user), run=_printable(self.run))
        return json.dumps(asdict(short)).encode().ljust(NOTE_BYTES)

    @classmethod
    def from_note(cls, note: bytes) -> Holder | None:
        """Read a note; None where it is none, as when it is being written."""
        try:
            data = json.loads(note)
            return cls(
                user=_printable(data["user"]),
                run=_printable(data["run"]),
                pid=int(data["pid"]),
                since=min(max(float(data["since"]), 0.0), 4e9),
                token=str(data["token"]),
            )
        except (ValueError, TypeError, KeyError, OverflowError):
            return None


def _printable(text: object) -> str:
    """Return what cannot move the cursor of who reads it."""
    return "".join(letter for letter in str(text) if letter.isprintable())[:_WORD]


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
