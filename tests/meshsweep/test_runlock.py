"""One process at a time per run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshsweep.errors import InfraError, UserError
from meshsweep.record import runlock
from meshsweep.record.events import EventLog
from meshsweep.record.rundir import RunDir

HOLDER = """
import sys, time
from pathlib import Path
from meshsweep.record import runlock
from meshsweep.record.rundir import RunDir
rundir = RunDir(Path(sys.argv[1]))
held = runlock.hold(rundir) if sys.argv[2] == "run" else runlock.hold_events(rundir)
if sys.argv[2] == "run":
    held.__enter__()
print("held", flush=True)
time.sleep(600)
"""

pytestmark = pytest.mark.skipif(runlock.fcntl is None, reason="this system has no such locks")


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    path = tmp_path / "a-run"
    path.mkdir()
    log = EventLog(path / "events.jsonl")
    log.write("run-started", pid=11)
    log.write("controller-started", pid=22)
    log.close()
    return RunDir(path)


@pytest.mark.parametrize(("what", "pid"), [("run", 11), ("events", 22)])
def test_living_run_is_refused_until_killed(rundir: RunDir, what: str, pid: int) -> None:
    """The command, or pytest that has outlived it."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(rundir.path), what], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            with pytest.raises(UserError) as caught, runlock.hold(rundir):
                pass
        finally:
            holder.kill()

    assert str(caught.value) == f"a-run still runs: process {pid} carries it out; wait for it to end, or end it"
    with runlock.hold(rundir):
        pass


def test_run_can_be_held_again_and_again(rundir: RunDir) -> None:
    for _ in range(2):
        with runlock.hold(rundir):
            os.close(runlock.hold_events(rundir))


def test_log_is_held_once(rundir: RunDir) -> None:
    held = runlock.hold_events(rundir)
    with pytest.raises(InfraError, match="a-run still runs: process 22 carries it out"):
        runlock.hold_events(rundir)
    os.close(held)


def test_missing_run_is_infrastructure(tmp_path: Path) -> None:
    with pytest.raises(InfraError) as caught, runlock.hold(RunDir(tmp_path / "gone")):
        pass

    assert str(caught.value) == f"{tmp_path}/gone: cannot lock the run: No such file or directory"
