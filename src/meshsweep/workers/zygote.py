"""Start workers by forking one process that has imported the heavy modules, where that is possible."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from execnet.gateway_base import Popen2IO

from meshsweep.errors import InfraError
from meshsweep.workers.nursery import LAST_S, NUMBER, REQUEST, Descriptors, packed

__all__ = ["ForkedIO", "Zygote", "begin", "can_fork"]

#: To fork takes milliseconds; a process that is stopped never does.
_FORK_S = 10.0


def can_fork() -> bool:
    """Return whether this system can fork workers that die with their parent: Linux alone."""
    return sys.platform.startswith("linux")


def begin() -> Zygote | InfraError | None:
    """Return a process to fork workers from, or why there is none; None where this system forks nothing."""
    if not can_fork():
        return None
    try:
        return Zygote()
    except InfraError as error:
        return error


class Zygote:
    """A process of which each worker is a copy.

    It starts at once and imports what all workers need while this process goes on; then, once it is told, what
    these need. The first ``fork`` waits for it. Raises InfraError where it cannot start.
    """

    def __init__(self, *, patience_s: float = 120.0) -> None:
        self._patience_s = patience_s
        self._is_ready = False
        self._control, theirs = socket.socketpair()
        command = [sys.executable, "-u", "-m", "meshsweep.workers.nursery"]
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        except OSError as error:
            self._control.close()
            raise InfraError(f"the process to fork workers from did not start: {error.strerror}") from error
        finally:
            theirs.close()

    def preload(self, modules: Sequence[str], variables: Mapping[str, str]) -> None:
        """Have it import modules in this environment and ``variables``; to be called once, before ``fork``."""
        # Where it has ended, the first fork says so.
        with suppress(OSError):
            self._control.sendall(packed({"modules": list(modules), "variables": {**os.environ, **variables}}))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fork(self) -> ForkedIO:
        """Return the pipes of a new worker in this folder and environment.

        Raises InfraError where the process has ended, has not imported its modules in time, or does not answer.
        """
        if not self._is_ready:
            self._wait()
            self._is_ready = True
        request = packed({"folder": str(Path.cwd()), "variables": dict(os.environ)})
        child_in, to_child = os.pipe()
        from_child, child_out = os.pipe()
        ended, status = os.pipe()
        theirs = Descriptors(stdin=child_in, stdout=child_out, stderr=2, status=status)
        try:
            socket.send_fds(self._control, [REQUEST], theirs)
        except OSError as error:
            for descriptor in (to_child, from_child, ended):
                os.close(descriptor)
            raise InfraError(f"the process to fork workers from has ended: {error.strerror}") from error
        finally:
            for descriptor in (child_in, child_out, status):
                os.close(descriptor)
        forked = ForkedIO(to_child, from_child, ended)
        forked.write(request)
        return forked

    def close(self) -> None:
        """End the process, and with it all of its workers that still run."""
        self._control.close()
        # Before it is ready there are no workers that would need time to end.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_S + 1.0 if self._is_ready else 0.0)
            return
        # It is still importing, or stopped.
        self._process.kill()
        self._process.wait()

    def _wait(self) -> None:
        ready, _, _ = select.select([self._control], [], [], self._patience_s)
        if not ready:
            raise InfraError(f"the process to fork workers from was not ready after {self._patience_s:.0f} s")
        line = b""
        # Where it has ended without reading what it was told, there is an error in place of an end.
        with self._control.makefile("rb") as lines, suppress(OSError):
            line = lines.readline()
        if not line:
            raise InfraError(f"the process to fork workers from ended with {self._process.wait()} while it imported")
        if problem := json.loads(line)["problem"]:
            raise InfraError(f"workers cannot be forked: {problem}")


class ForkedIO(Popen2IO):
    """The controller's end of a forked worker: execnet's pipes to it, its process id and its end.

    Raises InfraError where the process that was to fork it has ended, or does not answer.
    """

    def __init__(self, to_child: int, from_child: int, ended: int) -> None:
        from execnet.gateway_base import get_execmodel

        super().__init__(os.fdopen(to_child, "wb"), os.fdopen(from_child, "rb"), get_execmodel("main_thread_only"))
        self._ended = os.fdopen(ended, "rb", buffering=0)
        self._code: int | None = None
        if not select.select([ended], [], [], _FORK_S)[0]:
            self.close()
            raise InfraError(f"the process to fork workers from has not forked for {_FORK_S:.0f} s")
        pid = self._number()
        if pid is None:
            self.close()
            raise InfraError("the process to fork workers from has ended")
        self.pid = pid

    def wait(self) -> int:
        """Return the exit code, negative for a signal, once the worker has ended."""
        if self._code is None:
            code = self._number()
            # It dies with its parent, which then cannot tell of it.
            self._code = -signal.SIGKILL if code is None else code
            self._ended.close()
        return self._code

    def poll(self, patience_s: float) -> int | None:
        """Return the exit code of a worker that ends within some seconds; None where it does not."""
        if self._code is None and not select.select([self._ended], [], [], patience_s)[0]:
            return None
        return self.wait()

    def kill(self) -> None:
        """Kill the worker."""
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of a worker, which ends when it next reads."""
        for end in (self.outfile, self.infile, self._ended):
            with suppress(OSError):
                end.close()

    def _number(self) -> Any:
        data = self._ended.read(NUMBER.size)
        return NUMBER.unpack(data)[0] if data and len(data) == NUMBER.size else None
