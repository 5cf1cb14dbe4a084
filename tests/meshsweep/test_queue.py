"""Which test a free slot runs next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsweep.queue import Queue, Task, makespan

SLOTS = ("a", "b", "c")

#: Groups and whole seconds: sums of floats would differ by the order of adding.
task_lists = st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 9)), max_size=24).map(
    lambda rows: [Task(index=i, group=group, expected_s=float(time)) for i, (group, time) in enumerate(rows)]
)
turns = st.lists(st.sampled_from(SLOTS), max_size=60)


def task(index: int, group: str, expected_s: float = 1.0) -> Task:
    """Return a task."""
    return Task(index=index, group=group, expected_s=expected_s)


def drain(queue: Queue, turns: list[str]) -> list[tuple[str, Task]]:
    """Take by turns, and then by the first slot, until nothing waits."""
    taken = []
    for slot in [*turns, *["a"] * len(queue)]:
        found = queue.take(slot)
        if found is not None:
            taken.append((slot, found))
    return taken


@given(task_lists, turns)
def test_every_task_is_taken_once(tasks: list[Task], turns: list[str]) -> None:
    queue = Queue(tasks)
    taken = drain(queue, turns)

    assert sorted(found.index for _, found in taken) == list(range(len(tasks)))
    assert len(queue) == 0


@given(task_lists, turns)
def test_slot_keeps_its_waiting_group(tasks: list[Task], turns: list[str]) -> None:
    left = {group: sum(task.group == group for task in tasks) for group in "xyz"}
    holds: dict[str, str] = {}
    for slot, found in drain(Queue(tasks), turns):
        own = holds.get(slot)
        assert own is None or left[own] == 0 or found.group == own
        holds[slot] = found.group
        left[found.group] -= 1


@given(task_lists, turns)
def test_group_is_shared_only_last(tasks: list[Task], turns: list[str]) -> None:
    left = {group: sum(task.group == group for task in tasks) for group in "xyz"}
    holds: dict[str, str] = {}
    for slot, found in drain(Queue(tasks), turns):
        others = {group for holder, group in holds.items() if holder != slot}
        if found.group in others:
            assert all(group in others for group in "xyz" if left[group])
        holds[slot] = found.group
        left[found.group] -= 1


def test_heaviest_group_starts_first() -> None:
    queue = Queue([task(0, "light", 5), task(1, "heavy", 3), task(2, "heavy", 3)])

    assert [queue.take(slot).group for slot in "ab"] == ["heavy", "light"]


def test_longest_test_of_group_first() -> None:
    queue = Queue([task(0, "x", 1), task(1, "x", 3), task(2, "x", 2), task(3, "x", 2)])

    assert [found.index for _, found in drain(queue, [])] == [1, 2, 3, 0]


def test_idle_slot_helps_heaviest_group() -> None:
    queue = Queue([task(i, "x") for i in range(2)] + [task(i, "y") for i in range(2, 6)])
    queue.take("a")
    queue.take("b")
    queue.take("b")

    assert queue.take("c").group == "y"


def test_released_group_is_free_again() -> None:
    queue = Queue([task(i, "x", 2) for i in range(3)] + [task(3, "y")])
    queue.take("a")
    queue.release("a")

    assert queue.take("b").group == "x"


def test_empty_queue_hands_out_nothing() -> None:
    assert Queue([]).take("a") is None


@given(task_lists, st.integers(1, 4))
def test_makespan_lies_between_bounds(tasks: list[Task], slots: int) -> None:
    total = sum(task.expected_s for task in tasks)
    longest = max((task.expected_s for task in tasks), default=0.0)

    assert max(total / slots, longest) <= makespan(tasks, slots) <= total


@pytest.mark.parametrize(("slots", "seconds"), [(1, 8.0), (2, 4.0), (4, 3.0)])
def test_makespan_of_known_case(slots: int, seconds: float) -> None:
    tasks = [task(0, "x", 3), task(1, "y", 2), task(2, "y", 2), task(3, "x", 1)]

    assert makespan(tasks, slots) == seconds
