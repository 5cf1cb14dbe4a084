"""Two users on one host; needs root, who can be both."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")

#: What a user does: each command line is a call, and the answer is printed.
USER = """
    import os, sys
    from pathlib import Path
    from meshsweep.leases.pool import Leases
    from meshsweep.leases.use import use

    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
    os.umask(0o077)
    leases = Leases(Path(sys.argv[1]), "t3k", f"run of {sys.argv[2]}")
    print("ready", flush=True)
    for line in sys.stdin:
        print(repr(eval(line)), flush=True)
"""


class User:
    """A process of another user."""

    def __init__(self, directory: Path, number: int) -> None:
        command = [sys.executable, "-c", dedent(USER), str(directory), str(number)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.answer() == "ready"

    def answer(self) -> str:
        """Return the next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def does(self, call: str) -> str:
        """Return what a call gives."""
        assert self.process.stdin is not None
        self.process.stdin.write(call + "\n")
        self.process.stdin.flush()
        return self.answer()

    def kill(self) -> None:
        """End without a word."""
        with self.process:
            self.process.kill()


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the first user makes, in one where everybody may; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="leases-") as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder) / "leases"


def test_users_share_no_chip(place: Path) -> None:
    ada, bob = User(place, 60001), User(place, 60002)
    first = ada.does("leases.take([0, 1]) is not None")
    refused = bob.does("leases.take([1, 2])")
    said = bob.does("leases.waiting[0].message()")
    queued = ada.does("leases.take([2])")
    ada.kill()
    granted = bob.does("leases.poll()")
    bob.kill()
    eve = User(place, 60003)
    after = eve.does("leases.take([0, 1, 2, 3]) is not None")
    left = eve.does("use(Path(sys.argv[1]), 't3k', [0], 0) is not None")
    eve.kill()

    assert (first, refused, queued) == ("True", "None", "None")
    assert "t3k chips 1-2: waiting for user 60001, run run of 60001 (pid " in said
    assert granted == "(frozenset({1, 2}),)"
    assert (after, left) == ("True", "True")


def test_users_cannot_remove_each_others_locks(place: Path) -> None:
    ada, bob = User(place, 60001), User(place, 60002)
    ada.does("leases.take([0]) is not None")
    removed = bob.does("os.system(f'rm -rf {sys.argv[1]}/* 2>/dev/null') == 0")
    refused = bob.does("leases.take([0])")
    ada.kill()
    bob.kill()

    assert (removed, refused) == ("False", "None")
