"""Whole runs with tests that hang, crash, flake, or suffer from those that do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import dedent
from xml.etree import ElementTree as ET

import pytest

from .project import MATRIX, TTNN, Project

ONE_CELL = ("run", "--cell", "1x1-bfloat16-tiny", "--workers", "1")

DEADLINES = """
[environments.fake.deadline]
floor_s = 0.5
unknown_s = 1.5
open_s = 0.5
end_s = 2
[environments.simulated]
about = "no library"
backend = "simulated"
[environments.simulated.deadline]
floor_s = 0.5
unknown_s = 1.5
open_s = 0.5
start_s = 20
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose deadlines are short."""
    made = Project(tmp_path)
    made.declare(environments=dedent(MATRIX["environments.toml"]) + DEADLINES)
    made.write("ttnn.py", TTNN)
    made.write("faults.json", "{}")
    return made


def outcomes(project: Project) -> dict[str, str]:
    """Return the outcome of each test by its function."""
    return {name.partition("[")[0]: outcome for name, (outcome, _) in project.results().items()}


HANGING = """
    import os, re, signal

    def test_before(cell): pass

    def test_native(cell):
        print("matching")
        re.match("(a+)+b", "a" * 60)

    def test_stopped(cell): os.kill(os.getpid(), signal.SIGSTOP)

    def test_after(cell): pass
"""


@pytest.mark.parametrize("backend", ["fake", "simulated"], ids=["spawned", "forked"])
def test_hanging_tests_are_named_and_the_rest_runs(project: Project, backend: str) -> None:
    """One holds the interpreter's lock in native code, one is stopped and answers nothing."""
    project.suite(HANGING)
    done = project.meshsweep(*ONE_CELL, "--env", backend, **project.places())
    native, stopped = [result for result in project.summary()["results"] if result["outcome"] == "hang"]
    case = next(
        c for c in ET.fromstring(project.latest("summary.xml")).iter("testcase") if "native" in c.get("name", "")
    )

    assert done.code == 1
    assert outcomes(project) == {
        "test_before": "passed",
        "test_native": "hang",
        "test_stopped": "hang",
        "test_after": "passed",
    }
    assert native["message"].startswith("killed at its deadline of ")
    assert "in test_native" in native["text"]
    assert native["out"] == ("matching\n" if sys.platform == "linux" else "")
    assert "no stack: the process did not answer" in stopped["message"]
    assert ("failure_type", "hang") in [(found.get("name"), found.get("value")) for found in case.iter("property")]
    assert case.find("error") is not None
    assert any(line.startswith("failed: 4 planned: 2 passed, 2 hang; ") for line in done.lines)


FLAKY = """
    import os, signal
    from pathlib import Path

    def first(name):
        path = Path(name)
        seen = path.exists()
        path.touch()
        return not seen

    def test_flakes(cell): assert not first("a.txt"), "not yet"

    def test_crashes_once(cell):
        if first("b.txt"):
            os.kill(os.getpid(), signal.SIGKILL)

    def test_fails(cell): assert False, "always"

    def test_passes(cell): pass
"""


def test_reruns_are_attempts(project: Project) -> None:
    project.suite(FLAKY)
    done = project.meshsweep(*ONE_CELL, "--reruns", "2")
    results = {result["test"].partition("::")[2].partition("[")[0]: result for result in project.summary()["results"]}
    attempts = [json.loads(line) for line in project.latest("events.jsonl").splitlines() if '"reported"' in line]

    assert done.code == 1
    assert outcomes(project) == {
        "test_flakes": "flaky",
        "test_crashes_once": "flaky",
        "test_fails": "failed",
        "test_passes": "passed",
    }
    assert results["test_flakes"]["message"] == "passed at attempt 2, after failed not yet"
    assert [attempt["outcome"] for attempt in results["test_fails"]["earlier"]] == ["failed", "failed"]
    assert sorted((a["test"].partition("::")[2][5:9], a["attempt"], a["final"]) for a in attempts) == [
        ("cras", 1, False),
        ("cras", 2, True),
        ("fail", 1, False),
        ("fail", 2, False),
        ("fail", 3, True),
        ("flak", 1, False),
        ("flak", 2, True),
        ("pass", 1, True),
    ]


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--strict-flaky"], 1)])
def test_flaky_run_is_green_unless_strict(project: Project, options: list[str], code: int) -> None:
    project.suite(FLAKY.replace('assert False, "always"', "pass"))
    done = project.meshsweep(*ONE_CELL, "--reruns", "1", *options)

    assert done.code == code
    assert any(line.startswith("flaky tests/unit/test_suite.py::test_flakes[") for line in done.lines)
    assert any(
        line.startswith(f"{'failed' if code else 'passed, 2 flaky'}: 4 planned: 2 passed, 2 flaky")
        for line in done.lines
    )


def test_without_reruns_every_attempt_is_final(project: Project) -> None:
    project.suite(FLAKY)
    project.meshsweep(*ONE_CELL)

    assert outcomes(project) == {
        "test_flakes": "failed",
        "test_crashes_once": "crashed",
        "test_fails": "failed",
        "test_passes": "passed",
    }


SPOILING = """
    import os, signal
    from pathlib import Path
    import pytest
    from meshsweep import parametrize_mesh

    @parametrize_mesh("1x8")
    @pytest.mark.parametrize("n", range(3))
    def test_device(mesh_device, n):
        if n == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        spoiled = not Path("proven.txt").exists()
        Path("proven.txt").touch()
        assert not (n and spoiled), "garbage on the devices"
"""


def test_what_a_crash_spoils_runs_again(project: Project) -> None:
    """The machine has one slot for this mesh: the test that comes after the crash fails there, and then passes."""
    project.suite(SPOILING)
    machine = ("--env", "simulated", "--machine", "t3k", "--mesh", "1x8", "--dtype", "bfloat16", "--scale", "tiny")
    done = project.meshsweep("run", *machine, **project.places(), MESHSWEEP_FAULTS=str(project.root / "faults.json"))
    results = project.summary()["results"]
    earlier = [attempt for result in results for attempt in result["earlier"]]

    assert done.code == 1, done.lines
    assert sorted(result["outcome"] for result in results) == ["crashed", "passed", "passed"]
    assert [(attempt["outcome"], attempt["message"]) for attempt in earlier] == [
        ("collateral", "failed on a slot that had just been spoiled: garbage on the devices")
    ]


def test_deadlines_follow_what_tests_took(project: Project) -> None:
    """A test that passes in a second is killed when it takes five times as long and more."""
    project.suite("import os, time\ndef test_1(cell): time.sleep(60 if os.environ.get('SLOW') else 0.05)\n")
    project.meshsweep(*ONE_CELL)
    done = project.meshsweep(*ONE_CELL, SLOW="1")

    assert outcomes(project) == {"test_1": "hang"}
    assert "killed at its deadline of 0.5 s" in done.out or "killed at its deadline of 1.0 s" in done.out


SLOW_TO_START = """
    import time
    from pathlib import Path

    import pytest

    if not (mark := Path(__file__).with_name("hung")).exists():
        mark.touch()
        time.sleep(1000)

    def test_anything(cell): pass
"""


def test_worker_that_hangs_while_it_starts_is_killed_and_replaced(project: Project) -> None:
    text = dedent(MATRIX["environments.toml"]) + DEADLINES.replace("start_s = 20", "start_s = 5")
    project.declare(environments=text)
    project.suite(SLOW_TO_START)

    done = project.meshsweep(*ONE_CELL, "--env", "simulated", **project.places())

    assert outcomes(project) == {"test_anything": "passed"}
    assert any(
        "outside of any test: it hung while it started, killed at its deadline of 5.0 s" in line for line in done.lines
    )
    assert done.code == 3


MANY = """
    import os
    from pathlib import Path
    import pytest

    @pytest.mark.parametrize("number", range(80))
    def test_1(cell, number):
        with Path("begun.txt").open("a") as file: print(number, file=file)
        assert number != 40
        if number == 60: os._exit(3)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_short_tests_begin_without_being_asked_for(project: Project, workers: str) -> None:
    """Each once, whatever happens to the one before it; what fails or crashes is charged to nobody else."""
    project.suite(MANY)
    for _ in range(2):
        (project.root / "begun.txt").unlink(missing_ok=True)
        project.meshsweep(*ONE_CELL[:-1], workers)
    said = [json.loads(line) for line in project.latest("events.jsonl").splitlines()]
    results = {name: outcome for name, (outcome, _) in project.results().items()}
    bad = {name.rpartition("-")[2]: outcome for name, outcome in results.items() if outcome != "passed"}

    assert sum(event["event"] == "offered" for event in said) > 20
    assert bad == {"40]": "failed", "60]": "crashed"}
    assert sorted(map(int, (project.root / "begun.txt").read_text().split())) == list(range(80))
    assert sum(event["event"] == "sent" for event in said) == 80


def test_worker_that_hangs_while_it_closes_is_ended(project: Project) -> None:
    """A mesh that does not close, or a wide fixture: there is no test to blame, and the run ends all the same."""
    project.suite("""
        import pytest, time
        @pytest.fixture(scope="module", autouse=True)
        def wide():
            yield
            time.sleep(600)
        def test_1(cell): pass
    """)
    done = project.meshsweep(*ONE_CELL)

    assert outcomes(project) == {"test_1": "passed"}
    assert "outside of any test: it hung while it ended, killed at its deadline of 2.0 s" in done.out
    assert done.code == 3


BUSY = """
    import os, time
    def pytest_warning_recorded():
        if "PYTEST_XDIST_WORKER" not in os.environ: time.sleep(0.03)
"""
MIXED = """
    import pytest, warnings
    @pytest.mark.parametrize("number", range(60))
    def test_1(cell, number):
        if number % 5 == 0: warnings.warn("keeps the controller busy")
        if FAILS: assert number % 3
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_results_of_two_ways_keep_their_order(project: Project, workers: str) -> None:
    """A test that passed is told by the wire, one that failed by xdist's channel; a busy controller mixes them up."""
    project.write("conftest.py", BUSY)
    for fails in (False, True):
        project.suite(MIXED.replace("FAILS", str(fails)))
        done = project.meshsweep(*ONE_CELL[:-1], workers)
    results = {name.rpartition("-")[2]: outcome for name, (outcome, _) in project.results().items()}

    assert results == {f"{number}]": "passed" if number % 3 else "failed" for number in range(60)}
    assert done.code == 1


CRASHING = """
    import ctypes, os
    def deep(): ctypes.string_at(0)
    def test_native(cell): deep()
    def test_exits(cell): os._exit(3)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="addresses and signals of Linux")
def test_crash_says_how_and_where(project: Project) -> None:
    project.suite(CRASHING)
    project.meshsweep(*ONE_CELL)
    messages = {name.partition("[")[0]: message for name, (_, message) in project.results().items()}
    texts = {name.partition("[")[0].rpartition("::")[2]: text for name, text in crashes(project)}

    assert messages["test_native"].endswith("was killed by SIGSEGV while running this test")
    assert messages["test_exits"].endswith("ended with exit code 3 while running this test")
    assert texts["test_native"].startswith("Fatal Python error: Segmentation fault")
    assert "in deep" in texts["test_native"]


def crashes(project: Project) -> list[tuple[str, str]]:
    """Return the tests of a run that crashed, with what was written meanwhile."""
    return [(result["test"], result["text"]) for result in project.summary()["results"]]


def test_first_failure_is_the_one_that_stands(project: Project) -> None:
    """With -x a test that runs again has not failed yet."""
    project.suite("""
        from pathlib import Path
        def test_1_flaky(cell):
            if not Path("once").exists():
                Path("once").touch()
                assert False
        def test_2_fails(cell): assert False
    """)
    done = project.meshsweep(*ONE_CELL, "--reruns", "2", "--", "-x")
    events = [json.loads(line) for line in project.latest("events.jsonl").splitlines()]

    assert outcomes(project) == {"test_1_flaky": "flaky", "test_2_fails": "failed"}
    assert sum(event["event"] == "reported" for event in events) == 5
    assert "not started: stopping after 1 failures" in [event.get("reason") for event in events]
    assert done.code == 1


def test_reruns_need_workers(project: Project) -> None:
    project.suite("def test_1(cell): assert False\n")
    done = project.meshsweep(*ONE_CELL, "--reruns", "2", "--", "-n0")

    assert "note: without workers no test runs again: reruns have no effect" in done.lines
