"""What the log of owners tells, and what it finds wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshsweep.leases import process
from meshsweep.leases.pool import Leases
from meshsweep.leases.process import Process
from meshsweep.leases.record import Record, overlaps
from meshsweep.leases.use import use


def test_log_of_a_sound_run_has_no_overlap(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ada, bob = Leases(tmp_path, "t3k", "a", log=log), Leases(tmp_path, "t3k", "b", log=log)
    lease = ada.take([0, 1])
    assert lease is not None
    worker = use(tmp_path, "t3k", [0, 1], 0, log=log)
    bob.take([1, 2])
    worker.release()
    lease.release()
    bob.poll()
    bob.take([1])
    bob.settle()
    bob.close()

    lines = [json.loads(line) for line in log.read_text().split("\n") if line]
    assert [(line["do"], line["kind"], line["chips"]) for line in lines] == [
        ("take", "lock", [0, 1]),
        ("take", "use", [0, 1]),
        ("release", "use", [0, 1]),
        ("release", "lock", [0, 1]),
        ("take", "lock", [1, 2]),
        ("release", "lock", [2]),
        ("release", "lock", [1]),
    ]
    assert overlaps(log) == ()


def test_two_owners_at_once_are_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    Record(log, "t3k").take("lock", [0, 1])
    Record(log, "t3k").take("lock", [1, 2])
    Record(log, "t3k").take("use", [0])
    Record(log, "galaxy").take("lock", [0])

    (found,) = overlaps(log)
    assert found.startswith(f"t3k chip 1 (lock): taken by pid {os.getpid()} at ")
    assert f" while pid {os.getpid()} at " in found


def test_giving_back_what_another_has_is_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    Record(log, "t3k").take("lock", [0])
    Record(log, "t3k").release("lock", [0, 1])

    assert [found.partition(" at ")[0] for found in overlaps(log)] == [
        f"t3k chip {chip} (lock): given back by pid {os.getpid()}" for chip in (0, 1)
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells a process from a later one of its number")
def test_owner_that_was_killed_is_no_overlap(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import os, pathlib, sys\nfrom meshsweep.leases.record import Record\n"
        "Record(pathlib.Path(sys.argv[1]), 't3k').take('lock', [0])\nos.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(log)], check=False)
    Record(log, "t3k").take("lock", [0])

    assert overlaps(log) == ()


def test_torn_line_takes_no_other_with_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    Record(log, "t3k").take("lock", [0])
    with log.open("a") as torn:
        torn.write('\n{"t":1,"do":"rel')
    Record(log, "t3k").take("lock", [0])

    assert len(overlaps(log)) == 1


@pytest.mark.parametrize(("flags", "state"), [("4194304", "S"), ("4194308", "X")])
def test_process_that_has_begun_to_end_has_gone(flags: str, state: str) -> None:
    """It closes its files first, and is a zombie only later."""
    text = f"77 (a) b (c)) S 1 77 77 0 -1 {flags} {' '.join('0' * 12)} 4711 0 0"

    assert process._parse(text) == (state, 4711)


def test_zombie_and_later_process_are_not_alive() -> None:
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert not Process(pid=ended.pid, started=0).is_alive()
    current = Process.current()

    assert current.is_alive()
    assert not Process(pid=current.pid, started=current.started + 1).is_alive()
