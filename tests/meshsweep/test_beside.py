"""What a copy of a process does meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from meshsweep.beside import beside

from .test_zygote import gone


@pytest.mark.parametrize("copies", [True, False])
def test_both_are_done(tmp_path: Path, *, copies: bool) -> None:
    done = tmp_path / "done"
    with beside(lambda: note(done), copies=copies):
        here = os.getpid()

    assert [pid == str(here) for pid in done.read_text().split()] == [not copies]


def note(path: Path) -> None:
    """Write down which process this is."""
    with path.open("a") as file:
        print(os.getpid(), file=file)


def test_copy_that_dies_is_made_up_for(tmp_path: Path) -> None:
    done = tmp_path / "done"
    here = os.getpid()

    def dies() -> None:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        note(done)

    with beside(dies):
        pass

    assert done.read_text().split() == [str(here)]


def test_what_a_task_raises_is_raised_here(capfd: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"), beside(fails):
        pass
    assert capfd.readouterr() == ("", "")


def test_block_that_raises_leaves_no_copy(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with pytest.raises(KeyError), beside(lambda: note(done)):
        raise KeyError
    copy = int(done.read_text())

    assert copy != os.getpid()
    with pytest.raises(ChildProcessError):
        os.waitpid(copy, os.WNOHANG)


def test_copy_that_cannot_be_made_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError("no room for another process")

    monkeypatch.setattr(os, "fork", fork)
    done = tmp_path / "done"
    with beside(lambda: note(done)):
        pass

    assert done.read_text().split() == [str(os.getpid())]


ORPHAN = """
    import os, signal, time
    from meshsweep.beside import beside

    def task():
        print(os.getpid(), flush=True)
        time.sleep(60)

    with beside(task):
        time.sleep(60)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the copy goes on to its end")
def test_copy_ends_with_its_process() -> None:
    command = [sys.executable, "-c", dedent(ORPHAN)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        copy = int(process.stdout.readline())
        process.kill()
        process.wait()

    assert gone([copy])
