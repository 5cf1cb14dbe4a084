"""Time two commands, or two calls inside one process, in turn, and give the ratio pair by pair.

A machine that slows down between two runs slows both halves of a pair, so the median of
the ratios holds where single times do not.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

__all__ = ["Comparison", "Cost", "compare", "compare_inside", "in_turn", "measure", "output", "verdict"]

_FIGURES = {"wall_s": "wall", "cpu_s": "CPU"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one process and all of its children needed."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Ours against a rival over several pairs."""

    name: str
    rival: str
    bound: float | None
    ours: tuple[Cost, ...]
    theirs: tuple[Cost, ...]
    bounded: str = "cpu_s"

    @property
    def is_held(self) -> bool:
        """Say whether the ratio of the ``bounded`` figure is within its bound; one without a bound only informs."""
        return self.bound is None or self.ratio(self.bounded) <= self.bound

    def ratio(self, figure: str) -> float:
        """Return the median ratio, ours over theirs, of ``wall_s`` or ``cpu_s``."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return median(getattr(mine, figure) / getattr(other, figure) for mine, other in pairs)

    def __str__(self) -> str:
        wall, cpu = self.ratio("wall_s"), self.ratio("cpu_s")
        mine, other = (median(cost.wall_s for cost in costs) for costs in (self.ours, self.theirs))
        bound = (
            "no bound"
            if self.bound is None
            else f"{_FIGURES[self.bounded]} {verdict(self.bound, is_held=self.is_held)}"
        )
        return (
            f"{self.name} / {self.rival}: wall {wall:.3f}, CPU {cpu:.3f} ({bound}); "
            f"medians {mine:.2f} s / {other:.2f} s over {len(self.ours)} pairs"
        )


def verdict(bound: object, *, is_held: bool) -> str:
    """Return which side of its bound a figure lies on."""
    return f"{'held' if is_held else 'OVER'}, bound {bound}"


def compare(
    name: str, ours: Sequence[str], rival: str, theirs: Sequence[str], *, root: Path, pairs: int, bound: float
) -> Comparison:
    """Run both commands once unmeasured, then in turn, and return what they cost, wall time held to the bound."""
    measure(ours, root)
    measure(theirs, root)
    costs = [(measure(ours, root), measure(theirs, root)) for _ in range(pairs)]
    return Comparison(
        name=name,
        rival=rival,
        bound=bound,
        ours=tuple(mine for mine, _ in costs),
        theirs=tuple(other for _, other in costs),
        bounded="wall_s",
    )


def measure(command: Sequence[str], root: Path) -> Cost:
    """Return what a command costs; raises RuntimeError with its output where it fails."""
    before = os.times()
    start = time.perf_counter()
    output(command, root)
    wall_s = time.perf_counter() - start
    after = os.times()
    cpu_s = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return Cost(wall_s=wall_s, cpu_s=cpu_s)


def output(command: Sequence[str], root: Path) -> str:
    """Return what a command prints; raises RuntimeError with it where the command fails."""
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def in_turn(ours: Callable[[], object], theirs: Callable[[], object], *, pairs: int) -> str:
    """Call both once unmeasured, then in turn, and return for ``compare_inside`` what they cost."""
    return json.dumps([(_seconds(ours), _seconds(theirs)) for _ in range(pairs + 1)][1:])


def compare_inside(name: str, rival: str, command: Sequence[str], *, root: Path, bound: float | None) -> Comparison:
    """Run a command whose last line is what ``in_turn`` returns, and return the costs, CPU time held to the bound."""
    ours, theirs = (
        tuple(Cost(wall_s=wall_s, cpu_s=cpu_s) for wall_s, cpu_s in half)
        for half in zip(*json.loads(output(command, root).splitlines()[-1]), strict=True)
    )
    return Comparison(name=name, rival=rival, bound=bound, ours=ours, theirs=theirs)


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu
