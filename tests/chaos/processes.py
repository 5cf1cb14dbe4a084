"""Find the processes of a sweep from outside, by a mark in their environment."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MARK", "Process", "age_s", "find", "send"]

#: The variable whose value all processes of a sweep inherit.
MARK = "CHAOS_MARK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A living process: what it is to its sweep, and the sweep's mark."""

    pid: int
    parent: int
    kind: str
    mark: str
    state: str


def find(mark: str) -> list[Process]:
    """Return the living processes whose mark begins with ``mark``."""
    wanted = f"{MARK}={mark}".encode()
    found: dict[int, tuple[int, str, list[str], str]] = {}
    for path in Path("/proc").iterdir():
        if not path.name.isdecimal():
            continue
        # It may end at any moment, or belong to somebody else.
        with suppress(OSError, IndexError, ValueError):
            variables = (path / "environ").read_bytes().split(b"\0")
            marks = [one.partition(b"=")[2].decode() for one in variables if one.startswith(wanted)]
            if marks:
                state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
                arguments = (path / "cmdline").read_bytes().decode().split("\0")
                found[int(path.name)] = (int(parent), marks[0], arguments, state)
    return [
        Process(pid=pid, parent=parent, kind=_kind(arguments, parent, found), mark=mark, state=state)
        for pid, (parent, mark, arguments, state) in found.items()
        if state not in "ZX"
    ]


def _kind(arguments: list[str], parent: int, found: dict[int, tuple[int, str, list[str], str]]) -> str:
    if "meshsweep.workers.nursery" in arguments:
        # A forked worker has the name of the process that it is a copy of.
        is_copy = parent in found and "meshsweep.workers.nursery" in found[parent][2]
        return "worker" if is_copy else "zygote"
    if "meshsweep.probe" in arguments:
        return "probe"
    if "pytest" in arguments:
        return "controller"
    if "meshsweep" in arguments:
        return "command"
    return "worker" if any("sys.stdin.readline" in argument for argument in arguments) else "other"


def age_s(pid: int) -> float:
    """Return how long ago a process was forked, to a hundredth of a second; infinity where it has ended."""
    with suppress(OSError, IndexError):
        started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
    return float("inf")


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; returns whether there was anybody to get it."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
