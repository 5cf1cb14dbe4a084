"""Carry out one run of chaos, from a seed to its violations."""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meshsweep import loader
from tests.chaos import agent, judge, processes
from tests.chaos.agent import Act, Agent
from tests.chaos.breaks import Break, install
from tests.chaos.equality import Reference, differences
from tests.chaos.host import Host
from tests.chaos.sweeps import Keeper

__all__ = ["SUITES", "References", "Verdict", "carry_out"]

#: So many suites there are on each machine: what an undisturbed run makes of one is found out once.
SUITES = 6

#: So long may the last processes take to be gone.
_GONE_S = 10.0


@dataclass(kw_only=True)
class Verdict:
    """What came of a run."""

    seed: int
    machine: str
    violations: list[str]
    done: Counter[str]
    tests: int = 0
    attempts: int = 0
    begun: int = 0
    resumes: int = 0
    slow: int = 0
    wall_s: float = 0.0
    directory: str = ""
    script: list[str] = field(default_factory=list)


def carry_out(
    seed: int, machine: str, references: References | None, where: Path, broken: Break | None = None
) -> Verdict:
    """Return what came of the run of a seed; the directory of one that went wrong is kept.

    A broken meshsweep is treated as its ``Break`` says, and is not compared with a run that nobody disturbs.
    """
    rng = random.Random(f"run {machine} {seed}")
    suites = (rng.randrange(SUITES), rng.randrange(SUITES))
    reruns = (rng.randint(0, 1), 1)
    began = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix=f"chaos-{machine}-{seed}-", dir=where)) / "host"
    host = Host.make(root, machine, suites, reruns, token=root.parent.name)
    if broken is not None:
        more = install(broken, root / "broken")
        for sweep in host.sweeps:
            sweep.variables.update(more)
    script = agent.draw(seed, machine) if broken is None else broken.script
    try:
        violations, demon, keepers = _play(host, script)
        if references is not None:
            violations += _differences(host, references, suites)
        verdict = _verdict(host, seed, violations, demon, keepers)
    finally:
        _sweep_up(host)
    verdict.wall_s = time.monotonic() - began
    if verdict.violations:
        (root / "told.txt").write_text("\n".join([*verdict.violations, "", *demon.told]) + "\n", encoding="utf-8")
        for sweep in host.sweeps:
            (sweep.project.root / "shown.txt").write_text("\n".join(sweep.lines), encoding="utf-8")
    else:
        shutil.rmtree(root.parent, ignore_errors=True)
    return verdict


class References:
    """What suites come to that nobody disturbs; each is found out when it is first asked for."""

    def __init__(self, where: Path) -> None:
        self._where = where
        self._found: dict[tuple[str, int, int], Reference] = {}
        self._busy = threading.Lock()

    def get(self, machine: str, suite: int, reruns: int) -> Reference:
        """Return what a suite comes to. Raises AssertionError where even that is not as it should be."""
        key = (machine, suite, reruns)
        with self._busy:
            if key not in self._found:
                self._found[key] = _undisturbed(machine, suite, reruns, self._where)
            return self._found[key]


def _undisturbed(machine: str, suite: int, reruns: int, where: Path) -> Reference:
    root = Path(tempfile.mkdtemp(prefix=f"calm-{machine}-{suite}-", dir=where)) / "host"
    host = Host.make(root, machine, (suite,), (reruns,), token=root.parent.name)
    calm = threading.Event()
    calm.set()
    keeper = Keeper(host.sweeps[0], calm)
    keeper.run()
    _await_end(host)
    found = keeper.violations + judge.judge(host, {}, ())
    if found:
        raise AssertionError(f"{root}: undisturbed, and yet: {'; '.join(found)}")
    reference = Reference.of(host.sweeps[0])
    shutil.rmtree(root.parent, ignore_errors=True)
    return reference


def _play(host: Host, script: Sequence[Act]) -> tuple[list[str], Agent, list[Keeper]]:
    """Let two sweeps and the agent loose, and wait for all."""
    machine = loader.load(host.sweeps[0].project.root / "matrix").machines[host.machine]
    calm = threading.Event()
    keepers = [Keeper(sweep, calm) for sweep in host.sweeps]
    threads = [threading.Thread(target=keeper.run) for keeper in keepers]
    demon = Agent(host, machine, script, over=lambda: not any(thread.is_alive() for thread in threads))
    for thread in threads:
        thread.start()
    try:
        demon.run()
    finally:
        calm.set()
        for thread in threads:
            thread.join()
    violations = [f"{keeper.sweep.mark} {text}" for keeper in keepers for text in keeper.violations]
    _await_end(host)
    violations += demon.violations
    return violations + judge.judge(host, demon.touched, demon.broken), demon, keepers


def _await_end(host: Host) -> None:
    until = time.monotonic() + _GONE_S
    while processes.find(f"{host.token}.") and time.monotonic() < until:
        time.sleep(0.1)


def _differences(host: Host, references: References, suites: tuple[int, ...]) -> list[str]:
    found = []
    for sweep, suite in zip(host.sweeps, suites, strict=True):
        if sweep.summary():
            reference = references.get(host.machine, suite, sweep.reruns)
            found += [f"{sweep.mark} {text}" for text in differences(reference, Reference.of(sweep))]
    return found


def _verdict(host: Host, seed: int, violations: list[str], demon: Agent, keepers: list[Keeper]) -> Verdict:
    tried = [judge.attempts(sweep) for sweep in host.sweeps]
    return Verdict(
        seed=seed,
        machine=host.machine,
        violations=violations,
        done=demon.done,
        tests=sum(len(sweep.designs) for sweep in host.sweeps),
        attempts=sum(len(found) for one in tried for found in one.values()),
        begun=sum(keeper.begun for keeper in keepers),
        resumes=sum(keeper.resumes for keeper in keepers),
        slow=sum(judge.slow(sweep, demon.touched) for sweep in host.sweeps),
        directory=str(host.root),
        script=demon.told,
    )


def _sweep_up(host: Host) -> None:
    for one in processes.find(f"{host.token}."):
        processes.send(one.pid, signal.SIGKILL)
