"""Run the suite once for each fault, each in a process of its own, some at a time.

Processes are forked from one that has imported torch and the model, which saves most of what a run costs.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from tests.drill.fault import Fault
from tests.drill.plugin import NONE
from tests.drill.verdict import Failure, Result

__all__ = ["Run", "controls", "deadline_after", "run_all"]

ROOT = Path(__file__).absolute().parents[2]
# A run without a fault may take this long; one with a fault is held to what that run took on this host.
_CONTROL_S = 1800.0
_LEAST_S, _TIMES, _MORE_S = 120.0, 5.0, 60.0
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Run:
    """One pytest run: a fault or none, a cell, and the tests."""

    fault: str
    cell: tuple[str, str, str]
    suite: tuple[str, ...]
    quick: bool = False

    @classmethod
    def of(cls, fault: Fault, tests: Sequence[str] = (), *, quick: bool = False) -> Run:
        """Return the run that should catch a fault."""
        cell = fault.cell
        where = (cell.mesh, cell.dtype, cell.scale)
        return cls(fault=fault.name, cell=where, suite=tuple(tests) or fault.suite, quick=quick)

    @property
    def control(self) -> Run:
        """The same without the fault, which must pass first."""
        return Run(fault=NONE, cell=self.cell, suite=self.suite)

    def arguments(self, report: Path) -> list[str]:
        """Return what pytest is told."""
        mesh, dtype, scale = self.cell
        axes = [f"--sweep-mesh={mesh}", f"--sweep-dtype={dtype}", f"--sweep-scale={scale}"]
        named = [] if self.fault == NONE else [f"--fault={self.fault}"]
        quiet = ["-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "tests.drill.plugin"]
        # meshsweep, a plugin itself, has been imported by then: its assertions are its own affair.
        imported = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        if self.quick:
            quiet.append("-x")
        return [*quiet, *imported, *named, f"--fault-report={report}", *axes, *self.suite]


def controls(runs: Iterable[Run]) -> list[Run]:
    """Return the runs without a fault that must pass first: one for each cell and suite."""
    return sorted({run.control for run in runs})


def deadline_after(control_s: float) -> float:
    """Return how long a run may take whose control took ``control_s``: several times as long as this host takes."""
    return max(_LEAST_S, _TIMES * control_s + _MORE_S)


def run_all(
    runs: Iterable[Run],
    *,
    jobs: int,
    tell: Callable[[Result], None],
    deadlines_s: Mapping[Run, float] = MappingProxyType({}),
) -> dict[Run, Result]:
    """Return the result of each run, ``jobs`` at a time, telling each as it ends; a late one is ended."""
    prepare()
    waiting, running, results = list(runs), {}, {}
    with TemporaryDirectory() as directory:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                started = _Running(run, Path(directory) / str(len(waiting)), deadlines_s.get(run, _CONTROL_S))
                running[started.sentinel] = started
            wait(list(running), timeout=_LOOK_S)
            for sentinel, started in list(running.items()):
                if started.has_ended():
                    del running[sentinel]
                    results[started.run] = started.result()
                    tell(results[started.run])
    return results


def prepare() -> None:
    """Import once what every run needs; the tests themselves are left for pytest to import."""
    # Torch reads this when it is imported; a process with threads of its own does not fork well.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.chdir(ROOT)
    import ttemu

    ttemu.install()
    import tests.drill.catalogue  # noqa: F401  (for the imports that it makes)


def _work(run: Run, base: Path) -> None:
    import pytest

    with base.with_suffix(".txt").open("w", encoding="utf-8") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
        code = pytest.main(run.arguments(base.with_suffix(".json")))
        sys.stdout.flush()
    os._exit(int(code))


class _Running:
    """A run in its own process."""

    def __init__(self, run: Run, base: Path, deadline_s: float) -> None:
        self.run = run
        self._base = base
        self._deadline_s = deadline_s
        self._began = time.monotonic()
        how = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
        self._process = multiprocessing.get_context(how).Process(target=_work, args=(run, base))
        self._process.start()
        self._late = False
        self._took_s = 0.0

    @property
    def sentinel(self) -> int:
        """What becomes ready when the process ends."""
        return self._process.sentinel

    def has_ended(self) -> bool:
        """Return whether the process is over, after ending one that takes too long."""
        if self._process.is_alive() and time.monotonic() - self._began > self._deadline_s:
            self._late = True
            self._process.kill()
            self._process.join()
        self._took_s = time.monotonic() - self._began
        return not self._process.is_alive()

    def result(self) -> Result:
        """Return what the run wrote down, or what became of it."""
        report = self._base.with_suffix(".json")
        if self._late:
            return Result(fault=self.run.fault, trouble=f"the suite did not end within {self._deadline_s:g} s")
        if not report.exists():
            lines = self._base.with_suffix(".txt").read_text(encoding="utf-8").strip().splitlines()
            told = next((line for line in reversed(lines) if line.strip()), "nothing was printed")
            return Result(fault=self.run.fault, trouble=f"pytest ended with {self._process.exitcode}: {told}")
        return replace(from_json(json.loads(report.read_text(encoding="utf-8"))), took_s=self._took_s)


def from_json(found: Mapping[str, Any]) -> Result:
    """Return a result that was written as JSON."""
    return Result(**{**found, "failures": tuple(Failure(**failure) for failure in found["failures"])})
