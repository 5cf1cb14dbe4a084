"""Whole runs on a simulated machine: two that share its chips, and one whose chips break."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshsweep.leases.record import overlaps

from .project import MATRIX, Project, environment

SIMULATED = f"""
        {MATRIX["environments.toml"].strip()}
        [environments.simulated]
        about = "no library"
        backend = "simulated"
"""


@pytest.fixture
def host(tmp_path: Path) -> Project:
    """A project on a host of its own, whose leases are recorded."""
    project = Project(tmp_path)
    project.declare(environments=SIMULATED)
    project.write("faults.json", "{}")
    return project


ARGUMENTS = ("run", "--env", "simulated", "--machine", "t3k", "--scale", "tiny", "--dtype", "bfloat16")


def variables(host: Project) -> dict[str, str]:
    """Return what commands on this host are told."""
    return {
        **host.places(),
        "MESHSWEEP_LEASE_LOG": str(host.root / "owners.log"),
        "MESHSWEEP_FAULTS": str(host.root / "faults.json"),
    }


def begin(host: Project, home: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a run that keeps its files to itself, as another user's would be."""
    return subprocess.Popen(
        [sys.executable, "-m", "meshsweep", *ARGUMENTS, "--home", home, *arguments],
        cwd=host.root,
        env=environment(**variables(host)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def runs() -> Iterator[list[subprocess.Popen[str]]]:
    """Runs that are killed at the end of a test, whatever becomes of it."""
    begun: list[subprocess.Popen[str]] = []
    yield begun
    for run in begun:
        with run:
            run.kill()


def await_file(path: Path) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


WAITING = """
    import os, time
    from pathlib import Path

    def test_chips(mesh_device):
        Path("started").touch()
        while not Path("go").exists():
            time.sleep(0.02)
"""


def test_second_run_waits_and_says_for_whom(host: Project, runs: list[subprocess.Popen[str]]) -> None:
    host.suite(WAITING)
    runs.append(begin(host, "first", "--mesh", "1x8"))
    await_file(host.root / "started")
    runs.append(begin(host, "second", "--mesh", "1x2"))
    assert runs[1].stdout is not None
    said = next((line for line in runs[1].stdout if "waiting for" in line), "")
    running = [run.poll() for run in runs]
    (host.root / "go").touch()
    codes = [run.wait(60) for run in runs]

    assert said.startswith("meshsweep: t3k chips ")
    assert ": waiting for " in said
    assert f", run {(host.root / 'first/runs/latest').resolve().name} (pid " in said
    assert (running, codes) == ([None, None], [0, 0])
    assert overlaps(host.root / "owners.log") == ()


@pytest.mark.skipif(sys.platform != "linux", reason="only here workers die with their controller")
def test_killed_run_frees_its_chips(host: Project, runs: list[subprocess.Popen[str]]) -> None:
    host.suite(WAITING)
    runs.append(begin(host, "first", "--mesh", "1x8"))
    await_file(host.root / "started")
    runs[0].kill()
    (host.root / "go").touch()
    runs.append(begin(host, "second", "--mesh", "1x8"))

    assert runs[1].wait(60) == 0
    assert overlaps(host.root / "owners.log") == ()


#: The first process that comes here breaks a chip and dies.
BREAKS = """
    import json, os, pytest
    from pathlib import Path

    FAULT = {fault}

    @pytest.mark.parametrize("number", range(4))
    def test_chips(mesh_device, number):
        if number == 1:
            try:
                os.close(os.open("died", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
            chip = mesh_device.chips[0]
            Path("faults.json").write_text(json.dumps({{"t3k": {{str(chip): FAULT}}}}))
            os.kill(os.getpid(), 9)
"""


def test_chips_are_used_again_after_a_reset(host: Project) -> None:
    host.suite(BREAKS.format(fault={"fault": "absent", "resets": 1}))
    done = host.meshsweep(*ARGUMENTS, "--mesh", "1x8", **variables(host))

    assert "meshsweep: t3k chips 0-7: sound again after a reset" in done.lines
    outcomes = sorted(outcome for outcome, _ in host.results().values())
    assert outcomes == ["crashed", "passed", "passed", "passed"]
    assert overlaps(host.root / "owners.log") == ()


def test_spoiled_chips_are_not_used_again(host: Project) -> None:
    host.suite(BREAKS.format(fault={"fault": "missing"}))
    done = host.meshsweep(*ARGUMENTS, "--mesh", "1x8", **variables(host))

    reason = "mesh 1x8 opened as 1x8 with 7 of 8 chips, even after 2 resets"
    assert re.search(rf"^meshsweep: t3k chip \d: spoiled, not used again: {reason}$", done.out, re.MULTILINE)
    outcomes = sorted(outcome for outcome, _ in host.results().values())
    assert outcomes[0] == "crashed"
    assert "not-run" in outcomes
    assert done.code != 0


def test_other_chips_go_on(host: Project) -> None:
    """Meanwhile, or after it is known that some are spoiled."""
    host.suite(BREAKS.format(fault={"fault": "absent"}))
    host.meshsweep(*ARGUMENTS, "--mesh", "1x2", "--workers", "1", **variables(host))

    outcomes = sorted(outcome for outcome, _ in host.results().values())
    assert outcomes == ["crashed", "passed", "passed", "passed"]


@pytest.mark.parametrize("moment", ['"examined"', '"judged"'])
def test_resumed_run_knows_what_chips_it_may_not_trust(
    host: Project, runs: list[subprocess.Popen[str]], moment: str
) -> None:
    """It was killed after a crash, before or after the chips were looked at; they do not mend meanwhile."""
    host.suite(BREAKS.format(fault={"fault": "absent"}) + "        __import__('time').sleep(0.4)\n")
    runs.append(begin(host, "home", "--mesh", "1x2", "--workers", "1"))
    until = time.monotonic() + 60
    while moment not in "".join(path.read_text() for path in host.root.glob("home/runs/*/events.jsonl")):
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(runs[0].pid, signal.SIGKILL)
    runs[0].wait()
    (path,) = host.root.glob("home/runs/2*")
    host.meshsweep("resume", str(path), "--home", "home", **variables(host))
    results = json.loads((path / "summary.json").read_text())["results"]

    assert sorted(result["outcome"] for result in results) == ["crashed", "passed", "passed", "passed"]
    assert '"collateral"' not in (path / "events.jsonl").read_text()
    assert overlaps(host.root / "owners.log") == ()


def test_run_without_workers_leases_too(host: Project) -> None:
    host.suite("def test_chips(mesh_device): pass")
    done = host.meshsweep(*ARGUMENTS, "--mesh", "1x8", "-n0", **variables(host))

    assert done.code == 0, done.lines
    assert '"kind":"use"' in (host.root / "owners.log").read_text()


#: A chip goes bad under a living worker, which then opens no mesh any more.
GOES_BAD = """
    import json, os, pytest
    from pathlib import Path

    @pytest.mark.parametrize("number", range(8))
    def test_chips(mesh_device, number):
        if number == 1:
            chip = mesh_device.chips[0]
            Path("faults.json").write_text(json.dumps({"t3k": {str(chip): {"fault": "absent", "resets": 1}}}))
            raise ValueError("so that the mesh is opened anew")
"""


def test_chips_that_go_bad_cost_one_test(host: Project) -> None:
    host.suite(GOES_BAD)
    done = host.meshsweep(*ARGUMENTS, "--mesh", "1x8", **variables(host))

    outcomes = sorted(outcome for outcome, _ in host.results().values())
    assert outcomes == ["failed", "infra", *["passed"] * 6], done.lines
    assert "meshsweep: t3k chips 0-7: sound again after a reset" in done.lines
    assert overlaps(host.root / "owners.log") == ()
