"""Who in the controller sees a test that passed: nobody in the usual case, everybody who asks."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from .project import Project

RUN = ("run", "--cell", "1x1-bfloat16-tiny", "--workers", "1")
SUITE = """
    def test_1(cell, record_property):
        record_property("pcc.mlp", 0.5)
        print("said in passing")

    def test_2(cell): assert {truth}
"""


def test_last_line_counts_what_passed(project: Project) -> None:
    project.suite(SUITE.format(truth=True))
    done = project.meshsweep(*RUN)

    assert any("2 passed in " in line for line in done.lines), done.lines
    assert project.summary()["results"][0]["properties"]["pcc.mlp"] == 0.5


def test_passed_tests_leave_the_last_failed(project: Project) -> None:
    ran = []
    for truth, option in ((False, ()), (True, ("--lf",)), (True, ("--lf",))):
        project.suite(SUITE.format(truth=truth))
        project.meshsweep(*RUN, *option)
        ran.append(sorted(name.partition("[")[0] for name in project.results()))

    assert ran == [["test_1", "test_2"], ["test_2"], ["test_1", "test_2"]]


def test_junit_of_ones_own_has_all(project: Project) -> None:
    project.suite(SUITE.format(truth=True))
    project.meshsweep(*RUN, "--junitxml=own.xml", "-o", "junit_logging=all", "-o", "junit_family=xunit1")
    document = ET.fromstring((project.root / "own.xml").read_text(encoding="utf-8"))
    first = next(case for case in document.iter("testcase") if case.get("name", "").startswith("test_1"))

    assert [found.get("value") for found in first.iter("property") if found.get("name") == "pcc.mlp"] == ["0.5"]
    assert "said in passing" in (first.findtext("system-out") or "")


LISTENER = """
    from pathlib import Path
    import os

    def pytest_runtest_logreport(report):
        if "PYTEST_XDIST_WORKER" not in os.environ:
            with Path("seen.txt").open("a") as file:
                print(report.nodeid.partition("[")[0][-6:], report.when, report.outcome, file=file)
"""


def test_listener_in_a_conftest_hears_every_phase(project: Project) -> None:
    project.suite(SUITE.format(truth=True))
    project.write("conftest.py", LISTENER)
    done = project.meshsweep(*RUN)

    assert done.code == 0, done.lines
    assert (project.root / "seen.txt").read_text(encoding="utf-8").splitlines() == [
        f"{test} {when} passed" for test in ("test_1", "test_2") for when in ("setup", "call", "teardown")
    ]


@pytest.mark.parametrize(
    ("option", "line"), [("-v", "PASSED"), ("--durations=1", "slowest 1 durations"), ("-rP", "said in passing")]
)
def test_what_is_asked_for_is_shown(project: Project, option: str, line: str) -> None:
    project.suite(SUITE.format(truth=True))
    done = project.meshsweep(*RUN, option)

    assert any(line in shown for shown in done.lines), done.lines
