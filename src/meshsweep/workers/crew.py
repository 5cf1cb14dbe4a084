"""Start and end worker processes: forked where the backend allows it, spawned where not."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import execnet
from execnet import gateway_bootstrap
from xdist.workermanage import WorkerController

from meshsweep.errors import InfraError
from meshsweep.planning.slots import Slot
from meshsweep.workers.nursery import BOOTSTRAP, DIE_WITH
from meshsweep.workers.session import Session
from meshsweep.workers.zygote import Zygote, can_fork

__all__ = ["Crew", "Worker"]

# One test at a time in the main thread, as xdist has it.
_SPEC = "execmodel=main_thread_only//popen"

#: So many workers may die one after another before they can be told anything.
_FAILURES = 3

#: A process whose pipes are closed has ended, or is about to: so long is that waited for.
_PATIENCE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Worker:
    """A worker process: xdist's handle, its name, its slot (None: it only collects), its process id."""

    node: Any
    name: str
    slot: Slot | None
    pid: int

    def end(self) -> str:
        """Return in words how the process has ended; ``died`` where it has not, or nobody can tell."""
        io = self.node.gateway._io  # noqa: SLF001 - execnet's only handle of the process
        code = io.poll(_PATIENCE_S) if hasattr(io, "poll") else _code(io.popen)
        if code is None:
            return "died"
        return f"was killed by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"

    def kill(self) -> None:
        """Kill the process, if it still runs."""
        self.node.gateway._io.kill()  # noqa: SLF001 - execnet's only handle of the process

    def dismiss(self) -> None:
        """End the process of a worker that has finished its session; it need not be waited for."""
        self.node.ensure_teardown()


class Crew:
    """Starts workers, forked from ``zygote`` where there is one; it lives until ``close``."""

    def __init__(
        self,
        session: Session,
        *,
        size: int,
        zygote: Zygote | None,
        note: Callable[[str], None],
    ) -> None:
        self._session = session
        self._size = size
        self._note = note
        self._numbers = itertools.count()
        self._zygote = zygote
        self._can_fork = zygote is not None

    def start(self, slot: Slot | None, given: Mapping[str, object]) -> Worker:
        """Start the worker of a slot; ``given`` is added to what it is told.

        Raises InfraError where one after another dies at once.
        """
        for _ in range(_FAILURES):
            gateway = self._gateway(self._session.nodemanager.group)
            self._session.exchange.expect(gateway.id)
            try:
                return self._set_up(gateway, slot, given)
            except (OSError, EOFError) as error:
                gateway._io.kill()  # noqa: SLF001 - execnet's only handle of the process
                gateway.exit()
                self._session.exchange.forget(gateway.id)
                self._note(
                    f"worker {gateway.id} died before it could be told anything: {error or type(error).__name__}"
                )
        raise InfraError(f"{_FAILURES} workers in a row died before they could be told anything")

    def _set_up(self, gateway: Any, slot: Slot | None, given: Mapping[str, object]) -> Worker:
        manager = self._session.nodemanager
        self._session.config.hook.pytest_xdist_newgateway(gateway=gateway)
        node = WorkerController(manager, gateway, self._session.config, self._session.put)
        gateway.node = node
        told = {"wire": self._session.exchange.address, "slot": None if slot is None else slot.to_json()}
        node.workerinput.update(given, workercount=self._size, **told)
        node.setup()
        self._session.start(node)
        io = gateway._io  # noqa: SLF001 - execnet's only handle of the process
        pid = io.popen.pid if hasattr(io, "popen") else io.pid
        return Worker(node=node, name=gateway.id, slot=slot, pid=pid)

    def run(self, worker: Worker, index: int) -> None:
        """Send a worker a test, by its index in the collection."""
        self._session.exchange.send(worker.name, index)

    def offer(self, worker: Worker, index: int) -> None:
        """Offer a worker the test that it may begin as soon as the one in flight has passed."""
        self._session.exchange.offer(worker.name, index)

    def withdraw(self, worker: Worker) -> None:
        """Take back what a worker was offered and has not begun."""
        self._session.exchange.withdraw(worker.name)

    def forget(self, worker: Worker) -> None:
        """Let go of what a worker was reached by that has ended."""
        self._session.exchange.forget(worker.name)

    def close(self) -> None:
        """End the process that workers are forked from, and those that still run."""
        self._session.exchange.close()
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None

    def _gateway(self, group: execnet.Group) -> Any:
        # xdist has given the first numbers to nodes that it was kept from starting.
        spec = execnet.XSpec(f"{_SPEC}//id=gw{next(self._numbers)}")
        if self._zygote is not None and self._can_fork:
            try:
                return _forked(self._zygote, group, spec)
            except (InfraError, EOFError, OSError) as error:
                self._spawn_instead(error)
        spec.python = _python()
        return group.makegateway(spec)

    def _spawn_instead(self, error: Exception) -> None:
        # Workers that it has forked before may be well.
        self._can_fork = False
        self._note(f"workers are spawned, not forked: {error}")


def _python() -> str:
    """Return the command that execnet has a worker's Python started with, which dies with this process from the start.

    The worker says so itself once it is configured, and by then may have been stopped, or hang in an import.
    """
    if not can_fork():
        return shlex.quote(sys.executable)
    return shlex.join([sys.executable, "-u", "-c", f"{DIE_WITH.format(parent=os.getpid())};{BOOTSTRAP}"])


def _code(process: subprocess.Popen[bytes]) -> int | None:
    with suppress(subprocess.TimeoutExpired):
        return process.wait(_PATIENCE_S)
    return None


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _forked(zygote: Zygote, group: execnet.Group, spec: execnet.XSpec) -> Any:
    """Return execnet's gateway to a forked worker: what ``makegateway`` does, but for the process."""
    gateway = gateway_bootstrap.bootstrap(zygote.fork(), spec)
    gateway.spec = spec
    group._register(gateway)  # noqa: SLF001 - so that execnet ends and awaits it with the others
    return gateway
