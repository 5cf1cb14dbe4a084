"""Let one process at a time carry a run out, by locks that the kernel drops when their holder dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshsweep.errors import InfraError, UserError
from meshsweep.record.events import read
from meshsweep.record.rundir import RunDir

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two commands off one run there
    fcntl = None  # type: ignore[assignment]

__all__ = ["hold", "hold_events"]


@contextmanager
def hold(rundir: RunDir) -> Iterator[None]:
    """Hold a run while it is started or resumed.

    Raises UserError where a process carries it out already: the command, or pytest that has outlived the command.
    """
    directory = _lock(rundir.path)
    if directory is None:
        raise UserError(_refusal(rundir, "run-started", "resumed"))
    try:
        if rundir.events.exists():
            events = _lock(rundir.events)
            if events is None:
                raise UserError(_refusal(rundir, "controller-started"))
            os.close(events)
        yield
    finally:
        os.close(directory)


def hold_events(rundir: RunDir) -> int:
    """Hold the log of a run until this process ends or closes the descriptor that is returned.

    Raises InfraError where another process holds it.
    """
    held = _lock(rundir.events)
    if held is None:
        raise InfraError(_refusal(rundir, "controller-started"))
    return held


def _lock(path: Path) -> int | None:
    """Return a descriptor with a lock that no child inherits, None where another process has it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise InfraError(f"{path}: cannot lock the run: {error.strerror}") from error
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _refusal(rundir: RunDir, *kinds: str) -> str:
    pids = [event.get("pid") for event in read(rundir.events, *kinds)]
    who = f"process {pids[-1]}" if pids else "another process"
    return f"{rundir.path.name} still runs: {who} carries it out; wait for it to end, or end it"
