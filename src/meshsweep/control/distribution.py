"""Join a dispatch, its workers and their deadlines to xdist's hooks, and write down what happens to them."""

from __future__ import annotations

import gc
import os
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from meshsweep import backends
from meshsweep.control import audience, doubt, stacks
from meshsweep.control.controller import Controller
from meshsweep.control.deadlines import Deadlines
from meshsweep.control.scheduler import SlotScheduling
from meshsweep.control.stacks import Crash, Hang
from meshsweep.control.watchdog import Watchdog
from meshsweep.dispatch import Dispatch
from meshsweep.errors import InfraError
from meshsweep.leases import place
from meshsweep.leases.pool import Leases
from meshsweep.machines import Machine
from meshsweep.matrix import Matrix
from meshsweep.planning import workload
from meshsweep.planning.plan import Plan
from meshsweep.planning.slots import Slot
from meshsweep.record.events import read
from meshsweep.results import history
from meshsweep.results.attempts import Again
from meshsweep.suite.expansion import mesh_of
from meshsweep.workers.crew import Crew, Worker
from meshsweep.workers.ground import Ground
from meshsweep.workers.leasehold import Leasehold
from meshsweep.workers.message import Passed
from meshsweep.workers.session import Session
from meshsweep.workers.zygote import Zygote

__all__ = ["Distribution"]


class Distribution:
    """The workers of a run: hooks of xdist, and the scheduler's observer."""

    def __init__(
        self,
        controller: Controller,
        matrix: Matrix,
        made: Plan,
        *,
        zygote: Zygote | InfraError | None = None,
    ) -> None:
        self._controller = controller
        self._config = controller.config
        self._log = controller.log
        self._matrix = matrix
        self._made = made
        self._environment = environment = matrix.environments[made.environment]
        self._machine = machine = made.host
        if isinstance(zygote, InfraError):
            self._note(f"workers are spawned, not forked: {zygote}")
        self._zygote = None if isinstance(zygote, InfraError) else zygote
        self._ground = self._stand(machine)
        self._workers: dict[str, Worker] = {}
        self._ready: set[str] = set()
        #: Where in the file of its stacks a worker's own begin.
        self._written: dict[str, int] = {}
        self._flying: dict[str, str] = {}
        #: The mesh that a worker has open, as far as the controller can tell.
        self._open: dict[str, str] = {}
        self._mesh_of: dict[str, str] = {}
        self._hang: Hang | None = None
        self._crash = Crash(how="died", stack="")
        #: Workers that were killed at a deadline although their test had just ended.
        self._late: set[str] = set()
        self._times = history.load(controller.rundir.history)
        self._deadlines = Deadlines(self._times, environment.name, environment.deadline)
        self._watchdog = Watchdog(controller.rundir)
        self._crew: Crew | None = None
        self._size = 0
        self._is_terse = True
        controller.place = self._place

    # xdist's hooks, and pytest's.

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Have pytest refuse what -k or -m cannot mean: workers would after they have collected, as if they crashed."""
        mark = self._config.pluginmanager.getplugin("mark")
        mark.pytest_collection_modifyitems(items=[], config=self._config)

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_xdist_setupnodes(self, config: pytest.Config, specs: list[Any]) -> None:
        """Keep xdist from starting workers: a slot comes first."""
        self._size = len(specs)
        specs.clear()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> SlotScheduling:
        """Replace xdist's schedulers, and what of its session starts and replaces workers."""
        session = Session.adopt(config.pluginmanager.getplugin("dsession"))
        self._is_terse = not audience.needs_all(config)
        self._audience = audience.Audience(config)
        self._crew = Crew(session, size=self._size, zygote=self._zygote, note=self._note)
        given = config.option.maxworkerrestart
        return SlotScheduling(
            self._crew,
            self._ground,
            self,
            size=self._size,
            post=session.post,
            max_deaths=None if given is None else int(given),
        )

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any, sched: Any) -> None:
        """Record the test that a worker died in."""
        self._controller.results.died(crashitem, report.node.gateway.id, self._hang or self._crash)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Stop watching; xdist ends what workers are left."""
        self._watchdog.close()

    def pytest_unconfigure(self) -> None:
        """End the process that workers are forked from, after xdist has ended them."""
        if self._crew is not None:
            self._crew.close()
        self._ground.close()

    # What the scheduler tells.

    def collected(self, ids: Sequence[str]) -> Dispatch:
        """Record the collection, and return the dispatch of what has no final outcome yet."""
        cells = self._controller.collected()
        meshes = {cell: mesh_of(cell) for cell in set(cells.values())}
        self._mesh_of = {test: meshes[cell] for test, cell in cells.items()}
        done = self._controller.book.final
        tests = [(test, cells[test]) for test in ids]
        # What stands now stands for good, and need not be looked at again and again.
        gc.freeze()
        tasks = workload.tasks(tests, self._matrix, self._environment, self._times, done=done)
        return workload.dispatch(
            self._machine,
            self._matrix,
            self._environment,
            tasks,
            workers=self._size,
            memory_bytes=self._made.memory_bytes,
            # Whoever wants to see every report gets it by xdist's channel, and is asked for each.
            offers=self._is_terse,
        )

    def suspects(self) -> frozenset[int]:
        """Return the chips that must be looked at before they are used: the run is a resumed one."""
        return doubt.suspects(read(self._controller.rundir.events, "examined", "judged"))

    def examined(self, slot: Slot) -> None:
        """Record that the chips of a slot must be looked at before they are used again."""
        self._log.write("examined", slot=slot.name, chips=sorted(self._machine.leased_with(slot.chips)))

    def judged(self, slot: Slot, spoiled: Collection[int]) -> None:
        """Record what came of that: the chips that are not used again."""
        chips = sorted(self._machine.leased_with(slot.chips))
        self._log.write("judged", slot=slot.name, chips=chips, spoiled=sorted(spoiled))

    def started(self, worker: Worker) -> None:
        """Record a worker, and watch it until it is ready."""
        self._workers[worker.name] = worker
        slot = worker.slot.name if worker.slot is not None else ""
        # A resumed run uses the names of workers again.
        self._written[worker.name] = stacks.size(self._controller.rundir.stack(worker.name))
        self._log.write("worker-started", worker=worker.name, slot=slot, pid=worker.pid, chips=self._place(worker.name))
        self._watchdog.started(worker.name, worker.pid, "", self._environment.deadline.start_s)

    def ready(self, worker: Worker) -> None:
        """Watch a worker no longer that has collected: from now on its tests are watched."""
        self._ready.add(worker.name)
        self._watchdog.ended(worker.name)

    def ended(self, worker: Worker, error: str, how: str = "died") -> None:
        """Record the end of a worker, and whether the watchdog has brought it about."""
        self._hang = self._watchdog.died(worker.name)
        if self._hang is None and self._watchdog.is_asking(worker.name):
            self._late.add(worker.name)
        self._crash = Crash(how=how, stack=self._fatal(worker))
        slot = worker.slot.name if worker.slot is not None else ""
        self._log.write("worker-ended", worker=worker.name, slot=slot, error=error)
        if error and worker.name not in self._flying:
            place = f" on {slot}" if slot else ""
            doing = "ended" if worker.name in self._ready else "started"
            why = error if self._hang is None else f"it hung while it {doing}, {self._hang}"
            self._log.write("infra", text=f"worker {worker.name} {how}{place} outside of any test: {why}")
        self._flying.pop(worker.name, None)

    def offered(self, test: str, worker: Worker) -> None:
        """Record that a worker may begin a test by itself: if it does so right before the end, that is known."""
        self._log.write("offered", test=test, worker=worker.name)

    def sent(self, test: str, worker: Worker) -> None:
        """Record that a test is sent, and watch it."""
        assert worker.slot is not None
        self._flying[worker.name] = test
        number = self._controller.results.begin(test)
        self._log.write("sent", test=test, worker=worker.name, slot=worker.slot.name, attempt=number)
        mesh = self._mesh_of[test]
        opens = self._open.get(worker.name) != mesh
        self._watchdog.started(worker.name, worker.pid, test, self._deadlines.of(test, opens=opens))
        self._open[worker.name] = mesh
        self._controller.progress.started(test, worker.name)

    def is_late(self, worker: Worker) -> bool:
        """Watch a test no longer; returns whether its worker was killed at the deadline although it had just ended."""
        if self._watchdog.ended(worker.name) is not None:
            self._late.add(worker.name)
        return worker.name in self._late

    def ending(self, worker: Worker) -> None:
        """Watch a worker that was told to end: fixtures and devices may hang while they are closed."""
        self._watchdog.started(worker.name, worker.pid, "", self._environment.deadline.end_s)

    def finished(self, test: str, worker: Worker, result: str | float) -> Again | None:
        """Record a test that has ended; ``result`` is what the worker says of one that passed."""
        self.is_late(worker)
        self._flying.pop(worker.name, None)
        if isinstance(result, str):
            passed = Passed.decode(result)
            self._controller.results.passed(test, worker.name, passed)
            self._audience.passed(test, passed)
            self._deadlines.observe(test, passed.duration_s)
            return None
        # Whatever went wrong, the next test opens its mesh anew.
        self._open.pop(worker.name, None)
        return self._controller.results.again(test)

    def is_condemned(self, worker: Worker) -> bool:
        """Return, after a test has ended, whether its worker could not open its slot's mesh, or is being killed."""
        # The chips of a virtual machine are its worker's own: the next one has others anyhow.
        has_no_mesh = bool(worker.slot and worker.slot.chips) and self._controller.results.found_no_mesh(worker.name)
        return has_no_mesh or worker.name in self._late

    def again(self, test: str) -> Again | None:
        """Return whether, and where not, a test runs again in which its worker died."""
        return self._controller.results.again(test)

    def given_up(self, test: str, reason: str) -> None:
        """Record a test that cannot run any more."""
        self._log.write("given-up", test=test, reason=reason)

    def tell(self) -> dict[str, object]:
        """Return what every worker is told."""
        return {"is_terse": self._is_terse}

    def _stand(self, machine: Machine) -> Ground:
        """Return the ground of the slots: a virtual machine's chips are its own, others must be leased."""
        if machine.shape is None:
            return Ground(machine)
        name = backends.get(self._environment).inventory(machine.name)
        run = self._controller.rundir.path.name
        leases = Leases(place.find(os.environ), name, run, log=place.log(os.environ))
        return Leasehold(machine, leases, self._environment, self._matrix.meshes, tell=self._announce)

    def _fatal(self, worker: Worker) -> str:
        return stacks.fatal(self._controller.rundir.stack(worker.name), self._written.get(worker.name, 0))

    def _announce(self, text: str) -> None:
        self._note(text)
        self._controller.progress.tell(text)

    def _note(self, text: str) -> None:
        self._log.write("note", text=text)

    def _place(self, worker: str) -> Collection[int]:
        found = self._workers.get(worker)
        return found.slot.chips if found is not None and found.slot is not None else ()
