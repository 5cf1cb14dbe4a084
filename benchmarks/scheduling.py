"""Simulated sweeps on a Galaxy and a T3K, against the least time possible and against what others would need.

The sweeps are made up (``benchmarks.workloads``): drawn mixes of meshes, durations with a long tail or of GPT-OSS's
suite, cells that claim host memory. The bound is the greatest of those of chips, longest test and memory, with opens;
``known`` is with a history of every test, ``new`` with none. The rivals (``benchmarks.rivals``) are simulated as well,
in favour of them: they know nothing of memory, and their waves take the longest test first. Only planning is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.pairs import verdict
from benchmarks.rivals import by_hand, in_waves, load_s, one_at_a_time
from benchmarks.workloads import DURATIONS, Sweep, long_tail, sweep
from meshsweep import loader
from meshsweep.dispatch import Dispatch, best, lower_bound, simulate
from meshsweep.machines import Machine

__all__ = ["Figure", "Row", "run"]

TESTS = (50, 200, 500, 2000)
MACHINES = ("galaxy", "t3k")
MEDIAN_BOUND, WORST_BOUND, NEW_MEDIAN_BOUND = 1.10, 1.25, 1.25
LONG_TAIL_BOUND = 1.15
PLANNING_BOUND_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of sweep over several seeds: makespans over the lower bound, and over the rivals'."""

    name: str
    known: tuple[float, ...]
    new: tuple[float, ...]
    rivals: dict[str, float]

    @property
    def is_held(self) -> bool:
        """A row informs; the figures below the rows have the bounds."""
        return True

    def __str__(self) -> str:
        ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in self.rivals.items())
        return (
            f"{self.name}: known {median(self.known):.3f}, worst {max(self.known):.3f}; "
            f"new {median(self.new):.3f}, worst {max(self.new):.3f}; over {ratios}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number beside what it may be at most."""

    name: str
    value: float
    bound: float | None = None
    unit: str = ""

    @property
    def is_held(self) -> bool:
        """Say whether the number is within its bound; one without a bound only informs."""
        return self.bound is None or self.value <= self.bound

    def __str__(self) -> str:
        bound = "" if self.bound is None else f" ({verdict(f'{self.bound:g}{self.unit}', is_held=self.is_held)})"
        return f"{self.name}: {self.value:.3f}{self.unit}{bound}"


def run(root: Path, *, pairs: int) -> Iterable[Row | Figure]:
    """Yield a row for each kind of sweep over ``pairs`` seeds, then the figures that are held to a bound."""
    machines = loader.load(root / "matrix").machines
    rows = []
    for name in MACHINES:
        for durations in DURATIONS:
            for tests in TESTS:
                rows.append(_row(machines[name], durations, tests, seeds=range(pairs)))
                yield rows[-1]
    known = [ratio for row in rows for ratio in row.known]
    new = [ratio for row in rows for ratio in row.new]
    yield Figure(name="scheduling, known durations, median", value=median(known), bound=MEDIAN_BOUND)
    yield Figure(name="scheduling, known durations, worst", value=max(known), bound=WORST_BOUND)
    yield Figure(name="scheduling, no history, median", value=median(new), bound=NEW_MEDIAN_BOUND)
    yield from _long_tail(machines["virtual"], seeds=range(pairs))
    yield _planning(machines["galaxy"], seeds=range(pairs))


def _row(machine: Machine, durations: str, tests: int, *, seeds: Sequence[int]) -> Row:
    sweeps = [sweep(machine, durations, tests, seed) for seed in seeds]
    ours = [_makespan_s(one) for one in sweeps]
    bounds = [_bound_s(one) for one in sweeps]
    rivals: dict[str, Callable[[Sweep], float]] = {
        "xdist load in slots by hand": by_hand,
        "mesh after mesh": in_waves,
        "one test at a time": one_at_a_time,
    }
    return Row(
        name=f"{machine.name} {durations} {tests} tests",
        known=tuple(mine / bound for mine, bound in zip(ours, bounds, strict=True)),
        new=tuple(_makespan_s(one.forgotten()) / bound for one, bound in zip(sweeps, bounds, strict=True)),
        rivals={
            name: median(mine / rival(one) for mine, one in zip(ours, sweeps, strict=True))
            for name, rival in rivals.items()
        },
    )


def _long_tail(virtual: Machine, *, seeds: Sequence[int]) -> Iterable[Figure]:
    sweeps = [long_tail(virtual, seed=seed) for seed in seeds]
    for name, ratios in {
        "62 tests on 4 workers, known": [_makespan_s(one) / _bound_s(one) for one in sweeps],
        "62 tests on 4 workers, no history": [_makespan_s(one.forgotten()) / _bound_s(one) for one in sweeps],
    }.items():
        yield Figure(name=name, value=median(ratios), bound=LONG_TAIL_BOUND if "known" in name else None)
    theirs = [load_s(list(one.seconds.values()), 4) / _bound_s(one) for one in sweeps]
    yield Figure(name="62 tests on 4 workers, xdist load", value=median(theirs))


def _planning(machine: Machine, *, seeds: Sequence[int]) -> Figure:
    """Return the CPU seconds of planning 2,000 tests, the worst of the kinds of durations."""
    costs = []
    for durations in DURATIONS:
        for seed in seeds:
            one = sweep(machine, durations, TESTS[-1], seed)
            began = time.process_time()
            _dispatch(one)
            costs.append(time.process_time() - began)
    return Figure(name=f"planning {TESTS[-1]} tests, worst", value=max(costs), bound=PLANNING_BOUND_S, unit=" s")


def _dispatch(one: Sweep) -> Dispatch:
    return best(
        one.machine,
        one.meshes,
        one.tasks,
        workers=one.workers,
        memory_bytes=one.memory_bytes,
        open_s=one.open_s,
    )


def _makespan_s(one: Sweep) -> float:
    return simulate(_dispatch(one), one.seconds, open_s=one.open_s).makespan_s


def _bound_s(one: Sweep) -> float:
    return lower_bound(
        one.machine,
        one.meshes,
        one.tasks,
        one.seconds,
        workers=one.workers,
        memory_bytes=one.memory_bytes,
        open_s=one.open_s,
    ).seconds
