"""The least time that tests can need on a machine, whatever the schedule, and what sets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from meshsweep.dispatch.action import Task
from meshsweep.machines import Machine
from meshsweep.shape import MeshShape

__all__ = ["Bound", "lower_bound"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Seconds that no schedule can beat, and why: ``chips``, ``longest test``, ``memory`` or ``workers``."""

    seconds: float
    limit: str


@dataclass(frozen=True, slots=True)
class _Job:
    seconds: float
    chips: int
    memory_bytes: int
    mesh: str


def lower_bound(
    machine: Machine,
    meshes: Mapping[str, MeshShape],
    tasks: Sequence[Task],
    seconds: Mapping[int, float],
    *,
    workers: int | None,
    memory_bytes: int | None,
    open_s: float = 0.0,
) -> Bound:
    """Return the greatest of several bounds that each hold for every schedule.

    ``seconds`` are the tests' by index. Chips count as leased: on boards with a chip that hides
    behind another, a mesh of one chip takes two. Every mesh is opened at least once.
    """
    leased = {mesh: _leased(machine, meshes, mesh) for mesh in {task.mesh for task in tasks}}
    jobs = [_Job(seconds[task.index], leased[task.mesh], task.memory_bytes, task.mesh) for task in tasks]
    if not jobs:
        return Bound(seconds=0.0, limit="chips")
    chips = len(machine.chips)
    bounds = [Bound(seconds=open_s + max(job.seconds for job in jobs), limit="longest test")]
    if workers is not None:
        bounds.append(Bound(seconds=_over(jobs, workers, open_s), limit="workers"))
    if memory_bytes:
        claimed = sum(job.seconds * job.memory_bytes for job in jobs)
        bounds.append(Bound(seconds=open_s + claimed / memory_bytes, limit="memory"))
    if chips:
        bounds.append(Bound(seconds=_chip_bound(jobs, chips, open_s), limit="chips"))
        bounds += [_large_only(jobs, size, chips, open_s) for size in sorted({job.chips for job in jobs} - {0})]
        bounds.append(_after_whole(jobs, chips, open_s, workers))
    return max(bounds, key=lambda bound: bound.seconds)


def _leased(machine: Machine, meshes: Mapping[str, MeshShape], mesh: str) -> int:
    places = machine.placements(meshes[mesh]) if mesh else ()
    return min((len(machine.leased_with(place)) for place in places), default=0)


def _over(jobs: Sequence[_Job], lanes: int, open_s: float) -> float:
    """Return the bound of tests that at most ``lanes`` can run at the same time."""
    ordered = sorted((job.seconds for job in jobs), reverse=True)
    # Of the first lanes + 1 tests, two share a lane, at best the two shortest.
    pair = ordered[lanes - 1] + ordered[lanes] if len(ordered) > lanes else 0.0
    return open_s + max(sum(ordered) / lanes, pair, ordered[0])


def _chip_bound(jobs: Sequence[_Job], chips: int, open_s: float) -> float:
    """Return the bound of chip-seconds: the tests', and those of the opens that the time itself asks for."""
    worked = sum(job.seconds * job.chips for job in jobs)
    loads: dict[tuple[str, int], float] = {}
    for job in jobs:
        loads[job.mesh, job.chips] = loads.get((job.mesh, job.chips), 0.0) + job.seconds

    def needed(total_s: float) -> float:
        # A mesh whose tests would take n times the time there is must be opened n times.
        opens = sum(size * ceil(load / max(total_s - open_s, 1e-9) - 1e-9) for (_, size), load in loads.items())
        return (worked + open_s * max(opens, chips)) / chips

    low = open_s + max(job.seconds for job in jobs)
    high = max(low, needed(low))
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if needed(middle) > middle else (low, middle)
    return low


def _large_only(jobs: Sequence[_Job], size: int, chips: int, open_s: float) -> Bound:
    """Return the bound of the tests that need at least ``size`` chips: few of them fit beside each other."""
    large = [job for job in jobs if job.chips >= size]
    limit = "longest test" if len(large) == 1 else "chips"
    return Bound(seconds=_over(large, max(1, chips // size), open_s), limit=limit)


def _after_whole(jobs: Sequence[_Job], chips: int, open_s: float, workers: int | None) -> Bound:
    """Return the bound from meshes of all chips, beside which nothing runs: before or after them comes the rest."""
    whole = [job for job in jobs if job.chips == chips]
    rest = [job for job in jobs if job.chips < chips]
    if not whole or not rest:
        return Bound(seconds=0.0, limit="chips")
    alone = open_s + sum(job.seconds for job in whole)
    others = [_large_only(rest, size, chips, open_s).seconds for size in {job.chips for job in rest} - {0}]
    of_chips = max([*others, _chip_bound(rest, chips, open_s)])
    of_workers = _over(rest, workers, open_s) if workers is not None else 0.0
    return Bound(seconds=alone + max(of_chips, of_workers), limit="workers" if of_workers > of_chips else "chips")
