"""One test in flight per worker."""

from __future__ import annotations

import pytest

from meshsweep.errors import InfraError
from meshsweep.queue import Queue, Task
from meshsweep.scheduler import PullScheduling

IDS = ["a1", "a2", "b1", "b2"]


class Node:
    """A worker that notes what it is sent; its gateway is itself."""

    shutting_down = False

    def __init__(self, name: str) -> None:
        self.id = name
        self.gateway = self
        self.got: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.got += indices


class Sweep:
    """A scheduler over four tests of the groups a and b, with slots named after the workers' hands."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.slots = {"gw0": "left", "gw1": "right"}
        self.sched = PullScheduling(
            make_queue=lambda ids: Queue([Task(index=i, group=x[0], expected_s=1.0) for i, x in enumerate(ids)]),
            slot_of=lambda worker: self.slots[worker],
            sent=lambda test, worker: self.sent.append((test, worker)),
        )

    def join(self, name: str, ids: list[str] | None = None) -> Node:
        """Start a worker that has collected, as xdist does."""
        node = Node(name)
        self.sched.add_node(node)
        self.sched.add_node_collection(node, IDS if ids is None else ids)
        self.sched.schedule()
        return node


def test_worker_gets_one_test_at_once() -> None:
    sweep = Sweep()
    node = sweep.join("gw0")

    assert len(node.got) == 1
    assert sweep.sent == [(IDS[node.got[0]], "gw0")]


def test_next_test_follows_the_report() -> None:
    sweep = Sweep()
    node = sweep.join("gw0")
    for index in list(range(4)):
        assert len(node.got) == index + 1
        sweep.sched.mark_test_complete(node, node.got[-1])

    assert sorted(node.got) == [0, 1, 2, 3]
    assert sweep.sched.tests_finished


def test_workers_keep_to_their_groups() -> None:
    sweep = Sweep()
    first, second = sweep.join("gw0"), sweep.join("gw1")
    for node in (first, second):
        sweep.sched.mark_test_complete(node, node.got[-1])

    assert {IDS[index][0] for index in first.got} != {IDS[index][0] for index in second.got}


def test_late_worker_keeps_nobody_waiting() -> None:
    """The first starts on its own collection, before the second has one."""
    sweep = Sweep()
    slow = Node("gw1")
    sweep.sched.add_node(slow)
    node = sweep.join("gw0")

    assert (len(node.got), slow.got) == (1, [])


def test_run_ends_with_last_report() -> None:
    sweep = Sweep()
    node = sweep.join("gw0", ["a1"])

    assert (sweep.sched.tests_finished, sweep.sched.has_pending) == (False, True)
    sweep.sched.mark_test_complete(node, 0)
    assert (sweep.sched.tests_finished, sweep.sched.has_pending) == (True, False)


def test_nothing_is_finished_before_collection() -> None:
    sched = Sweep().sched

    assert (sched.collection_is_completed, sched.tests_finished) == (False, False)


def test_empty_collection_is_finished_at_once() -> None:
    sweep = Sweep()
    sweep.join("gw0", [])

    assert sweep.sched.tests_finished


def test_crash_returns_the_test_in_flight() -> None:
    sweep = Sweep()
    node = sweep.join("gw0")

    assert sweep.sched.remove_node(node) == IDS[node.got[0]]
    assert sweep.sched.nodes == []


def test_idle_worker_leaves_without_a_test() -> None:
    sweep = Sweep()
    node = sweep.join("gw0", ["a1"])
    sweep.sched.mark_test_complete(node, 0)

    assert sweep.sched.remove_node(node) is None


def test_replacement_goes_on_in_same_group() -> None:
    sweep = Sweep()
    dead, other = sweep.join("gw0"), sweep.join("gw1")
    sweep.sched.remove_node(dead)
    sweep.slots["gw2"] = sweep.slots.pop("gw0")
    replacement = sweep.join("gw2")

    assert IDS[replacement.got[0]][0] == IDS[dead.got[0]][0] != IDS[other.got[0]][0]
    assert replacement.got != dead.got


def test_group_of_dead_worker_is_free() -> None:
    sweep = Sweep()
    ids = ["a1", "a2", "a3", "b1"]
    sweep.sched.remove_node(sweep.join("gw0", ids))
    other = sweep.join("gw1", ids)

    assert ids[other.got[0]][0] == "a"


def test_last_crash_ends_the_run() -> None:
    sweep = Sweep()
    sweep.sched.remove_node(sweep.join("gw0", ["a1"]))

    assert sweep.sched.tests_finished


def test_worker_shutting_down_gets_nothing() -> None:
    sweep = Sweep()
    node = sweep.join("gw0")
    node.shutting_down = True
    sweep.sched.mark_test_complete(node, node.got[-1])

    assert len(node.got) == 1


@pytest.mark.parametrize("ids", [["a1", "a2", "b1"], ["b2", "b1", "a2", "a1"]])
def test_different_collections_are_refused(ids: list[str]) -> None:
    sweep = Sweep()
    sweep.join("gw0")
    with pytest.raises(InfraError) as caught:
        sweep.join("gw1", ids)

    assert "Different tests were collected between the first worker and gw1" in str(caught.value)
    assert "-b2" in str(caught.value)


def test_rerun_and_stealing_are_not_offered() -> None:
    with pytest.raises(NotImplementedError, match="a1: rerunning a test is not offered"):
        Sweep().sched.mark_test_pending("a1")
    with pytest.raises(NotImplementedError, match="nothing waits at a worker"):
        Sweep().sched.remove_pending_tests_from_node(Node("gw0"), [0])
