"""Look into a process that hangs from outside: its stacks, its state, what it has printed.

The process prepares itself with ``arm``; from then on a signal makes the interpreter write the stacks of all
threads, even while native code holds its lock.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SIGNAL", "Crash", "Hang", "arm", "fatal", "look", "printed", "size", "state_of", "tail"]

#: Asks for the stacks; Windows has none to ask with.
SIGNAL: int | None = getattr(signal, "SIGUSR1", None)

_TAIL_BYTES = 16_384
#: What faulthandler's account of a death opens with.
_FATAL = "Fatal Python error"
_POLL_S = 0.02
_STATES = {"R": "running", "S": "sleeping", "D": "waiting for the disk or a device", "T": "stopped", "Z": "dead"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """A test that was stopped at its deadline, with the last stack and output of its process."""

    worker: str
    test: str
    after_s: float
    state: str
    stack: str
    out: str = ""
    err: str = ""

    def __str__(self) -> str:
        where = "" if self.stack else "; no stack: the process did not answer"
        state = f", {self.state}" if self.state else ""
        return f"killed at its deadline of {self.after_s:.1f} s{state}{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """The end of a worker that nobody killed at a deadline: how it ended, and what it wrote while it died."""

    how: str
    stack: str


def arm(path: Path) -> int | None:
    """Make this process write the stacks of all its threads into a file when it is asked.

    Returns the file's descriptor, which stays open for the life of the process; None where nobody can ask.
    """
    if SIGNAL is None:
        return None
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    faulthandler.register(SIGNAL, file=descriptor, all_threads=True, chain=False)
    return descriptor


def look(path: Path, ask: Callable[[], None], *, patience_s: float) -> str:
    """Return the stacks that a process writes when asked, nothing where it does not within ``patience_s``."""
    before = size(path)
    ask()
    until = time.monotonic() + patience_s
    seen = before
    while time.monotonic() < until:
        time.sleep(_POLL_S)
        now = size(path)
        # It has grown and grows no more: the last line is there.
        if now > before and now == seen:
            break
        seen = now
    return tail(path, before)


def fatal(path: Path, start: int) -> str:
    """Return what a process has written from a byte on while it died, nothing where it had no time to."""
    _, mark, stack = tail(path, start).rpartition(_FATAL)
    return mark + stack if mark else ""


def printed(pid: int) -> tuple[str, str]:
    """Return the end of what a process has printed while its output is captured into files, where Linux shows them."""
    return _captured(pid, 1), _captured(pid, 2)


def state_of(pid: int) -> str:
    """Return what a process is doing in a word, nothing where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return _STATES.get(fields[0], "")


def size(path: Path) -> int:
    """Return the size of a file in bytes, 0 where there is none."""
    with suppress(OSError):
        return path.stat().st_size
    return 0


def tail(path: Path, start: int) -> str:
    """Return the end of what a file holds from a byte on, nothing where it cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start, end - _TAIL_BYTES))
        return file.read().decode("utf-8", "replace")
    return ""


def _captured(pid: int, descriptor: int) -> str:
    path = Path(f"/proc/{pid}/fd/{descriptor}")
    with suppress(OSError):
        # Pipes and terminals would block or belong to somebody else.
        if path.is_file():
            return tail(path, 0)
    return ""
