"""Find the policy that suits a set of tests, by carrying out several on paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from meshsweep.dispatch.action import Task
from meshsweep.dispatch.bound import lower_bound
from meshsweep.dispatch.dispatch import Dispatch
from meshsweep.dispatch.estimate import Estimate
from meshsweep.dispatch.floorplan import Floorplan
from meshsweep.dispatch.policy import Policy
from meshsweep.dispatch.simulation import simulate
from meshsweep.machines import Machine
from meshsweep.shape import MeshShape

__all__ = ["best"]

#: What simulations while planning may cost, in tests: 2,000 tests must be planned in half a second.
_PATIENCE = 8_000
#: Opening a slot costs a simulation as much as so many tests.
_OPEN_COST = 8
#: This close to the lower bound nothing better is looked for.
_CLOSE = 1.015
#: Further from it than this, patience is doubled.
_FAR = 1.08
#: Part of a worker's share that makes a test a long one, which starts before all others.
_LONG = 0.25


def best(
    machine: Machine,
    meshes: Mapping[str, MeshShape],
    tasks: Sequence[Task],
    *,
    workers: int | None,
    memory_bytes: int | None,
    open_s: float = 0.0,
    ahead_s: float = 0.0,
) -> Dispatch:
    """Return a dispatch of these tests with the policy that is done first on paper.

    Without a history there is nothing to simulate: slots are then shared out by what is left.
    """
    floor = Floorplan(machine, meshes)

    def dispatch(policy: Policy, ahead_s: float = ahead_s) -> Dispatch:
        return Dispatch(
            machine,
            meshes,
            tasks,
            workers=workers,
            memory_bytes=memory_bytes,
            open_s=open_s,
            ahead_s=ahead_s,
            policy=policy,
            floorplan=floor,
        )

    if not any(task.expected_s is not None for task in tasks):
        return dispatch(Policy(order="tail", horizon_s=0.0))
    estimate = Estimate(tasks)
    seconds = {task.index: estimate.of(task) for task in tasks}
    if not floor.all:
        # Any worker runs any test: with the long ones first there is nothing to choose.
        return dispatch(Policy(long_s=_LONG * sum(seconds.values()) / (workers or len(tasks))))
    possible = [task for task in tasks if floor.holds(task.mesh, floor.all)]
    bound = lower_bound(
        machine, meshes, possible, seconds, workers=workers, memory_bytes=memory_bytes, open_s=open_s
    ).seconds
    found, least_s = Policy(), float("inf")
    spent = 0
    for policy in _policies(bound):
        if spent > _PATIENCE * (2 if least_s > _FAR * bound else 1) or least_s <= _CLOSE * bound:
            break
        timeline = simulate(dispatch(policy, 0.0), seconds, open_s=open_s)
        spent += len(timeline.bars) + _OPEN_COST * len(timeline.slots)
        if timeline.makespan_s < least_s:
            found, least_s = policy, timeline.makespan_s
    return dispatch(found)


def _policies(bound: float) -> Iterator[Policy]:
    """Yield policies, those that were best most often first."""
    for slack in (1.1, 1.0, 1.2, None, 1.05):
        for share in (None, 0.25, 0.1, 0.5):
            for order in ("tail", "long", "large"):
                yield Policy(order=order, long_s=share and share * bound, horizon_s=slack and slack * bound)
