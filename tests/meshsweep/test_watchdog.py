"""Workers that hang in ways that nothing inside them could end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from meshsweep.control import stacks
from meshsweep.control.stacks import Hang
from meshsweep.control.watchdog import Watchdog
from meshsweep.record.rundir import RunDir

#: A regular expression that takes longer than the universe has, and holds the interpreter's lock meanwhile.
NATIVE = "import re; print('about to match', flush=True); re.match('(a+)+b', 'a' * 60)"
PYTHON = "while True: pass"
ASLEEP = "import time; time.sleep(600)"

ARMED = """
import sys
from pathlib import Path
from meshsweep.control import stacks
stacks.arm(Path(sys.argv[1]))
def test_body():
    exec(compile(sys.argv[2], "<body>", "exec"), {})
Path(sys.argv[3]).touch()
test_body()
"""


class Worker:
    """A process whose output goes into a file, as pytest captures it."""

    def __init__(self, root: Path, body: str, rundir: RunDir) -> None:
        self.ready = root / "ready"
        with (root / "captured").open("wb") as captured:
            self.process = subprocess.Popen(
                [sys.executable, "-c", ARMED, str(rundir.stack("gw0")), body, str(self.ready)],
                stdout=captured,
                stderr=captured,
            )
        self.pid = self.process.pid
        until = time.monotonic() + 30
        while not self.ready.exists() and time.monotonic() < until:
            time.sleep(0.01)


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


@pytest.fixture
def dog(rundir: RunDir) -> Iterator[Watchdog]:
    made = Watchdog(rundir, patience_s=1.0)
    yield made
    made.close()


def watched(dog: Watchdog, worker: Worker) -> Hang:
    """Watch a worker until it is killed, and return how it hung."""
    dog.started("gw0", worker.pid, "t", 0.1)
    try:
        assert worker.process.wait(30) == -signal.SIGKILL
    finally:
        worker.process.kill()
    hang = dog.ended("gw0")
    assert hang is not None
    return hang


@pytest.mark.skipif(stacks.SIGNAL is None, reason="this system has no signal to ask for stacks with")
@pytest.mark.parametrize(("body", "state"), [(NATIVE, "running"), (PYTHON, "running"), (ASLEEP, "sleeping")])
def test_hang_is_killed_with_its_stack(tmp_path: Path, rundir: RunDir, dog: Watchdog, body: str, state: str) -> None:
    hang = watched(dog, Worker(tmp_path, body, rundir))

    assert (hang.worker, hang.test, hang.after_s) == ("gw0", "t", 0.1)
    assert "in test_body" in hang.stack
    assert "(most recent call first)" in hang.stack
    if sys.platform == "linux":
        assert str(hang) == f"killed at its deadline of 0.1 s, {state}"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the files of another process")
def test_what_was_printed_is_kept(tmp_path: Path, rundir: RunDir, dog: Watchdog) -> None:
    hang = watched(dog, Worker(tmp_path, NATIVE, rundir))

    assert hang.out == "about to match\n"


def test_stopped_worker_is_killed_without_stack(tmp_path: Path, rundir: RunDir, dog: Watchdog) -> None:
    worker = Worker(tmp_path, PYTHON, rundir)
    os.kill(worker.pid, signal.SIGSTOP)
    hang = watched(dog, worker)

    assert hang.stack == ""
    if sys.platform == "linux":
        assert str(hang) == "killed at its deadline of 0.1 s, stopped; no stack: the process did not answer"


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that sleep and have not armed themselves; they are killed in the end."""
    found = [subprocess.Popen([sys.executable, "-c", ASLEEP]) for _ in range(2)]
    yield found
    for process in found:
        process.kill()
        process.wait()


def test_worker_that_is_not_armed_is_killed(dog: Watchdog, processes: list[subprocess.Popen[bytes]]) -> None:
    dog.started("gw0", processes[0].pid, "t", 0.05)

    assert processes[0].wait(30) == -signal.SIGKILL
    assert dog.ended("gw0") is not None


def test_test_that_ends_in_time_is_left_alone(dog: Watchdog, processes: list[subprocess.Popen[bytes]]) -> None:
    dog.started("gw0", processes[0].pid, "t", 0.2)
    ended = dog.ended("gw0")
    time.sleep(0.5)

    assert (ended, processes[0].poll()) == (None, None)


def test_end_during_the_last_look_saves_the_worker(
    dog: Watchdog, processes: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result arrives while the stacks are written: it stands, and the worker lives on with its next test."""
    looked: list[int] = []

    def ends_meanwhile(pid: int) -> tuple[str, str]:
        looked.append(pid)
        dog.ended("gw0")
        dog.started("gw0", pid, "next", 60.0)
        return "", ""

    monkeypatch.setattr(stacks, "printed", ends_meanwhile)
    dog.started("gw0", processes[0].pid, "t", 0.05)
    time.sleep(0.5)

    assert (looked, processes[0].poll()) == ([processes[0].pid], None)
    assert dog.ended("gw0") is None


T = TypeVar("T")


def waited_for(found: list[T]) -> list[T]:
    """Return what another thread finds, once it has found something."""
    until = time.monotonic() + 30
    while not found and time.monotonic() < until:
        time.sleep(0.01)
    return found


def test_worker_that_dies_of_being_asked_has_hung(
    tmp_path: Path, rundir: RunDir, dog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump walks over frames that the interpreter is writing: now and then it kills what it should describe."""
    worker = Worker(tmp_path, ASLEEP, rundir)
    found: list[Hang | None] = []

    def dies(path: Path, ask: object, *, patience_s: float) -> str:
        with path.open("a") as file:
            file.write("half of a stack")
        worker.process.kill()
        worker.process.wait()
        found.append(dog.died("gw0"))
        return ""

    monkeypatch.setattr(stacks, "look", dies)
    dog.started("gw0", worker.pid, "t", 0.1)
    (hang,) = waited_for(found)

    assert hang is not None
    assert (hang.test, hang.state, hang.stack) == ("t", "sleeping", "half of a stack")


def test_worker_that_dies_in_its_next_test_has_not_hung(
    tmp_path: Path, rundir: RunDir, dog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was asked for its stacks because of the one before, which had ended after all."""
    worker = Worker(tmp_path, ASLEEP, rundir)
    found: list[tuple[Hang | None, bool]] = []

    def goes_on_and_dies(path: Path, ask: object, *, patience_s: float) -> str:
        dog.ended("gw0")
        dog.started("gw0", worker.pid, "next", 60.0)
        worker.process.kill()
        worker.process.wait()
        found.append((dog.died("gw0"), dog.is_asking("gw0")))
        return ""

    monkeypatch.setattr(stacks, "look", goes_on_and_dies)
    dog.started("gw0", worker.pid, "t", 0.1)

    assert waited_for(found) == [(None, True)]


def test_worker_that_dies_in_time_has_crashed(dog: Watchdog, processes: list[subprocess.Popen[bytes]]) -> None:
    dog.started("gw0", processes[0].pid, "t", 600.0)

    assert dog.died("gw0") is None


def test_sooner_deadline_is_not_slept_over(dog: Watchdog, processes: list[subprocess.Popen[bytes]]) -> None:
    """The thread waits for the first deadline it knows; one that comes before it wakes the thread."""
    dog.started("gw1", processes[1].pid, "long", 600.0)
    time.sleep(0.1)
    dog.started("gw0", processes[0].pid, "t", 0.05)

    assert processes[0].wait(30) == -signal.SIGKILL
    assert processes[1].poll() is None


def test_worker_that_died_before_is_no_error(rundir: RunDir, dog: Watchdog) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
        dog.started("gw0", process.pid, "t", 0.0)
        time.sleep(0.2)

    assert dog._thread.is_alive()


def test_only_the_last_words_of_a_process_are_told(tmp_path: Path) -> None:
    """Not what it was once asked for, nor what another of its name wrote before."""
    path = tmp_path / "gw0.txt"
    path.write_text("Fatal Python error: Aborted\n  in another\n")
    before = stacks.size(path)
    with path.open("a") as file:
        file.write("Current thread\n  in a test that was slow\n")
    asked = stacks.fatal(path, before)
    with path.open("a") as file:
        file.write("Fatal Python error: Segmentation fault\n  in this one\n")

    assert (asked, stacks.fatal(path, before)) == ("", "Fatal Python error: Segmentation fault\n  in this one\n")
