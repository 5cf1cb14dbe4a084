"""The worker's loop: one test in flight, and fixtures that live as long as in plain pytest."""

from __future__ import annotations

import json

from .project import Project

ONE_CELL = ("run", "--cell", "1x1-bfloat16-tiny", "--workers", "1")

LIVES = """
    from pathlib import Path

    import pytest

    def note(text):
        with Path("lives.txt").open("a") as file:
            print(text, file=file)

    @pytest.fixture(scope="module")
    def module():
        note("module up")
        yield
        note("module down")

    @pytest.fixture(scope="class")
    def group():
        note("class up")
        yield
        note("class down")

    class TestA:
        def test_1(self, cell, module, group):
            note("1")

        def test_2(self, cell, module, group):
            note("2")

    class TestB:
        def test_3(self, cell, module, group):
            note("3")

    def test_4(cell, module):
        note("4")
"""


def test_wider_fixtures_outlive_a_test(project: Project) -> None:
    project.suite(LIVES)
    project.suite(
        "from pathlib import Path\ndef test_5(cell): assert 'module down' in Path('lives.txt').read_text()\n",
        "test_z.py",
    )
    done = project.meshsweep(*ONE_CELL)

    assert done.code == 0, done.lines
    assert (project.root / "lives.txt").read_text(encoding="utf-8").splitlines() == [
        "module up",
        "class up",
        "1",
        "2",
        "class down",
        "class up",
        "3",
        "class down",
        "4",
        "module down",
    ]


STUCK = """
    import pytest

    @pytest.fixture(scope="module")
    def module():
        yield
        raise ValueError("stuck")

    def test_1(cell, module): pass
    def test_2(cell, module): pass
"""


def test_late_teardown_fails_the_last_test(project: Project) -> None:
    """Whether another module follows or not."""
    project.suite(STUCK)
    project.suite(STUCK.replace("test_", "test_z"), "test_z.py")
    done = project.meshsweep(*ONE_CELL)

    assert done.code == 1
    assert project.results() == {
        "test_1[1x1-bfloat16-tiny]": ("passed", ""),
        "test_2[1x1-bfloat16-tiny]": ("failed", "teardown: ValueError: stuck"),
        "test_z1[1x1-bfloat16-tiny]": ("passed", ""),
        "test_z2[1x1-bfloat16-tiny]": ("failed", "teardown: ValueError: stuck"),
    }
    assert "4/4  1x1-bfloat16-tiny  4 passed  0.0 s" in done.lines


def test_option_x_stops_at_first_failure(project: Project) -> None:
    project.suite("""
        def test_1(cell): pass
        def test_2(cell): assert False, "on purpose"
        def test_3(cell): pass
    """)
    done = project.meshsweep(*ONE_CELL, "-x")

    assert done.code == 1
    assert project.results() == {
        "test_1[1x1-bfloat16-tiny]": ("passed", ""),
        "test_2[1x1-bfloat16-tiny]": ("failed", "on purpose"),
        "test_3[1x1-bfloat16-tiny]": ("not-run", "not started: stopping after 1 failures"),
    }
    assert "1 never ran: not started: stopping after 1 failures" in done.lines


def test_stop_of_worker_stops_the_run(project: Project) -> None:
    project.suite("""
        def test_1(cell, request): request.session.shouldstop = "enough"
        def test_2(cell): pass
    """)
    done = project.meshsweep(*ONE_CELL)

    assert done.code == 1
    assert [outcome for outcome, _ in project.results().values()] == ["passed", "not-run"]


def test_odd_values_end_no_run(project: Project) -> None:
    """execnet refuses a tensor in a report, and half a surrogate pair."""
    project.suite("""
        class Tensor:
            def __float__(self): return 0.5

        def test_1(cell, record_property): record_property("pcc.mlp", Tensor())
        def test_2(cell): raise ValueError("half \\udc80 \\x1b[31m pair")
        def test_3(cell): pass
    """)
    done = project.meshsweep(*ONE_CELL)

    assert done.code == 1
    assert project.results() == {
        "test_1[1x1-bfloat16-tiny]": ("passed", ""),
        "test_2[1x1-bfloat16-tiny]": ("failed", "ValueError: half \\udc80 \x1b[31m pair"),
        "test_3[1x1-bfloat16-tiny]": ("passed", ""),
    }
    assert project.summary()["cells"][0]["pcc"] == 0.5


AGAIN = """
    def test_again(request):
        print("said")
        before = [name for name, _ in request.node.user_properties]
        request.node.user_properties.append(("pcc.mlp", 0.5 if not before else 0.1))
        assert before, "nothing recorded so far"
"""


def test_second_attempt_knows_nothing_of_the_first(project: Project) -> None:
    project.suite(AGAIN)
    project.meshsweep(*ONE_CELL, "--reruns", "1")
    (result,) = project.summary()["results"]

    assert (result["outcome"], result["out"], result["properties"]["pcc.mlp"]) == ("failed", "said\n", 0.5)
    assert [attempt["out"] for attempt in result["earlier"]] == ["said\n"]


PLACES = """
    import json
    import pytest
    from pathlib import Path

    def pytest_runtest_logreport(report):
        with Path("places.jsonl").open("a") as file:
            print(json.dumps([report.nodeid, report.location]), file=file)
"""
CASES = """
    import functools
    import pytest

    def decorate(function):
        return function

    @pytest.mark.parametrize("number", range(3))
    def test_1(cell, number): pass

    class TestA:
        @pytest.mark.parametrize("number", range(3))
        @decorate
        def test_2(self, cell, number): pass

        def test_3(self, cell): pass

    class Wrapper:
        def __init__(self, function):
            functools.update_wrapper(self, function)

        def __eq__(self, other):
            return True

        def __call__(self, *arguments, **named):
            return self.__wrapped__(*arguments, **named)

    @Wrapper
    def test_4(cell): pass

    @Wrapper
    def test_5(cell): pass
"""


def test_every_case_stands_where_pytest_finds_it(project: Project) -> None:
    project.suite(CASES)
    project.suite("from .test_suite import test_1\ndef test_9(cell): pass\n", "test_z.py")
    project.suite("", "__init__.py")
    project.write("tests/unit/conftest.py", PLACES)
    file = project.root / "places.jsonl"
    told = []
    for arguments in ((), ("-n0",)):
        done = project.meshsweep(*ONE_CELL, *arguments)
        assert done.code == 0, done.lines
        told.append({tuple(map(str, json.loads(line))) for line in file.read_text(encoding="utf-8").splitlines()})
        file.unlink()

    assert told[0] == told[1]
    assert len(told[0]) == 13


def test_workers_write_no_summary_that_nobody_sees(project: Project) -> None:
    project.suite("def test_1(cell): pass\n")
    project.write(
        "tests/unit/conftest.py",
        """
        import os
        from pathlib import Path

        def pytest_terminal_summary():
            with Path("summaries.txt").open("a") as file:
                print(os.environ.get("PYTEST_XDIST_WORKER", "controller"), file=file)
        """,
    )
    done = project.meshsweep(*ONE_CELL)

    assert done.code == 0, done.lines
    assert (project.root / "summaries.txt").read_text(encoding="utf-8").split() == ["controller"]
