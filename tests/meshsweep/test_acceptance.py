"""The real command in real processes: what a user sees, and the exit code."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from meshsweep.cli import main

from .project import MATRIX, TTNN, Done, Project, environment

ONE_CELL = ("run", "--cell", "1x1-bfloat16-tiny", "--workers", "1")
MESH = ("run", "--mesh", "1x1", "--scale", "tiny")


def made(path: Path, suite: str) -> Project:
    """Return a project with a suite."""
    project = Project(path)
    project.declare()
    project.write("ttnn.py", TTNN)
    project.suite(suite)
    return project


# A run in which everything passes.

GREEN = """
    from meshsweep import parametrize_mesh

    @parametrize_mesh()
    def test_experts(mesh_device, cell, reset_seeds, record_property):
        assert mesh_device.is_open
        record_property("pcc.experts", 0.97 if cell.dtype == "bfloat8_b" else 0.99)

    @parametrize_mesh(["1x1", "1x8"])
    def test_router(mesh_device, record_property):
        print("of no interest")
        record_property("pcc.router", 0.98)

    def test_plain():
        pass
"""


@pytest.fixture(scope="module")
def green(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Done]:
    """A run of two cells on two workers."""
    project = made(tmp_path_factory.mktemp("green"), GREEN)
    return project, project.meshsweep(*MESH, "--workers", "2")


def test_green_run_is_code_zero(green: tuple[Project, Done]) -> None:
    project, done = green

    assert (done.code, done.err) == (0, ""), done.lines
    assert re.search(
        r"^passed: 5 planned: 5 passed; [\d.]+ s, [\d.]+ s of tests, [12] mesh(es)? opened in", done.out, re.MULTILINE
    )
    assert project.summary()["exit_code"] == 0


def test_table_has_row_per_cell(green: tuple[Project, Done]) -> None:
    _, done = green
    rows = [line.split() for line in done.lines if re.match(r" ?(1x1-|no mesh)", line)]

    assert [row[:-1] for row in rows] == [
        ["1x1-bfloat16-tiny", "2", "2", "-", "-", "-", "0.98000", "test_router"],
        ["1x1-bfloat8_b-tiny", "2", "2", "-", "-", "-", "0.97000", "test_experts"],
        ["no", "mesh", "1", "1", "-", "-", "-"],
    ]


def test_run_directory_holds_the_record(green: tuple[Project, Done]) -> None:
    project, done = green
    latest = (project.root / ".meshsweep/runs/latest").resolve()

    assert sorted(path.name for path in latest.iterdir()) == [
        "events.jsonl",
        "plan.json",
        "stacks",
        "summary.json",
        "summary.md",
        "summary.xml",
        "wave-0.collection.json",
    ]
    assert done.lines[-1] == f"summary: .meshsweep/runs/{latest.name}/summary.md (.xml, .json)"
    assert re.fullmatch(r"\d{8}T\d{6}Z-1x1-[0-9a-f]{4}", latest.name)


def test_junit_has_axes_and_numbers(green: tuple[Project, Done]) -> None:
    project, _ = green
    document = ET.fromstring(project.latest("summary.xml"))
    (case,) = [case for case in document.iter("testcase") if case.get("name") == "test_experts[1x1-bfloat8_b-tiny]"]
    properties = {found.get("name"): found.get("value") for found in case.iter("property")}

    assert {name: properties[name] for name in ("mesh", "dtype", "scale", "environment", "pcc.experts")} == {
        "mesh": "1x1",
        "dtype": "bfloat8_b",
        "scale": "tiny",
        "environment": "fake",
        "pcc.experts": "0.97",
    }
    assert properties["seed"].isdecimal()
    assert properties["slot"] in ("virtual.0", "virtual.1")
    assert document.find(".//system-out") is None


def test_log_has_no_escape_codes(green: tuple[Project, Done]) -> None:
    _, done = green

    assert not re.search(r"[\r\x1b\x08]", done.out + done.err)


def test_meshes_are_closed_at_the_end(green: tuple[Project, Done]) -> None:
    project, _ = green
    devices = [line for line in project.devices() if not line.startswith("fabric")]

    assert devices.count("open 1x1 on anything") == devices.count("close") == project.summary()["mesh_opens"]


def test_report_shows_the_same_again(green: tuple[Project, Done], capsys: pytest.CaptureFixture[str]) -> None:
    project, done = green
    code = main(["report", "--root", str(project.root)])
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    assert code == 0
    assert shown == [line.rstrip() for line in done.lines[-len(shown) - 1 : -1]]


# Runs in which something goes wrong.

MIXED = """
    import os, signal
    import pytest

    def test_passes(cell): pass
    def test_fails(cell):
        print("printed by the test")
        assert 1 + 1 == 3, "numbers differ"

    def test_lacks(cell, nothing): pass
    def test_dies(cell): os.kill(os.getpid(), signal.SIGKILL)
    def test_comes_after(cell): pass

    @pytest.mark.skip(reason="no such op")
    def test_skips(cell): pass

    @pytest.mark.xfail(reason="known", strict=True)
    def test_xfails(cell): assert False

    @pytest.mark.xfail(reason="known", strict=True)
    def test_xpasses(cell): pass

    @pytest.fixture
    def broken():
        print("printed by the fixture")
        raise ValueError("no device")

    def test_setup(cell, broken): pass

    @pytest.fixture
    def leaky():
        yield
        raise ValueError("stuck")

    def test_teardown(cell, leaky): pass
"""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Done]:
    """A run with every kind of outcome, a dead worker and a file that cannot be imported."""
    project = made(tmp_path_factory.mktemp("mixed"), MIXED)
    project.suite("import nowhere\n", "test_broken.py")
    return project, project.meshsweep(*ONE_CELL)


def test_every_outcome_is_told_apart(mixed: tuple[Project, Done]) -> None:
    project, done = mixed

    assert done.code == 1
    assert {name.partition("[")[0]: result for name, result in project.results().items()} == {
        "test_passes": ("passed", ""),
        "test_fails": ("failed", "numbers differ"),
        "test_lacks": ("failed", "setup: fixture 'nothing' not found"),
        "test_dies": ("crashed", "worker gw0 was killed by SIGKILL while running this test"),
        "test_comes_after": ("passed", ""),
        "test_skips": ("skipped", "no such op"),
        "test_xfails": ("xfailed", "known"),
        "test_xpasses": ("failed", "[XPASS(strict)] known"),
        "test_setup": ("failed", "setup: ValueError: no device"),
        "test_teardown": ("failed", "teardown: ValueError: stuck"),
    }


def test_dead_worker_is_shown_and_replaced(mixed: tuple[Project, Done]) -> None:
    project, done = mixed
    started = [json.loads(line) for line in project.latest("events.jsonl").splitlines() if '"worker-started"' in line]

    assert [(event["worker"], event["slot"]) for event in started] == [("gw0", "virtual.0"), ("gw1", "virtual.1")]
    name = "tests/unit/test_suite.py::test_dies[1x1-bfloat16-tiny]"
    assert f"crashed {name}: worker gw0 was killed by SIGKILL while running this test" in done.lines


def test_file_that_fails_to_import_is_named(mixed: tuple[Project, Done]) -> None:
    project, done = mixed

    assert "tests/unit/test_broken.py: ModuleNotFoundError: No module named 'nowhere'" in done.lines
    assert project.summary()["problems"] == [
        "tests/unit/test_broken.py: ModuleNotFoundError: No module named 'nowhere'"
    ]


def test_junit_counts_every_outcome(mixed: tuple[Project, Done]) -> None:
    project, _ = mixed
    document = ET.fromstring(project.latest("summary.xml"))

    assert {name: document.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "10",
        "failures": "5",
        "errors": "1",
        "skipped": "2",
    }


def test_junit_keeps_output_of_failures(mixed: tuple[Project, Done]) -> None:
    project, _ = mixed
    document = ET.fromstring(project.latest("summary.xml"))
    printed = {
        case.get("name", "").partition("[")[0]: case.findtext("system-out") for case in document.iter("testcase")
    }

    assert {name for name, text in printed.items() if text} == {"test_fails", "test_setup"}
    assert "printed by the test" in (printed["test_fails"] or "").splitlines()
    assert "printed by the fixture" in (printed["test_setup"] or "").splitlines()


INTERRUPTING = """
    import os, signal, time

    def test_1(cell): pass

    def test_2(cell):
        {signal}
        time.sleep(3)

    def test_3(cell): pass
"""


@pytest.mark.parametrize(
    "call",
    [
        "os.killpg(os.getpgrp(), signal.SIGINT)",
        "os.kill(os.getpgrp(), signal.SIGTERM)",
        "os.kill(os.getpgrp(), signal.SIGTERM); os.kill(os.getppid(), signal.SIGKILL)",
    ],
    ids=["ctrl-c", "sigterm", "sigterm-and-pytest-gone"],
)
def test_interruption_keeps_what_there_is(project: Project, call: str) -> None:
    """The command leads its process group: Ctrl-C reaches all of it, SIGTERM the command alone."""
    project.suite(INTERRUPTING.format(signal=call))
    done = project.meshsweep(*ONE_CELL)

    assert done.code == 1
    assert {name.partition("[")[0]: result for name, result in project.results().items()} == {
        "test_1": ("passed", ""),
        "test_2": ("not-run", "started, but never reported: the run ended under it"),
        "test_3": ("not-run", "the run was interrupted"),
    }
    assert "the run was interrupted" in done.lines
    assert "Traceback" not in done.out + done.err


def test_killed_pytest_is_infrastructure(project: Project) -> None:
    project.suite(INTERRUPTING.format(signal="os.kill(os.getppid(), signal.SIGKILL)").replace("3)", "0.1)"))
    done = project.meshsweep(*ONE_CELL)

    assert done.code == 3
    assert {name.partition("[")[0]: result for name, result in project.results().items()} == {
        "test_1": ("passed", ""),
        "test_2": ("not-run", "started, but never reported: the run ended under it"),
        "test_3": ("not-run", "the run ended before this test was started"),
    }
    assert "wave-0: pytest ended with signal SIGKILL" in done.lines
    assert main(["report", "--root", str(project.root)]) == project.summary()["exit_code"] == 3


def test_tier_has_a_suite_of_its_own(project: Project) -> None:
    project.suite("def test_1(cell): pass\n")
    project.write("tests/more/test_more.py", "def test_2(cell): pass\n")
    project.write("matrix/tiers.toml", MATRIX["tiers.toml"] + 'suite = ["tests/unit", "tests/more"]\n')
    nightly = ["--tier", "nightly", "-n0"]
    plan = project.meshsweep("plan", *nightly)
    project.meshsweep("run", *nightly)
    found = sorted(project.results())
    project.meshsweep(*ONE_CELL, "-n0")

    assert any("2 tests" in line for line in plan.lines)
    assert found == ["test_1[1x8-bfloat16-big]", "test_2[1x8-bfloat16-big]"]
    assert list(project.results()) == ["test_1[1x1-bfloat16-tiny]"]


def test_mesh_that_fails_to_open(project: Project) -> None:
    project.suite("def test_1(mesh_device): pass\ndef test_2(cell): pass\n")
    done = project.meshsweep(*ONE_CELL, "-n0", BROKEN_MESH="1x1")

    assert done.code == 3
    assert list(project.results().values()) == [
        ("infra", "setup: RuntimeError: no such devices"),
        ("passed", ""),
    ]


def test_death_between_tests_is_seen(project: Project) -> None:
    project.suite("""
        import os
        import pytest

        @pytest.fixture(scope="module")
        def module():
            yield
            os._exit(1)

        def test_1(cell, module): pass
    """)
    done = project.meshsweep(*ONE_CELL)

    assert done.code == 3
    assert "worker gw0 ended with exit code 1 on virtual.0 outside of any test: Not properly terminated" in done.lines


def test_giving_up_says_why(project: Project) -> None:
    project.suite("""
        import os
        import pytest

        @pytest.mark.parametrize("number", range(3))
        def test_dies(cell, number): os._exit(1)
    """)
    done = project.meshsweep(*ONE_CELL, "--max-worker-restart", "1")

    assert done.code == 1
    assert [outcome for outcome, _ in project.results().values()] == ["crashed", "crashed", "not-run"]
    assert "1 never ran: not started: maximum crashed workers reached: 1" in done.lines


def test_workers_that_disagree_are_infrastructure(project: Project) -> None:
    project.suite("""
        import os, time
        from pathlib import Path
        import pytest

        WORKER = os.environ.get("PYTEST_XDIST_WORKER")

        @pytest.mark.parametrize("worker", [WORKER])
        def test_1(cell, worker):
            while len(list(Path().glob("*.collected"))) < 2:
                time.sleep(0.01)
            time.sleep(0.2)
    """)
    project.write(
        "conftest.py",
        """
        import os
        from pathlib import Path

        def pytest_collection_finish(session):
            if worker := os.environ.get("PYTEST_XDIST_WORKER"):
                Path(f"{worker}.collected").touch()
    """,
    )
    done = project.meshsweep(*MESH, "--workers", "2")

    assert done.code == 3
    assert "Different tests were collected between the first worker and gw" in done.out


def test_skipped_cell_is_not_green(project: Project) -> None:
    project.suite("""
        import pytest

        def test_1(cell):
            if cell.dtype == "bfloat16":
                pytest.skip("not here")
    """)
    done = project.meshsweep(*MESH, "-n0")

    assert done.code == 1
    assert "1x1-bfloat16-tiny: every test skipped" in done.lines


@pytest.mark.parametrize(("option", "code"), [("-v -n0", 1), ("-k test_1 -n0", 0)])
def test_cell_without_tests_needs_a_filter(project: Project, option: str, code: int) -> None:
    project.suite("""
        from meshsweep import parametrize_mesh

        @parametrize_mesh("1x2")
        def test_1(cell): pass
    """)
    done = project.meshsweep(
        "run", "--mesh", "1x1", "--mesh", "1x2", "--tier", "nightly", "--workers", "1", *option.split()
    )

    assert done.code == code
    assert ("1x1-bfloat16-big: no test runs in this cell" in done.lines) == (code == 1)


# Options for pytest.


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-k", "a and ("], "pytest refused its arguments; its message is above"),
        (["-m", "a or"], "pytest refused its arguments; its message is above"),
        (["-k", "nowhere", "-n0"], "nothing to run: no test of the suite is left after -k, -m and the named paths"),
        (["--frobnicate"], "pytest refused its arguments; its message is above"),
        (["--", "--collect-only"], "pytest was asked for something else than running tests; see `meshsweep plan`"),
        (["--", "--version"], "pytest was asked for something else than running tests; see `meshsweep plan`"),
    ],
)
def test_fruitless_options_are_user_errors(project: Project, arguments: list[str], line: str) -> None:
    project.suite("def test_1(cell): pass\n")
    done = project.meshsweep(*ONE_CELL, *arguments)

    assert done.code == 2
    assert done.err.splitlines()[-1] == f"meshsweep: {line}"
    assert "Traceback" not in done.out + done.err
    assert "INTERNALERROR" not in done.out


def test_refused_command_hides_no_run(project: Project) -> None:
    project.suite("def test_1(cell): pass\n")
    project.meshsweep(*ONE_CELL, "-n0")
    before = (project.root / ".meshsweep/runs/latest").resolve()
    project.meshsweep(*ONE_CELL, "--frobnicate")

    assert (project.root / ".meshsweep/runs/latest").resolve() == before


def test_run_without_workers_is_complete(project: Project) -> None:
    """As `-n0 --pdb` needs it; warnings are errors here, and JUnit holds properties."""
    project.suite("""
        import pytest

        @pytest.fixture(scope="module")
        def module():
            yield
            raise ValueError("stuck")

        def test_1(mesh_device, reset_seeds, record_property): record_property("pcc.mlp", 0.5)
        def test_2(cell, module): pass
    """)
    project.suite("def test_3(cell): assert False, 'on purpose'\n", "test_z.py")
    done = project.meshsweep(*ONE_CELL, "-n0", "-W", "error")

    assert done.code == 1
    assert {name.partition("[")[0]: result for name, result in project.results().items()} == {
        "test_1": ("passed", ""),
        "test_2": ("failed", "teardown: ValueError: stuck"),
        "test_3": ("failed", "on purpose"),
    }
    assert project.summary()["cells"][0]["pcc"] == 0.5


# Machines, places and terminals.


def test_real_machine_is_cut_anew_while_it_runs(project: Project) -> None:
    """Each mesh has slots of its own, one after another where they cannot stand beside each other."""
    project.suite("""
        from meshsweep import parametrize_mesh

        @parametrize_mesh()
        def test_device(mesh_device): pass

        def test_plain():
            with open("plain.txt", "a") as file:
                file.write("ran ")
    """)
    arguments = ("--machine", "n300", "--mesh", "1x2", "--mesh", "1x1", "--scale", "tiny", "--dtype", "bfloat16")
    done = project.meshsweep("run", *arguments, "--workers", "2")
    ran = sorted(result["cell"] for result in project.summary()["results"])

    assert done.code == 0, done.lines
    assert [line for line in project.devices() if line.startswith("open")] == ["open 1x2 on 0,1", "open 1x1 on 0"]
    assert ran == ["1x1-bfloat16-tiny", "1x2-bfloat16-tiny", "no mesh"]
    assert (project.root / "plain.txt").read_text(encoding="utf-8") == "ran "


def test_suite_holds_below_other_projects(tmp_path: Path) -> None:
    """A configuration further up moves pytest's root, and with it the meaning of testpaths."""
    tmp_path.joinpath("pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    project = made(tmp_path / "inner", "def test_1(cell): pass\n")
    project.write("elsewhere/test_other.py", "def test_other(): assert False\n")
    done = project.meshsweep(*ONE_CELL, "-n0")

    assert done.code == 0, done.lines
    assert [result["test"] for result in project.summary()["results"]] == [
        "tests/unit/test_suite.py::test_1[1x1-bfloat16-tiny]"
    ]


def test_runs_can_be_kept_elsewhere(project: Project, tmp_path: Path) -> None:
    project.suite("def test_1(cell): pass\n")
    done = project.meshsweep(*ONE_CELL, "-n0", "--home", str(tmp_path / "kept"))

    assert done.code == 0
    assert done.lines[-1].startswith(f"summary: {tmp_path / 'kept'}/runs/") or "kept/runs/" in done.lines[-1]
    assert not (project.root / ".meshsweep").exists()
    assert json.loads((tmp_path / "kept/history.json").read_text(encoding="utf-8"))


def test_status_stays_on_one_line(project: Project) -> None:
    project.suite("""
        import time
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_with_quite_a_long_name_for_a_status_line(cell, number): time.sleep(0.05)
    """)
    screen = on_terminal(project, *ONE_CELL, COLUMNS="50")
    lines = [re.split(r"\r(?!$)", line) for line in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", screen).split("\n")]
    statuses = [text for line in lines for text in line if re.match(r"\d/4  ", text)]

    assert "2/4  2 passed  test_with_quite_a_long_name_for_a_" in [text.rstrip() for text in statuses]
    assert all(len(text.rstrip()) < 50 for text in statuses)
    assert sum(line[-1].lstrip().startswith(("1/4", "2/4", "3/4")) for line in lines) == 0
    assert [line[-1].rstrip() for line in lines if "meshsweep: 4" in line[-1]] == ["meshsweep: 4 tests in 1 cell"]


def on_terminal(project: Project, *arguments: str, **env: str) -> str:
    """Return all that a command writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "meshsweep", *arguments]
    with subprocess.Popen(
        command, cwd=project.root, env=environment(TERM="xterm", **env), stdin=theirs, stdout=theirs, stderr=theirs
    ) as running:
        os.close(theirs)
        written = b""
        while chunk := read(ours):
            written += chunk
    os.close(ours)
    assert running.returncode == 0, written.decode()
    return written.decode()


def read(descriptor: int) -> bytes:
    """Return what there is to read, nothing once the other end is closed."""
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says so in place of an end
        return b""
