"""The least time that tests can need."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshsweep.dispatch import Bound, Dispatch, Task, best, lower_bound, simulate
from meshsweep.machines import Machine
from meshsweep.shape import MeshShape

from .machines import host

MESHES = {name: MeshShape.parse(name) for name in ("1x1", "1x2", "1x4", "2x2")}
VIRTUAL = Machine(name="virtual", about="", shape=None, runner=())


def bound(machine: Machine, *tests: tuple[str, float], open_s: float = 0.0, **limits: int | None) -> Bound:
    """Return the bound of tests of a mesh and a length, each claiming two bytes."""
    tasks = [Task(index=n, group=m, mesh=m, expected_s=s, memory_bytes=2) for n, (m, s) in enumerate(tests)]
    seconds = {task.index: task.expected_s or 0.0 for task in tasks}
    limits = {"workers": None, "memory_bytes": None, **limits}
    return lower_bound(machine, MESHES, tasks, seconds, open_s=open_s, **limits)


@pytest.mark.parametrize(
    ("found", "seconds", "limit"),
    [
        (bound(host("1x4"), ("1x1", 6.0), ("1x1", 1.0)), 6.0, "longest test"),
        (bound(host("1x4"), *[("1x1", 1.0)] * 8), 2.0, "chips"),
        (bound(host("1x4", paired=True), *[("1x1", 1.0)] * 8), 4.0, "chips"),
        (bound(host("1x4"), *[("1x1", 1.0)] * 8, workers=2), 4.0, "workers"),
        (bound(host("1x4"), *[("1x1", 1.0)] * 8, memory_bytes=3), 16 / 3, "memory"),
        (bound(VIRTUAL, *[("1x4", 1.0)] * 3, workers=2), 2.0, "workers"),
        # Nothing runs beside a mesh of all chips, and two of three large ones share their chips.
        (bound(host("1x4"), ("1x4", 5.0), ("1x1", 4.0)), 9.0, "chips"),
        (bound(host("1x4"), ("1x2", 3.0), ("1x2", 3.0), ("1x2", 3.0)), 6.0, "chips"),
        # Every mesh is opened, and nothing runs while the first ones are.
        (bound(host("1x2"), ("1x2", 1.0), ("1x1", 1.0), open_s=10.0), 22.0, "chips"),
    ],
)
def test_bound_names_what_sets_it(found: Bound, seconds: float, limit: str) -> None:
    assert (round(found.seconds, 6), found.limit) == (round(seconds, 6), limit)


def test_nothing_to_do_takes_no_time() -> None:
    assert bound(host("1x2")) == Bound(seconds=0.0, limit="chips")


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([host("1x2"), host("1x4"), host("2x2", rings=("1x4",)), host("1x4", paired=True), VIRTUAL]),
    st.lists(st.tuples(st.sampled_from(["1x1", "1x2"]), st.integers(1, 9)), min_size=1, max_size=3),
    st.integers(0, 5),
    st.integers(1, 3),
    st.sampled_from([None, 2, 5]),
)
def test_no_schedule_beats_the_bound(
    machine: Machine, tests: list[tuple[str, int]], open_s: int, workers: int, memory_bytes: int | None
) -> None:
    """Every order of so few tests, each run as soon as the dispatch would have it."""
    least = bound(
        machine, *[(mesh, float(s)) for mesh, s in tests], open_s=open_s, workers=workers, memory_bytes=memory_bytes
    )
    for order in permutations(range(len(tests))):
        tasks = [
            Task(index=place, group=str(place), mesh=tests[n][0], expected_s=float(tests[n][1]), memory_bytes=2)
            for place, n in enumerate(order)
        ]
        seconds = {task.index: task.expected_s or 0.0 for task in tasks}
        for make in (Dispatch, best):
            made = make(machine, MESHES, tasks, workers=workers, memory_bytes=memory_bytes, open_s=float(open_s))

            assert simulate(made, seconds, open_s=float(open_s)).makespan_s >= least.seconds - 1e-6
