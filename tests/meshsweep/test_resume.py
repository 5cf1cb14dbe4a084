"""Runs that are cut off, and resumed: the sum is that of a run that was left alone."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from meshsweep.record.events import read

from .project import MATRIX, TTNN, Project, environment

RUN = ("run", "--mesh", "1x1", "--scale", "tiny", "--workers", "2")

SUITE = """
    import os, signal, time
    from pathlib import Path
    import pytest
    from meshsweep import parametrize_mesh

    def note(name):
        with open("ran.txt", "a") as file:
            file.write(name + "\\n")

    @parametrize_mesh()
    @pytest.mark.parametrize("number", range(4))
    def test_device(mesh_device, cell, number, reset_seeds, record_property):
        record_property("pcc.mlp", 0.9 + number / 100)
        note(f"device-{number}-{cell}")
        time.sleep(0.05)

    def test_fails(cell):
        print("printed by the test")
        note(f"fails-{cell}")
        assert 1 + 1 == 3, "numbers differ"

    @pytest.mark.skip(reason="no such op")
    def test_skips(cell): pass

    def test_cut(cell):
        note(f"cut-{cell}")
        if os.environ.get("CUT") and not Path("cut.txt").exists():
            Path("cut.txt").touch()
            exec(os.environ["CUT"])
            time.sleep(5)

    def test_plain(): note("plain")
"""

KILL_ALL = "os.killpg(os.getpgrp(), signal.SIGKILL)"
KILL_PYTEST = "os.kill(os.getppid(), signal.SIGKILL)"
CTRL_C = "os.killpg(os.getpgrp(), signal.SIGINT)"

#: What two runs of the same plan may differ in.
TIMES_AND_PLACES = {
    *("wall_s", "busy_s", "duration_s", "started", "t", "mesh_opens", "mesh_open_s"),
    *("slot", "worker", "run", "pid", "root", "matrix"),
}


def made(path: Path, suite: str = SUITE) -> Project:
    """Return a project with a suite."""
    project = Project(path)
    project.declare()
    project.write("ttnn.py", TTNN)
    project.suite(suite)
    return project


def essence(value: Any) -> Any:
    """Return a summary without times and places."""
    if isinstance(value, dict):
        return {key: essence(item) for key, item in value.items() if key not in TIMES_AND_PLACES}
    return [essence(item) for item in value] if isinstance(value, list) else value


def run_directory(project: Project) -> Path:
    """Return the only run of a project, collected or not."""
    (path,) = [path for path in (project.root / ".meshsweep/runs").iterdir() if not path.is_symlink()]
    return path


def attempts(path: Path) -> dict[str, int]:
    """Return how often each test has reported."""
    found: dict[str, int] = {}
    for event in read(path / "events.jsonl"):
        if event["event"] == "reported":
            found[event["test"]] = found.get(event["test"], 0) + 1
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The summary of a run that was left alone."""
    project = made(tmp_path_factory.mktemp("reference"))
    done = project.meshsweep(*RUN)
    assert done.code == 1, done.lines
    return project.summary()


def test_suite_has_what_it_takes(reference: dict[str, Any]) -> None:
    outcomes = [result["outcome"] for result in reference["results"]]

    assert {outcome: outcomes.count(outcome) for outcome in outcomes} == {"passed": 11, "failed": 2, "skipped": 2}


@pytest.mark.parametrize("cut", [KILL_ALL, CTRL_C], ids=["kill -9 of all", "ctrl-c"])
def test_resumed_run_equals_one_left_alone(tmp_path: Path, reference: dict[str, Any], cut: str) -> None:
    project = made(tmp_path)
    first = project.meshsweep(*RUN, CUT=cut)
    path = run_directory(project)
    before = attempts(path)
    done = project.meshsweep("resume", str(path))

    assert first.code != 0
    assert len(before) < 15
    assert done.code == 1
    assert essence(project.summary()) == essence(reference)
    assert attempts(path) == dict.fromkeys((result["test"] for result in reference["results"]), 1)


def test_killed_pytest_is_resumed(tmp_path: Path, reference: dict[str, Any]) -> None:
    """The command lives on, and says that pytest was killed; what comes after knows better."""
    project = made(tmp_path)
    first = project.meshsweep(*RUN, CUT=KILL_PYTEST)
    done = project.meshsweep("resume")

    assert "wave-0: pytest ended with signal SIGKILL" in first.lines
    assert "note: before it was resumed: wave-0: pytest ended with signal SIGKILL" in done.lines
    assert essence(project.summary()) == essence(reference)


@pytest.mark.parametrize("seed", range(3))
def test_run_killed_at_any_moment_is_resumable(tmp_path: Path, reference: dict[str, Any], seed: int) -> None:
    """Kill everything at a random moment, as often as it takes; the last one is left alone."""
    project, moments = made(tmp_path), random.Random(seed)
    command = [sys.executable, "-m", "meshsweep"]
    arguments: tuple[str, ...] = RUN
    for _ in range(3):
        with subprocess.Popen(
            [*command, *arguments],
            cwd=project.root,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as cut:
            time.sleep(moments.uniform(0.2, 3.0))
            os.killpg(cut.pid, signal.SIGKILL)
        if not list((project.root / ".meshsweep/runs").glob("*/events.jsonl")):
            continue
        path = run_directory(project)
        if any(event["event"] == "run-started" for event in read(path / "events.jsonl")):
            arguments = ("resume", str(path))
        else:
            path.rename(project.root / f"too-early-{time.monotonic_ns()}")
    done = project.meshsweep(*arguments)

    assert done.code == 1, done.lines
    assert essence(project.summary()) == essence(reference)
    assert set(attempts(run_directory(project)).values()) == {1}


def test_run_without_workers_is_resumed(tmp_path: Path) -> None:
    project, reference = made(tmp_path / "cut"), made(tmp_path / "whole")
    reference.meshsweep(*RUN, "-n0")
    project.meshsweep(*RUN, "-n0", CUT=CTRL_C)
    ran = (project.root / "ran.txt").read_text(encoding="utf-8").splitlines()
    project.meshsweep("resume")
    again = (project.root / "ran.txt").read_text(encoding="utf-8").splitlines()[len(ran) :]

    assert essence(project.summary()) == essence(reference.summary())
    assert set(ran) & set(again) == {ran[-1]}


def test_stop_at_first_failure_is_resumed(tmp_path: Path) -> None:
    """The same arguments hold: each time it goes on to the next failure."""
    suite = "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_1(cell, n): assert n in (0, 3)\n"
    project = made(tmp_path, suite)
    cell = ("run", "--cell", "1x1-bfloat16-tiny", "--workers", "1", "-x")
    seen = []
    for command in (cell, ("resume",), ("resume",)):
        project.meshsweep(*command)
        seen.append([result["outcome"] for result in project.summary()["results"]])

    assert seen == [
        ["passed", "failed", "not-run", "not-run"],
        ["passed", "failed", "failed", "not-run"],
        ["passed", "failed", "failed", "passed"],
    ]


def test_resuming_a_whole_run_runs_nothing(tmp_path: Path) -> None:
    project = made(tmp_path, "def test_1(cell): open('ran.txt', 'a').write('x')\n")
    project.meshsweep("run", "--cell", "1x1-bfloat16-tiny", "-n0")
    before = project.summary()
    done = project.meshsweep("resume")

    assert done.code == 0
    assert (project.root / "ran.txt").read_text(encoding="utf-8") == "x"
    assert essence(project.summary()) == essence(before)


def test_torn_line_costs_its_test_a_rerun(tmp_path: Path) -> None:
    project = made(tmp_path, "def test_1(cell): pass\ndef test_2(cell): pass\n")
    project.meshsweep("run", "--cell", "1x1-bfloat16-tiny", "-n0")
    path = run_directory(project)
    log = path / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if b'"reported"' in line)
    log.write_bytes(b"".join(lines[:last]) + lines[last][:30])
    project.meshsweep("resume")

    assert lines[last][:30] + b"\n" in log.read_bytes().splitlines(keepends=True)
    assert [result["outcome"] for result in project.summary()["results"]] == ["passed", "passed"]
    assert sorted(attempts(path).values()) == [1, 1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no run at nowhere: expected a directory with events.jsonl, as `meshsweep run` leaves it"),
        (
            {"events.jsonl": '{"event":"run-sta'},
            "nowhere: nothing to resume: the run ended before it began; start it again",
        ),
    ],
)
def test_what_cannot_be_resumed_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    project = made(tmp_path)
    for name, text in files.items():
        project.write(f"nowhere/{name}", text)
    done = project.meshsweep("resume", "nowhere")

    assert (done.code, done.err) == (2, f"meshsweep: {message}\n")


def test_living_run_is_not_resumed(tmp_path: Path) -> None:
    project = made(tmp_path, "import time\ndef test_1(cell): time.sleep(60)\n")
    command = [sys.executable, "-m", "meshsweep", "run", "--cell", "1x1-bfloat16-tiny", "-n0"]
    with subprocess.Popen(
        command, cwd=project.root, env=environment(), stdout=subprocess.DEVNULL, start_new_session=True
    ) as running:
        latest = project.root / ".meshsweep/runs/latest/events.jsonl"
        until = time.monotonic() + 30
        while not latest.exists() and time.monotonic() < until:
            time.sleep(0.05)
        try:
            done = project.meshsweep("resume")
        finally:
            os.killpg(running.pid, signal.SIGKILL)
    name = run_directory(project).name

    assert (done.code, done.err) == (
        2,
        f"meshsweep: {name} still runs: process {running.pid} carries it out; wait for it to end, or end it\n",
    )


def test_run_cut_before_collection_shows_its_cells(tmp_path: Path) -> None:
    project = made(tmp_path)
    project.write("conftest.py", f"import os, signal\ndef pytest_collection(session): {KILL_ALL}\n")
    project.meshsweep(*RUN, "-n0")
    path = run_directory(project)
    shown = project.meshsweep("report", str(path))
    project.write("conftest.py", "")
    done = project.meshsweep("resume", str(path))

    assert shown.code == 1
    assert "1x1-bfloat16-tiny and 1 more: its tests were never collected" in shown.lines
    assert len(json.loads(project.latest("summary.json"))["results"]) == 15
    assert done.code == 1


# Disks that refuse.

FILLING = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execv(sys.executable, [sys.executable, "-m", "meshsweep", *sys.argv[2:]])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only Unix limits the size of files")
def test_disk_that_fills_up_loses_nothing(tmp_path: Path, reference: dict[str, Any]) -> None:
    """A limit on the size of files stands for the disk: the kernel takes part of a line, then none."""
    project = made(tmp_path)
    full = project.call("-c", FILLING, "8000", *RUN)
    path = run_directory(project)
    kept = attempts(path)
    done = project.meshsweep("resume", str(path))

    assert full.code == 3
    assert re.fullmatch(
        r"meshsweep: \S+/events\.jsonl: cannot record events: File too large; "
        r"what is recorded so far stays: make room, then `meshsweep resume`",
        full.err.splitlines()[-1],
    )
    assert 0 < len(kept) < 15
    assert done.code == 1
    assert essence(project.summary()) == essence(reference)
    assert set(attempts(path).values()) == {1}


# Quarantine and reruns, as far as one process shows them.

HELD = """
    [[quarantine]]
    test = "tests/unit/test_suite.py::test_held"
    owner = "ada"
    reason = "issue 7"
    expires = 2099-01-01
    [[quarantine]]
    test = "tests/unit/test_suite.py::test_left"
    owner = "bob"
    reason = "hangs"
    expires = 2099-01-01
    run = false
"""


def test_quarantine_is_green_and_visible(tmp_path: Path) -> None:
    project = made(
        tmp_path,
        "def test_held(cell): assert 1 == 2\ndef test_left(cell): open('ran.txt', 'w')\ndef test_1(cell): pass\n",
    )
    soon = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86_400 * 30))
    project.write("matrix/quarantine.toml", HELD.replace("2099-01-01", soon))
    done = project.meshsweep("run", "--cell", "1x1-bfloat16-tiny", "-n0")

    assert done.code == 0, done.lines
    assert not (project.root / "ran.txt").exists()
    assert [outcome for outcome, _ in project.results().values()] == ["quarantined", "quarantined", "passed"]
    test = "tests/unit/test_suite.py::test_held[1x1-bfloat16-tiny]"
    assert f"quarantined {test}: failed assert 1 == 2 (in quarantine of ada until {soon}: issue 7)" in done.lines
    assert any(line.startswith("passed, 2 quarantined: 3 planned: 1 passed, 2 quarantined; ") for line in done.lines)


def test_tier_declares_reruns(tmp_path: Path) -> None:
    project = made(tmp_path, "def test_1(cell): pass\n")
    project.write("matrix/tiers.toml", MATRIX["tiers.toml"] + "reruns = 3\n")
    started = []
    for options in ([], ["--reruns", "1", "--strict-flaky"]):
        project.meshsweep("run", "--tier", "nightly", "-n0", *options)
        started.append(json.loads(project.latest("events.jsonl").splitlines()[0]))

    assert [(event["reruns"], event["strict_flaky"]) for event in started] == [(3, False), (1, True)]
