"""Be the agent of chaos: kill, stop and break, by a script that was drawn from a seed."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meshsweep.machines import Machine
from tests.chaos import processes
from tests.chaos.host import Host, Sweep
from tests.chaos.processes import Process

__all__ = ["Act", "Agent", "draw"]

#: How long to look for a victim of the kind that the script asks for, in seconds.
_SEARCH_S = 10.0
#: How long to wait for results at most.
_RESULTS_S = 60.0
_POLL_S = 0.02
#: So long may what belongs to a killed process take to be gone.
_GONE_S = 10.0
#: Within this time of its start a process may not have asked the kernel yet to die with its parent.
_BORN_S = 0.1

_VERBS = {"kill": 10, "stop": 4, "pause": 4, "break": 3}
_VICTIMS = {"worker": 8, "zygote": 3, "controller": 4, "command": 3, "all": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something bad: what is done to whom of which sweeps, so long after the act before, or after so many results."""

    verb: str
    victim: str
    sweeps: tuple[int, ...]
    after_s: float
    after_results: int
    pause_s: float
    choice: float
    resets: int | None


def draw(seed: int, machine: str) -> tuple[Act, ...]:
    """Return the script of a run."""
    rng = random.Random(f"script {machine} {seed}")
    return tuple(_act(rng) for _ in range(rng.randint(1, 5)))


def _act(rng: random.Random) -> Act:
    verb = rng.choices(list(_VERBS), list(_VERBS.values()))[0]
    victim = rng.choices(list(_VICTIMS), list(_VICTIMS.values()))[0]
    in_hand = rng.random() < 0.6
    return Act(
        verb=verb,
        victim="chip" if verb == "break" else victim,
        sweeps=rng.choice([(0,), (1,), (0,), (1,), (0, 1)]),
        # Most of a run is its start, most of what can go wrong comes after it.
        after_s=0.0 if in_hand else round(rng.uniform(0.0, 2.5), 3),
        after_results=rng.randint(1, 12) if in_hand else 0,
        pause_s=round(rng.uniform(0.05, 3.0), 3),
        choice=rng.random(),
        resets=rng.choice([None, 1, 2]),
    )


@dataclass
class Agent:
    """Carries out a script on a host; knows afterwards whom it has touched."""

    host: Host
    machine: Machine
    script: Sequence[Act]
    #: Whether both sweeps are complete.
    over: Callable[[], bool]
    #: What was done to which process, in the order in which it was done.
    touched: dict[int, list[str]] = field(default_factory=dict)
    #: When chips were broken, from when to when.
    broken: list[tuple[float, float]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    _stopped: set[int] = field(default_factory=set)
    _newborn: set[int] = field(default_factory=set)
    _timers: list[threading.Thread] = field(default_factory=list)

    def run(self) -> None:
        """Carry out the script, then set everything going again that still stands still."""
        try:
            for act in self.script:
                self._await(act)
                for sweep in (self.host.sweeps[number] for number in act.sweeps):
                    self._do(act, sweep)
        finally:
            for timer in self._timers:
                timer.join()
            self.relent()

    def relent(self) -> None:
        """Mend the chips, and let everything go on that was stopped."""
        self._mend()
        for pid in list(self._stopped):
            self._continue(pid)

    def _await(self, act: Act) -> None:
        until = time.monotonic() + (act.after_s or _RESULTS_S)
        before = self._results(act)
        while time.monotonic() < until and not self.over():
            time.sleep(_POLL_S)
            if act.after_results and self._results(act) - before >= act.after_results:
                return

    def _results(self, act: Act) -> int:
        logs = [self.host.sweeps[number].events() for number in act.sweeps]
        return sum(log.read_bytes().count(b'{"event":"reported"') for log in logs if log is not None)

    def _do(self, act: Act, sweep: Sweep) -> None:
        if act.verb == "break":
            self._break(act)
            return
        found = self._victims(act, sweep)
        if not found:
            return
        self._note(f"{act.verb} {act.victim}")
        self.told.append(f"{time.time():.3f} {act.verb} {act.victim} {sweep.mark} {[one.pid for one in found]}")
        if act.verb == "kill" and act.victim in ("controller", "command", "all"):
            self._bury(sweep)
        if act.victim == "zygote" and act.verb == "kill":
            self._kill_zygote(found[0], sweep)
            return
        for victim in found:
            self._hit(act, victim.pid)

    def _victims(self, act: Act, sweep: Sweep) -> list[Process]:
        until = time.monotonic() + _SEARCH_S
        while time.monotonic() < until and not self.over():
            found = processes.find(sweep.mark)
            kinds = [one for one in found if act.victim in ("all", one.kind)]
            if kinds:
                return kinds if act.victim == "all" else [kinds[int(act.choice * len(kinds))]]
            time.sleep(_POLL_S)
        return []

    def _hit(self, act: Act, pid: int) -> None:
        self.touched.setdefault(pid, []).append(act.verb)
        if act.verb == "kill":
            processes.send(pid, signal.SIGKILL)
            return
        self._stopped.add(pid)
        if processes.age_s(pid) < _BORN_S:
            self._newborn.add(pid)
        processes.send(pid, signal.SIGSTOP)
        # A stopped worker is the watchdog's; everybody else somebody has to wake, or to kill, sooner or later.
        if act.verb == "pause" or act.victim != "worker":
            timer = threading.Timer(act.pause_s, self._continue, (pid,))
            timer.start()
            self._timers.append(timer)

    def _bury(self, sweep: Sweep) -> None:
        """See that nothing of a sweep outlives its controller, stopped or not."""
        doomed = {one.pid: one.kind for one in processes.find(sweep.mark) if one.kind != "command"}
        watch = threading.Thread(target=self._await_death, args=(doomed, sweep))
        self._timers.append(watch)
        watch.start()

    def _await_death(self, doomed: dict[int, str], sweep: Sweep) -> None:
        left = self._outliving(doomed, sweep)
        # One that was stopped as it was born finds its parent gone when it goes on, and ends then.
        for pid in left.keys() & self._newborn:
            processes.send(pid, signal.SIGCONT)
        if left.keys() <= self._newborn:
            left = self._outliving(left, sweep)
        self.violations += [f"{sweep.mark} {kind} {pid} outlives its controller" for pid, kind in left.items()]

    def _outliving(self, doomed: dict[int, str], sweep: Sweep) -> dict[int, str]:
        """Return which processes still live after a while."""
        until = time.monotonic() + _GONE_S
        left = doomed
        while left and time.monotonic() < until:
            time.sleep(0.2)
            alive = {one.pid for one in processes.find(sweep.mark)}
            left = {pid: kind for pid, kind in left.items() if pid in alive}
        return left

    def _kill_zygote(self, victim: Process, sweep: Sweep) -> None:
        """Kill the process that workers are forked from; they die with it, so all that there are must be known."""
        processes.send(victim.pid, signal.SIGSTOP)
        for one in processes.find(sweep.mark):
            if one.parent == victim.pid:
                self.touched.setdefault(one.pid, []).append("kill zygote")
        processes.send(victim.pid, signal.SIGKILL)

    def _continue(self, pid: int) -> None:
        self._stopped.discard(pid)
        processes.send(pid, signal.SIGCONT)

    def _break(self, act: Act) -> None:
        self._note("break chip")
        chip = sorted(one.id for one in self.machine.chips)[int(act.choice * len(self.machine.chips))]
        fault = {"fault": "absent" if act.choice < 0.6 else "missing"}
        fault |= {} if act.resets is None else {"resets": act.resets + self._resets(chip)}
        self.told.append(f"{time.time():.3f} break chip {chip} {fault}")
        self.broken.append((time.time(), float("inf")))
        self.host.break_chips({chip: fault})
        timer = threading.Timer(act.pause_s, self._mend)
        timer.start()
        self._timers.append(timer)

    def _mend(self) -> None:
        self.host.break_chips({})
        self.broken = [(start, min(end, time.time())) for start, end in self.broken]

    def _resets(self, chip: int) -> int:
        log = self.host.faults.with_name(self.host.faults.name + ".resets")
        return log.read_text().split("\n").count(f"{self.host.machine} {chip}") if log.exists() else 0

    def _note(self, what: str) -> None:
        self.done[what] += 1
