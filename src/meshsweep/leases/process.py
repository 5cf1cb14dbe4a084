"""Tell a process from every other one that had or will have its number."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process"]

_GONE = ("Z", "X")
#: A process that is ending has let go of its files before it becomes a zombie.
_EXITING = 0x4


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Process:
    """A process: its number, and the clock ticks from boot to its start (0 where the system does not tell)."""

    pid: int
    started: int

    @classmethod
    def current(cls) -> Process:
        """Return the process that asks."""
        pid = os.getpid()
        return cls(pid=pid, started=_look(pid)[1])

    def is_alive(self) -> bool:
        """Say whether it has not begun to end; one that has may have freed its locks."""
        state, started = _look(self.pid)
        return bool(state) and state not in _GONE and started == self.started


def _look(pid: int) -> tuple[str, int]:
    """Return state and start of a process; no state where there is none, no start where /proc is missing."""
    if not Path("/proc/self/stat").exists():
        return _signalled(pid), 0
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", 0
    return _parse(text)


def _parse(text: str) -> tuple[str, int]:
    # The name in parentheses may hold anything, parentheses too.
    fields = text.rpartition(")")[2].split()
    state = "X" if int(fields[6]) & _EXITING else fields[0]
    return state, int(fields[19])


def _signalled(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "R"
