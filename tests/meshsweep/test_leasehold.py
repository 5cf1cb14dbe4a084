"""What a run does about chips that others want, and about chips that break."""

from __future__ import annotations

import queue
import re
from dataclasses import replace
from pathlib import Path

import pytest

from meshsweep.leases import pool
from meshsweep.leases.names import compact
from meshsweep.leases.pool import Leases
from meshsweep.leases.use import use
from meshsweep.matrix import Matrix
from meshsweep.planning.slots import Slot
from meshsweep.probe import Healthy, Spoiled
from meshsweep.workers.leasehold import Leasehold


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Run:
    """The ground of a run on a T3K, what it tells, and its clock."""

    def __init__(self, directory: Path, name: str, declared: Matrix) -> None:
        self.told: list[str] = []
        self.clock = Clock()
        self.leases = Leases(directory, "t3k", name)
        environment = replace(declared.environments["fake"], backend="simulated")
        self.ground = Leasehold(
            declared.machines["t3k"],
            self.leases,
            environment,
            declared.meshes,
            tell=self.told.append,
            clock=self.clock,
        )

    def freed(self) -> tuple[frozenset[int], ...]:
        """Return what can be had after a while."""
        self.clock.now += 1
        return self.ground.freed()


def slot(declared: Matrix, place: int, mesh: str = "1x2") -> Slot:
    """Return a slot of two chips."""
    chips = declared.machines["t3k"].placements(declared.meshes[mesh].shape)[place]
    return Slot(name=f"t3k.{mesh}.{place}", machine="t3k", chips=chips, mesh=mesh)


@pytest.fixture
def two(tmp_path: Path, declared: Matrix) -> tuple[Run, Run]:
    """Two runs on one host."""
    return Run(tmp_path, "a", declared), Run(tmp_path, "b", declared)


def test_worker_is_told_its_terms(two: tuple[Run, Run], declared: Matrix) -> None:
    ours, _ = two
    given = ours.ground.take(slot(declared, 0))

    assert given is not None
    lease = given["lease"]
    assert isinstance(lease, dict)
    assert (lease["machine"], set(lease["chips"]), lease["run"]) == ("t3k", {*slot(declared, 0).chips}, "a")


def test_whole_boards_are_leased(tmp_path: Path, declared: Matrix) -> None:
    """A chip behind another one cannot be left to somebody else."""
    t3k = declared.machines["t3k"]
    boards = tuple(replace(chip, board=chip.col, pcie=chip.id if chip.row else None) for chip in t3k.chips)
    run = Run(tmp_path, "a", declared)
    run.ground.machine = replace(t3k, chips=boards)
    chip = boards[0]
    given = run.ground.take(Slot(name="t3k.0", machine="t3k", chips=(chip.id,), mesh="1x1"))

    assert given is not None
    assert set(given["lease"]["chips"]) == {other.id for other in boards if other.board == chip.board}


def test_refused_chips_are_freed_later(two: tuple[Run, Run], declared: Matrix) -> None:
    ours, theirs = two
    ours.ground.take(slot(declared, 0))
    refused = theirs.ground.take(slot(declared, 0))
    before = (theirs.freed(), theirs.ground.is_waiting)
    ours.ground.leave(slot(declared, 0))

    assert (refused, before) == (None, ((), True))
    assert theirs.freed() == (frozenset(slot(declared, 0).chips),)
    assert theirs.ground.take(slot(declared, 0)) is not None
    assert not theirs.ground.is_waiting


def test_chips_that_nobody_takes_are_given_back(two: tuple[Run, Run], declared: Matrix) -> None:
    ours, theirs = two
    ours.ground.take(slot(declared, 0))
    theirs.ground.take(slot(declared, 0))
    ours.ground.leave(slot(declared, 0))
    theirs.freed()
    kept = ours.ground.take(slot(declared, 0))
    ours.ground.close()
    theirs.freed()

    assert kept is None
    assert ours.ground.take(slot(declared, 0)) is not None


def test_waiting_is_told_now_and_then_and_not_at_once(two: tuple[Run, Run], declared: Matrix) -> None:
    ours, theirs = two
    ours.ground.take(slot(declared, 0))
    ours.ground.take(slot(declared, 1))
    theirs.ground.take(slot(declared, 0))
    theirs.ground.take(slot(declared, 1))
    theirs.freed()
    early = list(theirs.told)
    for waiting in theirs.leases.waiting:
        waiting.since_s -= 2
    theirs.freed()
    theirs.freed()
    once = list(theirs.told)
    theirs.clock.now += 30
    theirs.freed()

    assert early == []
    assert len(once) == 1
    chips = compact(slot(declared, 0).chips + slot(declared, 1).chips)
    assert re.fullmatch(rf"t3k chips {chips}: waiting for \S+, run a \(pid \d+, since [^)]*\)", once[0])
    assert theirs.told == once * 2


def test_sound_chips_stay_with_the_run(two: tuple[Run, Run], declared: Matrix) -> None:
    ours, theirs = two
    here = slot(declared, 0)
    ours.ground.take(here)
    verdicts: queue.Queue[Healthy | Spoiled] = queue.Queue()
    ours.ground.examine(here, verdicts.put)
    sound = ours.ground.conclude(here, verdicts.get(timeout=30))
    freed = ours.freed()
    theirs_meanwhile = theirs.ground.take(here)
    theirs.ground.close()

    assert (sound, theirs_meanwhile, freed) == (frozenset(), None, ())
    assert ours.ground.take(replace(here, name="t3k.later")) is not None


def test_sound_chips_that_are_not_wanted_are_given_back(two: tuple[Run, Run], declared: Matrix) -> None:
    ours, theirs = two
    here = slot(declared, 0)
    ours.ground.take(here)
    ours.ground.conclude(here, Healthy(resets=1))
    ours.freed()
    ours.freed()

    assert theirs.ground.take(here) is not None
    assert [text.partition(": ")[2] for text in ours.told] == ["sound again after a reset"]


def test_spoiled_chips_are_kept_from_everybody(two: tuple[Run, Run], declared: Matrix) -> None:
    ours, theirs = two
    here = slot(declared, 0)
    ours.ground.take(here)
    spoiled = ours.ground.conclude(here, Spoiled(reason="it hangs"))
    ours.freed()
    ours.freed()
    refused = theirs.ground.take(here)
    ours.ground.close()

    assert (spoiled, refused) == (set(here.chips), None)
    assert theirs.freed() == (frozenset(here.chips),)
    assert [text.partition(": ")[2] for text in ours.told] == ["spoiled, not used again: it hangs"]


def test_sound_chips_beside_a_spoiled_one_stay_in_use(two: tuple[Run, Run], declared: Matrix) -> None:
    ours, theirs = two
    here = slot(declared, 0)
    bad, good = here.chips
    ours.ground.take(here)
    spoiled = ours.ground.conclude(here, Spoiled(reason="it hangs", chips=frozenset({bad})))
    ours.freed()
    ours.freed()

    assert spoiled == {bad}
    assert theirs.leases.take([good]) is not None
    assert theirs.leases.take([bad]) is None


def test_chips_of_an_orphan_are_given_up(
    two: tuple[Run, Run], declared: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = two
    here = slot(declared, 0)
    use(tmp_path, "t3k", here.chips, 0, run="killed")
    ours.ground.take(here)
    ours.freed()
    patient = ours.ground.forfeited()
    now = pool.time.monotonic()
    monkeypatch.setattr(pool.time, "monotonic", lambda: now + 121)

    assert patient == ()
    assert ours.ground.forfeited() == ((frozenset(here.chips), frozenset()),)
    (told,) = ours.told
    assert ", run killed (pid " in told
    assert told.endswith("which still has them open; given up after 120 s: end that process")
    assert not ours.ground.is_waiting
