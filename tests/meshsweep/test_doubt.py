"""Chips that a hang or crash has spoiled."""

from __future__ import annotations

import pytest

from meshsweep.control.doubt import Doubts, suspects


@pytest.mark.parametrize("outcome", ["hang", "crashed"])
def test_next_failure_on_spoiled_chips_is_excused(outcome: str) -> None:
    doubts = Doubts()
    before = doubts.cover("b", {0, 1})
    doubts.learn("a", {0, 1}, outcome)

    assert (before, doubts.cover("b", {0, 1}), doubts.cover("b", {1, 2}), doubts.cover("b", {2, 3})) == (
        False,
        True,
        True,
        False,
    )


def test_test_that_spoiled_the_chips_is_not_excused() -> None:
    doubts = Doubts()
    doubts.learn("a", {0}, "crashed")

    assert not doubts.cover("a", {0})


@pytest.mark.parametrize(("outcome", "is_proven"), [("passed", True), ("xfailed", True), ("skipped", False)])
def test_pass_proves_the_chips(outcome: str, is_proven: object) -> None:
    doubts = Doubts()
    doubts.learn("a", {0, 1}, "hang")
    doubts.learn("b", {0, 1}, outcome)

    assert (not doubts.cover("c", {0, 1})) is is_proven


def test_test_is_excused_once_on_the_same_chips() -> None:
    """On a machine of one slot it runs again there, and is believed."""
    doubts = Doubts()
    doubts.learn("a", {0}, "crashed")
    doubts.learn("b", {0}, "collateral")

    assert (doubts.cover("b", {0}), doubts.cover("c", {0})) == (False, True)


def test_virtual_machines_hold_no_doubts() -> None:
    doubts = Doubts()
    doubts.learn("a", (), "crashed")

    assert not doubts.cover("b", ())


STARTED = [
    {"event": "worker-started", "worker": "gw0", "chips": [0, 1]},
    {"event": "worker-started", "worker": "gw1", "chips": [2]},
]


def reported(worker: str, test: str, outcome: str, **more: str) -> dict[str, str]:
    """Return an event."""
    return {"event": "reported", "worker": worker, "test": test, "outcome": outcome, **more}


def test_doubts_outlive_their_process() -> None:
    doubts = Doubts([*STARTED, reported("gw0", "a", "crashed"), reported("gw1", "b", "passed")])

    assert (doubts.cover("c", {1}), doubts.cover("a", {1}), doubts.cover("c", {2})) == (True, False, False)


def test_crash_in_doubt_stays_a_crash() -> None:
    """It counted as collateral, and yet it has left the chips in doubt for everybody else."""
    seen = [reported("gw0", "a", "crashed"), reported("gw0", "b", "collateral"), reported("gw0", "c", "collateral")]
    assert not Doubts([*STARTED, *seen]).cover("b", {0})
    seen[2]["seen"] = "crashed"

    assert Doubts([*STARTED, *seen]).cover("b", {0})


def test_chips_that_nobody_has_looked_at_are_suspect() -> None:
    events = [
        {"event": "examined", "chips": [0, 1]},
        {"event": "examined", "chips": [2, 3]},
        {"event": "examined", "chips": [4, 5]},
        {"event": "judged", "chips": [0, 1], "spoiled": []},
        {"event": "judged", "chips": [2, 3], "spoiled": [3]},
    ]

    assert suspects(events) == {3, 4, 5}
