"""The sweep of every night of one mesh, all of its scales, with two workers.

It has no rival: the bound is a number of minutes, meant for two cores of their own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.pairs import measure, verdict

__all__ = ["Span", "run"]

MESH = "1x8"
WORKERS = 2
BOUND_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How long something took, beside how long it may."""

    name: str
    wall_s: float
    bound_s: float

    @property
    def is_held(self) -> bool:
        """Say whether it took less than it may."""
        return self.wall_s < self.bound_s

    def __str__(self) -> str:
        bound = verdict(f"{self.bound_s:.0f} s", is_held=self.is_held)
        return f"{self.name}: wall {self.wall_s:.1f} s ({bound})"


def run(root: Path, *, pairs: int) -> list[Span]:
    """Run the sweep once, however many pairs others take; raises RuntimeError with its output where a test fails."""
    del pairs
    with TemporaryDirectory() as home:
        cells = ["--tier", "nightly", "--mesh", MESH, "--workers", str(WORKERS), "--home", home]
        cost = measure([sys.executable, "-m", "meshsweep", "run", *cells], root)
    return [Span(name=f"nightly sweep of {MESH} on {WORKERS} workers", wall_s=cost.wall_s, bound_s=BOUND_S)]
