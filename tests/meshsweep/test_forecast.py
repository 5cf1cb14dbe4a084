"""What `meshsweep plan` prints."""

from __future__ import annotations

import json

from .project import Project

SUITE = """
    from meshsweep import parametrize_mesh

    @parametrize_mesh()
    def test_all(cell): pass

    @parametrize_mesh(["1x2"])
    def test_some(cell): pass

    def test_plain(): pass
"""

RULES = """
    [[include]]
    mesh = "1x2"
    dtype = "bfloat16"
    scale = "big"
    reason = "seen broken"
    [[exclude]]
    mesh = "1x1"
    dtype = "bfloat8_b"
    reason = "too small"
"""

ARGUMENTS = ("plan", "--mesh", "1x1", "--mesh", "1x2", "--machine", "n300", "--workers", "2")


def test_plan_shows_cells_slots_and_time(project: Project) -> None:
    project.declare(rules=RULES)
    project.suite(SUITE)
    times = {
        f"fake|tests/unit/test_suite.py::test_all[1x1-bfloat16-{scale}]": [3.0] for scale in ("tiny", "tiny-padded")
    }
    times["fake|tests/unit/test_suite.py::test_plain"] = [1.0]
    project.write(".meshsweep/history.json", json.dumps(times))
    done = project.meshsweep(
        *ARGUMENTS,
        "--scale",
        "tiny",
        "--scale",
        "tiny-padded",
        "--scale",
        "big",
        "--dtype",
        "bfloat16",
        "--memory",
        "4",
    )
    lines = done.out.splitlines()

    assert (done.code, done.err) == (0, "")
    assert lines[:9] == [
        "environment fake, machine n300 (2 chips, 1x2), tier default",
        "6 cells, 10 tests, at most 2 workers, 4.0 GB of memory",
        "  1x1-bfloat16-tiny: 1 test, 3.0 s",
        "  1x1-bfloat16-tiny-padded: 1 test, 3.0 s",
        "  1x1-bfloat16-big: 1 test, time unknown",
        "  1x2-bfloat16-tiny: 2 tests, time unknown",
        "  1x2-bfloat16-tiny-padded: 2 tests, time unknown",
        "  1x2-bfloat16-big: 2 tests, time unknown",
        "  no mesh: 1 test, 1.0 s",
    ]
    assert [line.split()[:2] for line in lines[10:-3]] == [["n300.0", "1x2"], ["n300.1", "1x1"], ["n300.2", "1x1"]]
    assert lines[-3:] == [
        "expected time: 24.0 s, 1.00 times the least possible, 24.0 s",
        "limited by: chips",
        "7 of 10 tests never ran here; taken to need what their neighbours do",
    ]
    assert not (project.root / ".meshsweep/runs").exists()


def test_plan_says_what_rules_did(project: Project) -> None:
    project.declare(rules=RULES)
    project.suite(SUITE)
    done = project.meshsweep(*ARGUMENTS, "-k", "test_all and 1x1-bfloat16-tiny-padded")

    assert done.out.splitlines()[-3:] == [
        "included 1x2-bfloat16-big: seen broken",
        "excluded 1x1-bfloat8_b-tiny: too small",
        "excluded 1x1-bfloat8_b-tiny-padded: too small",
    ]
    assert "  1x1-bfloat16-tiny-padded: 1 test, time unknown" in done.out.splitlines()
    assert "  1x2-bfloat16-tiny: 0 tests, time unknown" in done.out.splitlines()
    assert "expected time: unknown, no test ever ran here; drawn as if each took a second" in done.out.splitlines()


def test_known_times_add_up(project: Project) -> None:
    project.suite(SUITE)
    cells = ("1x1-bfloat16-tiny", "1x1-bfloat16-tiny-padded")
    times = {f"fake|tests/unit/test_suite.py::test_all[{cell}]": [3.0] for cell in cells}
    project.write(".meshsweep/history.json", json.dumps(times))
    done = project.meshsweep("plan", "--mesh", "1x1", "--dtype", "bfloat16", "--workers", "2", "-k", "test_all")

    assert done.out.splitlines()[-2:] == [
        "expected time: 3.0 s, 1.00 times the least possible, 3.0 s",
        "limited by: longest test",
    ]


def test_nothing_to_plan_is_an_error(project: Project) -> None:
    project.suite(SUITE)
    done = project.meshsweep("plan", "--mesh", "1x1", "-k", "nowhere")

    assert (done.code, done.err) == (
        2,
        "meshsweep: nothing to run: no test of the suite is left after -k, -m and the named paths\n",
    )


def test_broken_suite_shows_pytests_words(project: Project) -> None:
    project.suite("import nowhere\n")
    done = project.meshsweep("plan", "--mesh", "1x1")

    assert done.code == 2
    assert done.err.startswith("meshsweep: the suite cannot be collected; pytest says:\n")
    assert "meshsweep: E   ModuleNotFoundError: No module named 'nowhere'" in done.err.splitlines()
