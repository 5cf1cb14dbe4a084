"""Tell what a run has left to do."""

from __future__ import annotations

from meshsweep.errors import UserError
from meshsweep.planning.plan import Plan, Wave
from meshsweep.record.events import read
from meshsweep.record.job import Job
from meshsweep.record.rundir import RunDir
from meshsweep.results.attempts import Book

__all__ = ["begun", "waves"]


def begun(rundir: RunDir) -> Job:
    """Return what a run was asked for. Raises UserError where it was killed before it had written that down."""
    started = next(read(rundir.events, "run-started"), None)
    if started is None or not rundir.plan.exists():
        raise UserError(f"{rundir.path.name}: nothing to resume: the run ended before it began; start it again")
    return Job.from_json(started)


def waves(made: Plan, rundir: RunDir) -> tuple[Wave, ...]:
    """Return the waves of a plan in which a test has no final outcome, or that were never collected."""
    final = Book(read(rundir.events)).final
    collected = {event["wave"]: event["tests"] for event in read(rundir.events, "collected")}
    return tuple(
        wave
        for wave in made.waves
        if wave.name not in collected or any(test not in final for test, _ in collected[wave.name])
    )
