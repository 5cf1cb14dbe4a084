"""Gather what the tests of runs have measured: one sample per number, with the test and the seed that gave it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshsweep.cell import Cell
from meshsweep.errors import UserError
from meshsweep.numerics.measure import MEASURES
from meshsweep.record import rundir
from meshsweep.record.events import read
from meshsweep.record.rundir import RunDir
from meshsweep.results import ledger
from meshsweep.results.fold import fold
from meshsweep.results.ledger import NO_CELL, Ledger, Result

__all__ = ["Sample", "collect", "counts", "of_ledger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measured number of a component: the worst that a test in a cell met with a seed."""

    component: str
    measure: str
    cell: Cell
    value: float
    test: str
    seed: str
    environment: str
    has_passed: bool


def collect(home: Path, names: Sequence[str], *, everything: bool = False) -> tuple[Sample, ...]:
    """Return the samples of runs by name or directory, of all kept runs, or of the latest where none is named.

    Of a test that ran twice with the same seed the later run counts. Raises UserError for a run that is not there
    and for runs that measured nothing.
    """
    runs = _all(home) if everything else [rundir.find(home, name) for name in names or [None]]  # type: ignore[list-item]
    found: dict[tuple[str, ...], Sample] = {}
    for run in runs:
        for sample in of_ledger(fold(read(run.events))):
            found[sample.environment, sample.test, sample.seed, sample.component, sample.measure] = sample
    if not found:
        listed = ", ".join(run.path.name for run in runs)
        raise UserError(f"nothing was measured in {listed}; expected tests that record pcc.COMPONENT and the like")
    return tuple(found.values())


def _all(home: Path) -> list[RunDir]:
    # Names begin with the time of the run.
    runs = [RunDir(path) for path in sorted((home / "runs").glob("*")) if not path.is_symlink()]
    kept = [run for run in runs if run.events.exists()]
    return kept or [rundir.find(home, None)]


def of_ledger(found: Ledger) -> Iterator[Sample]:
    """Yield every number that the tests of a ledger have recorded for a component."""
    for result in found.results:
        if result.cell != NO_CELL:
            yield from _of_result(result, Cell.parse(result.cell))


def _of_result(result: Result, cell: Cell) -> Iterator[Sample]:
    for name, value in result.properties.items():
        measure, _, component = name.partition(".")
        if measure in MEASURES and component:
            yield Sample(
                component=component,
                measure=measure,
                cell=cell,
                value=ledger.as_number(value),
                test=result.test,
                seed=str(result.properties.get("seed", "")),
                environment=result.environment,
                has_passed=result.outcome == "passed",
            )


def counts(samples: Iterable[Sample]) -> dict[str, int]:
    """Return over how much samples were taken: meshes, scales, and tests times seeds."""
    listed = list(samples)
    return {
        "meshes": len({sample.cell.mesh for sample in listed}),
        "scales": len({sample.cell.scale for sample in listed}),
        "samples": len({(sample.environment, sample.test, sample.seed) for sample in listed}),
    }
