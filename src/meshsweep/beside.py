"""Have a copy of this process do one thing while this one does another."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from meshsweep.workers.nursery import die_with

__all__ = ["beside"]


@contextmanager
def beside(task: Callable[[], None], *, copies: bool = True) -> Iterator[None]:
    """Do a task in a copy of this process while the ``with`` block goes on.

    Without ``copies``, where the system makes none, and where the copy did not get to the end of the task, the task
    is done here after the block: what it raises is raised here.
    """
    parent = os.getpid()
    pid = _fork() if copies else None
    if pid == 0:
        # It holds what this process holds, the lock of a run too.
        die_with(parent)
        # To look for garbage is to write to every page that is still shared.
        gc.disable()
        code = 1
        try:
            task()
            code = 0
        finally:
            # Nothing else of what this process was about to do.
            os._exit(code)
    is_done = False
    try:
        yield
    finally:
        if pid is not None:
            is_done = os.waitpid(pid, 0)[1] == 0
    if not is_done:
        task()


def _fork() -> int | None:
    """Return what ``os.fork`` does, None where there is no such thing or no room for another process."""
    with suppress(AttributeError, OSError):
        return os.fork()
    return None
