"""Who gets which chips, and who waits for whom."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from meshsweep.errors import InfraError
from meshsweep.leases import lock, names
from meshsweep.leases.pool import Lease, Leases
from meshsweep.leases.use import use


def run(directory: Path, name: str, machine: str = "galaxy") -> Leases:
    """Return a sweep of its own: locks belong to open files, so two in one process are like two processes."""
    return Leases(directory, machine, name)


def taken(lease: Lease | None) -> Lease:
    """Return a lease that was given."""
    assert lease is not None
    return lease


def test_chips_have_one_holder(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    taken(ada.take([0, 1]))

    assert bob.take([1, 2]) is None
    assert bob.take([2, 3]) is not None


def test_refused_request_holds_nothing(tmp_path: Path) -> None:
    ada, bob, eve = run(tmp_path, "a"), run(tmp_path, "b"), run(tmp_path, "e")
    taken(ada.take([1]))
    bob.take([0, 1])
    bob.close()

    assert eve.take([0]) is not None


def test_released_chips_can_be_taken(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    lease = taken(ada.take([0, 1]))
    lease.release()
    lease.release()

    assert bob.take([1]) is not None


def test_second_release_spares_the_next_holder(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    first = taken(ada.take([0]))
    first.release()
    taken(ada.take([0]))
    first.release()

    assert bob.take([0]) is None


def test_slot_without_chips_needs_no_place(tmp_path: Path) -> None:
    leases = run(tmp_path / "none", "a")

    assert taken(leases.take([])).chips == frozenset()
    assert not (tmp_path / "none").exists()


def test_machines_do_not_meet(tmp_path: Path) -> None:
    taken(run(tmp_path, "a", "galaxy").take([0]))

    assert run(tmp_path, "b", "galaxy.0").take([0]) is not None


def test_refused_chips_are_granted_when_free(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    lease = taken(ada.take([0, 1]))
    bob.take([1, 2])
    before = bob.poll()
    lease.release()

    assert (before, bob.poll()) == ((), (frozenset({1, 2}),))
    assert taken(bob.take([1])).chips == {1}
    assert bob.waiting == ()


def test_settling_frees_what_nobody_took(tmp_path: Path) -> None:
    ada, bob, eve = run(tmp_path, "a"), run(tmp_path, "b"), run(tmp_path, "e")
    lease = taken(ada.take([0, 1]))
    bob.take([0, 1])
    lease.release()
    bob.poll()
    kept = bob.take([0])
    before = eve.take([1])
    eve.close()
    bob.settle()

    assert (kept is None, before) == (False, None)
    assert eve.take([1]) is not None


def test_waiters_come_in_order(tmp_path: Path) -> None:
    ada, bob, eve = run(tmp_path, "a"), run(tmp_path, "b"), run(tmp_path, "e")
    lease = taken(ada.take([0, 1, 2, 3]))
    bob.take([0, 1, 2, 3])
    eve.take([3])
    lease.release()

    assert eve.poll() == ()
    assert ada.take([0]) is None
    assert bob.poll() == (frozenset({0, 1, 2, 3}),)


def test_waiter_for_other_chips_is_passed(tmp_path: Path) -> None:
    ada, bob, eve = run(tmp_path, "a"), run(tmp_path, "b"), run(tmp_path, "e")
    taken(ada.take([0, 1]))
    bob.take([1, 2])

    assert eve.take([3]) is not None
    assert eve.take([2]) is None


def test_place_in_the_queue_is_kept_once(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    taken(ada.take([0]))
    bob.take([0])
    first = bob.waiting
    bob.take([0])

    assert bob.waiting == first


def test_ticket_without_owner_counts_for_nothing(tmp_path: Path) -> None:
    stale = tmp_path / "galaxy.ticket.00000000000000000001.f.0badcafe"
    stale.write_text("{}")

    assert run(tmp_path, "a").take([0]) is not None
    assert not stale.exists()


def test_closing_gives_up_everything(tmp_path: Path) -> None:
    ada, bob, eve = run(tmp_path, "a"), run(tmp_path, "b"), run(tmp_path, "e")
    lease = taken(ada.take([0]))
    ada.take([1])
    bob.take([0, 1, 2])
    ada.close()
    lease.release()
    bob.close()

    assert eve.take([0, 1, 2]) is not None
    assert not list(tmp_path.glob("*.ticket.*"))


def test_waiting_says_for_whom(tmp_path: Path) -> None:
    ada, bob, eve = run(tmp_path, "night"), run(tmp_path, "b"), run(tmp_path, "e")
    taken(ada.take([0, 1, 2, 5]))
    bob.take([2, 3])
    eve.take([0, 1, 2, 5])

    assert re.fullmatch(
        rf"galaxy chips 0-2,5: waiting for \S+, run night \(pid {os.getpid()}, since \d{{4}}-\d\d-\d\d \d\d:\d\d\); "
        rf"first in the queue: \S+, run b \(pid {os.getpid()}, since .*\)",
        eve.waiting[0].message(),
    )


def test_waiting_for_its_turn_names_nobody(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    lease = taken(ada.take([3]))
    bob.take([3])
    lease.release()

    assert bob.waiting[0].message() == "galaxy chip 3: waiting for their turn"


def test_note_of_another_user_cannot_harm(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    taken(ada.take([0]))
    (tmp_path / "galaxy.0.lock").write_text(
        '{"user": "\\u001b[2Jroot", "run": "%s", "pid": 1, "since": 0, "token": ""}' % ("r" * 300)
    )
    bob.take([0])

    assert bob.holders([0]) == (f"[2Jroot, run {'r' * 80} (pid 1, since 1970-01-01 00:00)",)
    (tmp_path / "galaxy.0.lock").write_text("nonsense")
    assert bob.holders([0, 1]) == ("somebody",)


def test_run_waits_for_a_worker_without_controller(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    lease = taken(ada.take([0, 1]))
    worker = use(tmp_path, "galaxy", [0, 1], 0, token=lease.token, run="a/gw0")
    ada.close()
    refused = bob.take([1])
    bob.poll()

    assert refused is None
    assert ", run a/gw0 (pid" in bob.waiting[0].message()
    assert bob.waiting[0].message().endswith("), which still has them open")
    worker.release()
    assert bob.poll() == (frozenset({1}),)


def test_own_worker_is_waited_for_by_its_successor(tmp_path: Path) -> None:
    ada = run(tmp_path, "a")
    lease = taken(ada.take([0, 1]))
    leaving = lease.terms.use(timeout_s=0)
    lease.release()
    following = taken(ada.take([1]))

    with pytest.raises(InfraError, match="still in use"):
        following.terms.use(timeout_s=0)
    leaving.release()
    assert following.terms.use(timeout_s=0).files()


def test_kept_chips_are_for_the_next_take(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    lease = taken(ada.take([0, 1, 2]))
    lease.keep()
    lease.release()
    refused = bob.take([0])
    bob.close()
    ada_next = taken(ada.take([1, 2]))
    ada.settle()

    assert refused is None
    assert ada_next.token != lease.token
    assert (bob.take([0]) is None, bob.take([1]) is None) == (False, True)


def test_spoiled_chips_let_nobody_wait_for_whom_they_wait_for(tmp_path: Path) -> None:
    """Bob wants all, and first; Ada keeps a spoiled one until she ends: she would wait for Bob, and Bob for her."""
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    lease = taken(ada.take([0, 1]))
    bob.take([0, 1, 2, 3])
    before = ada.take([2, 3])
    lease.keep(but=[0])
    ada.settle()
    after = ada.take([2, 3])

    assert before is None
    assert after is not None
    assert bob.poll() == ()


def test_two_that_keep_spoiled_chips_do_not_wait_for_each_other(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    taken(ada.take([0, 1])).keep(but=[0])
    bob_lease = taken(bob.take([2, 3]))
    ada.settle()
    ada.take([2, 3])
    bob.take([0, 1])
    alone = ada.give_up(60)
    bob_lease.keep(but=[3])
    bob.settle()

    assert alone == ()
    assert ada.barred([2, 3]) == {3}
    assert [waiting.chips for waiting in ada.give_up(60)] == [{2, 3}]
    assert [waiting.chips for waiting in bob.give_up(60)] == [{0, 1}]


def test_who_has_nothing_spoiled_waits(tmp_path: Path) -> None:
    """The other run ends, and whoever comes next looks at its chips anew."""
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    taken(ada.take([0, 1])).keep(but=[0])
    ada.settle()
    bob.take([0, 1])
    patient = bob.give_up(60)
    ada.close()

    assert patient == ()
    assert bob.poll() == ({0, 1},)


def test_orphans_are_waited_for_only_so_long(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    held = taken(ada.take([2]))
    use(tmp_path, "galaxy", [1], 0)
    bob.take([1])
    bob.take([2])
    bob.poll()
    patient = bob.give_up(60)
    stuck = bob.give_up(0)

    assert patient == ()
    assert [waiting.chips for waiting in stuck] == [frozenset({1})]
    assert [waiting.chips for waiting in bob.waiting] == [held.chips]


def test_held_file_that_was_deleted_locks_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking another process deletes the file."""
    opened = lock._open

    def open_then_lose(path: Path) -> int:
        file = opened(path)
        path.unlink()
        monkeypatch.setattr(lock, "_open", opened)
        return file

    monkeypatch.setattr(lock, "_open", open_then_lose)
    taken(run(tmp_path, "a").take([0]))

    assert run(tmp_path, "b").take([0]) is None


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_files_are_for_all_users(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        ada, bob = run(tmp_path / "leases", "a"), run(tmp_path / "leases", "b")
        taken(ada.take([0]))
        bob.take([0])
    finally:
        os.umask(before)

    modes = {path.name.split(".")[1]: path.stat().st_mode & 0o7777 for path in (tmp_path / "leases").iterdir()}
    assert modes == {"0": 0o666, "ticket": 0o644}
    assert (tmp_path / "leases").stat().st_mode & 0o7777 == 0o1777


def test_symbolic_link_is_no_lease(tmp_path: Path) -> None:
    (tmp_path / "galaxy.0.lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(InfraError, match=r"galaxy.0.lock: cannot lock: it is a symbolic link, which no lease is;"):
        run(tmp_path, "a").take([0])
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_no_file_is_no_lease(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "galaxy.1.lock")
    leases = run(tmp_path, "a")

    with pytest.raises(InfraError, match=r"galaxy.1.lock: cannot lock: it is no file; free or open the place, or set"):
        leases.take([0, 1])
    assert run(tmp_path, "b").take([0]) is not None


def test_program_started_by_the_run_holds_nothing(tmp_path: Path) -> None:
    """Not even where it has inherited the file, as for a moment between fork and exec."""
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    lease = taken(ada.take([0]))
    with subprocess.Popen(["sleep", "60"], pass_fds=[ada._held[0].fileno()]) as program:
        lease.release()
        free = bob.take([0])
        program.kill()

    assert free is not None


def test_forked_child_of_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    taken(ada.take([0]))
    started, go = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.write(started[1], b".")
        os.read(go[0], 1)
        os._exit(0)
    os.read(started[0], 1)
    ada._held[0].forget()
    free = bob.take([0])
    os.write(go[1], b".")
    os.waitpid(child, 0)
    for end in (*started, *go):
        os.close(end)

    assert free is not None


def test_worker_that_starts_late_sees_the_new_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker of a killed controller starts in the very moment in which another looks for such workers."""
    ada, bob = run(tmp_path, "a"), run(tmp_path, "b")
    lease = taken(ada.take([0]))
    ada.close()
    seen = []

    def look(chips: frozenset[int]) -> bool:
        with pytest.raises(InfraError, match="no longer leased"):
            use(tmp_path, "galaxy", chips, 0, token=lease.token)
        seen.append(chips)
        return False

    monkeypatch.setattr(bob, "_is_used", look)

    assert bob.take([0]) is not None
    assert seen == [{0}]


def test_chips_are_listed_as_people_write_them() -> None:
    assert names.listed("t3k", [7, 0, 1, 2, 5, 6]) == "t3k chips 0-2,5-7"
    assert names.listed("t3k", [4]) == "t3k chip 4"
