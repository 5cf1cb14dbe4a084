"""Be the process that workers are forked from, with the heavy modules imported once.

It is spoken to over one socket: it is told what to import, says in a line whether it is ready, and gets for each
worker one byte with the descriptors that become the worker's 0, 1 and 2, and a pipe on which its process id and
exit code are written.
It opens no device and starts no thread: what a fork must not share is made in the workers.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import platform
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

__all__ = [
    "BOOTSTRAP",
    "DIE_WITH",
    "LAST_S",
    "NUMBER",
    "PARENT",
    "REQUEST",
    "Descriptors",
    "die_with",
    "main",
    "packed",
]

#: What a spawned process runs first, so that it dies with its parent; what execnet adds to its arguments goes.
DIE_WITH = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);os.getppid()=={parent} or os.kill(os.getpid(),9);sys.argv[1:]=[]"
)

#: The variable that tells pytest the process id of the command that has started it.
PARENT = "MESHSWEEP_PARENT"

#: So long may workers take to end once the controller has let go of them, in seconds.
LAST_S = 5.0

#: What execnet has a spawned worker run.
BOOTSTRAP = "import sys;exec(eval(sys.stdin.readline()))"

#: A process id or an exit code on a worker's status pipe.
NUMBER = struct.Struct("=i")

#: What stands before a message: how long it is.
_SIZE = struct.Struct("=Q")

#: The byte that asks for a worker; its descriptors come along with it.
REQUEST = b"f"

_PR_SET_PDEATHSIG = 1
#: Looked up before there are copies: until a copy has called it, nothing ends the copy with its parent.
_prctl: Any = ctypes.CDLL(None, use_errno=True).prctl if sys.platform.startswith("linux") else None

#: What every worker imports. Of pytest's plugins only our own, whose asserts pytest is told to leave as they are: it
#: cannot rewrite those of a module that was there before.
_COMMON = (
    "pytest",
    "_pytest.assertion.rewrite",
    "_pytest.junitxml",
    "_pytest.python",
    "_pytest.terminal",
    "execnet.gateway_base",
    "meshsweep.plugin",
    "meshsweep.suite.leave",
    "meshsweep.suite.worker",
)


class Descriptors(NamedTuple):
    """What comes along with a request: the worker's 0, 1 and 2, and its status pipe."""

    stdin: int
    stdout: int
    stderr: int
    status: int


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; elsewhere than on Linux nothing is done.

    ``parent`` is the parent's process id: where it has ended already, this process ends at once.
    """
    if not sys.platform.startswith("linux"):
        return
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> int:
    """Import modules, then fork a worker for each request, until the controller has gone."""
    descriptor, parent = arguments
    die_with(int(parent))
    # Ctrl-C is for the workers, which then report; this process ends with its socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(descriptor)) as control:
        try:
            problem = _preload(control)
            control.sendall(json.dumps({"problem": problem}).encode() + b"\n")
            if problem:
                return 1
            given = _serve(control)
        except (EOFError, ConnectionError):
            # The controller has gone, or needs no workers.
            return 0
    if given is None:
        # To take torch apart takes 0.2 s, and somebody waits.
        os._exit(0)
    _work(given)
    return 0


def _serve(control: socket.socket) -> Descriptors | None:
    # What is frozen is never written to by the collector, so its pages stay shared.
    gc.collect()
    gc.freeze()
    return _Nursery(control).serve()


def packed(message: object) -> bytes:
    """Return a message as it is sent: its length, then JSON."""
    data = json.dumps(message).encode()
    return _SIZE.pack(len(data)) + data


def _preload(control: socket.socket) -> str:
    """Import what all workers need, then what is asked for; return what went wrong, empty where nothing did."""
    problem = _import(_COMMON)
    # Python asks another process, and remembers the answer: each worker asks for xdist.
    platform.platform()
    asked = _receive(control.fileno())
    # A plugin or a conftest may have set some since this process began.
    os.environ.clear()
    os.environ.update(asked["variables"])
    problem = problem or _import(asked["modules"])
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1 and not problem:
        names = ", ".join([*asked["modules"], *_COMMON])
        return f"{threads} threads run after importing {names}: forking is not safe"
    return problem


def _import(modules: Sequence[str]) -> str:
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a module raises, workers can be spawned instead
            return f"{name} cannot be imported: {type(error).__name__}: {error}"
    return ""


class _Nursery:
    """The loop of the parent: forks on request, tells how each worker ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._status: dict[int, int] = {}
        self._ended, self._wakeup = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._ended, False)

    def serve(self) -> Descriptors | None:
        """Return None when the controller has gone, or, in a new worker, its descriptors."""
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready, _, _ = select.select([self._control.fileno(), self._ended], [], [])
            if self._ended in ready:
                self._reap()
            if self._control.fileno() in ready:
                message, descriptors, _, _ = socket.recv_fds(self._control, 1, len(Descriptors._fields))
                if message != REQUEST:
                    self._await_last()
                    return None
                if (given := self._fork(Descriptors(*descriptors))) is not None:
                    return given

    def _fork(self, given: Descriptors) -> Descriptors | None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            die_with(parent)
            self._leave()
            return given
        for descriptor in given[:3]:
            os.close(descriptor)
        self._status[pid] = given.status
        _tell(given.status, pid)
        return None

    def _leave(self) -> None:
        """Let go, in a new worker, of what is its parent's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._control.close()
        for descriptor in (self._ended, self._wakeup, *self._status.values()):
            os.close(descriptor)

    def _reap(self) -> None:
        os.read(self._ended, 4096)
        while self._status:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            descriptor = self._status.pop(pid)
            _tell(descriptor, os.waitstatus_to_exitcode(status))
            os.close(descriptor)

    def _await_last(self) -> None:
        """Let workers end that have been told to, with all that they have put off until then."""
        until = time.monotonic() + LAST_S
        while self._status and (left_s := until - time.monotonic()) > 0:
            if select.select([self._ended], [], [], left_s)[0]:
                self._reap()


def _tell(descriptor: int, number: int) -> None:
    try:
        os.write(descriptor, NUMBER.pack(number))
    except BrokenPipeError:
        # The controller no longer cares for this worker.
        return


def _work(given: Descriptors) -> None:
    """Be a worker: what ``python -c`` would run, with the descriptors, variables and folder that were given."""
    for target, descriptor in enumerate(given[:3]):
        os.dup2(descriptor, target)
    for descriptor in given:
        os.close(descriptor)
    try:
        request = _receive(0)
    except EOFError:
        # Nobody has waited for this worker.
        os._exit(0)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    if numpy := sys.modules.get("numpy"):
        # Python reseeds its own generator after a fork.
        numpy.random.seed()
    sys.argv = ["-c"]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it is the worker's standard input
    sys.modules["__main__"] = ModuleType("__main__")
    code = 0
    try:
        exec(BOOTSTRAP, vars(sys.modules["__main__"]))  # noqa: S102 - execnet's way to start a worker
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - shown as Python would
        traceback.print_exc()
        code = 1
    _end(code)


def _end(code: int) -> None:
    """End as Python does, but take no module apart: for torch that needs 0.2 s, and writes to pages that are shared."""
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for threads that are no daemons
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _receive(descriptor: int) -> Any:
    """Return a ``packed`` message; raises EOFError where the controller has gone."""
    return json.loads(_read(descriptor, _SIZE.unpack(_read(descriptor, _SIZE.size))[0]))


def _read(descriptor: int, size: int) -> bytes:
    """Return exactly so many bytes: what follows them is somebody else's."""
    data = b""
    while len(data) < size:
        part = os.read(descriptor, size - len(data))
        if not part:
            raise EOFError("the controller has gone")
        data += part
    return data


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
