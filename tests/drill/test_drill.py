"""The drill tells a caught fault from one that survives, from one that nothing reaches, and from a broken one.

What the last whole drill found is recorded beside this file; a few of its faults run here again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import pytest

from meshsweep.cell import Cell
from tests.drill import __main__ as command
from tests.drill import catalogue, report, runner
from tests.drill.fault import Fault
from tests.drill.runner import Run
from tests.drill.verdict import BROKEN, COMPARED, Failure, Result

ROWS = report.load(report.RECORD.read_text(encoding="utf-8"))
# Of the model's parts and of the emulator's, one of each kind; the whole drill is `nox -s drill`.
SAMPLE = (
    "leave_last_device_stale",
    "hard_code_expert_parallelism",
    "slide_odd_layers",
    "swap_nibbles",
    "take_constants_for_equal",
    "round_halves_away_from_zero",
)


def guide():
    """Return the names of the guide's tests, as their files declare them."""
    files = sorted((Path(__file__).parents[1] / "unit").glob("test_*.py"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return {line.removeprefix("def ").partition("(")[0] for line in lines if line.startswith("def test_")}


def test_record_holds_every_fault_and_where_it_runs_now():
    recorded = {row.fault: (row.about, row.area, row.cell) for row in ROWS}

    assert recorded == {
        fault.name: (fault.about, fault.area, report.where(fault)) for fault in catalogue.FAULTS.values()
    }, "run `nox -s drill -- --record`"
    assert all(row.tests for row in ROWS)


def test_page_shows_the_record():
    assert report.PAGE.read_text(encoding="utf-8") == report.page(ROWS), "run `nox -s drill -- --record`"


def test_every_test_of_the_guide_catches_a_fault():
    declared = guide()

    assert len(declared) == 17
    assert declared - set(report.catches_of(ROWS)) == set()


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """Return a function that writes a suite, and puts faults that it can meet in place of the catalogue."""

    def write(text, **puts):
        file = tmp_path / "test_suite.py"
        file.write_text(text, encoding="utf-8")
        cell = Cell(mesh="1x1", dtype="bfloat16", scale="tiny")
        faults = {
            name: Fault(name=name, about="It goes wrong.", area="here", cell=cell, suite=(str(file),), put=put)
            for name, put in puts.items()
        }
        monkeypatch.setattr(catalogue, "FAULTS", MappingProxyType(faults))
        return faults

    return write


ONE_CALL = """
import tests.drill.shards as shards

def test_values():
    assert callable(shards.values_of), "it is none"
    try:
        shards.values_of(None)
    except TypeError:
        pass
"""


def harmless(patch):
    from tests.drill import shards

    patch.around(shards, "values_of")(lambda real, x: real(x))


def unreached(patch):
    from tests.drill import shards

    patch.around(shards, "altered")(lambda real, x, change: x)


def clumsy(patch):
    from tests.drill import shards

    patch.around(shards, "values_of")(lambda real, x: x.nothing_of_that_name)


def test_fault_that_changes_nothing_survives_and_fails_the_drill(suite, capsys):
    suite(ONE_CALL, harmless=harmless)

    code = command.main(["--jobs", "1"])

    assert code == 1
    assert capsys.readouterr().out.splitlines() == [
        "SURVIVED      harmless: 1 tests passed",
        "1 faults, 0 caught, 1 survived",
    ]


def test_fault_that_nothing_calls_is_told_apart(suite, capsys):
    suite(ONE_CALL, unreached=unreached)

    assert command.main([]) == 1
    assert "NEVER REACHED unreached: nothing called what it replaces" in capsys.readouterr().out


def test_crash_of_a_clumsy_fault_is_no_catch(suite, capsys):
    suite(ONE_CALL, clumsy=clumsy)

    assert command.main([]) == 1
    told = (
        "BROKEN        clumsy: the tests crashed, which proves nothing: test_values: 'NoneType' object has no attribute"
    )
    assert told in capsys.readouterr().out


def test_suite_that_fails_anyway_proves_nothing(suite, capsys):
    suite("def test_sum():\n    assert 1 + 1 == 3\n", harmless=harmless)

    assert command.main([]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "BROKEN        harmless: without it the suite fails too: test_sum: (1 + 1) == 3",
        "1 faults, 0 caught, 1 broken",
    ]


FROM_DISK = """
import os

def test_environment():
    assert not {"GPT_DIR", "TT_CACHE_PATH"} & set(os.environ), "weights on disk would outlive the fault"
"""


@pytest.mark.parametrize("variable", ["GPT_DIR", "TT_CACHE_PATH"])
def test_no_run_reads_or_fills_weights_on_disk(suite, monkeypatch, tmp_path, capsys, variable):
    monkeypatch.setenv(variable, str(tmp_path))
    suite(FROM_DISK + ONE_CALL, harmless=harmless)

    command.main(["--jobs", "1"])

    assert capsys.readouterr().out.splitlines()[0] == "SURVIVED      harmless: 2 tests passed"
    assert os.environ[variable] == str(tmp_path), "what runs the drill keeps its own"


def test_fault_leaves_nothing_in_the_tensor_cache(tmp_path):
    cache, checkpoint = tmp_path / "cache", tmp_path / "no checkpoint"
    where = ["--sweep-mesh=1x2", "--sweep-dtype=bfloat8_b", "--sweep-scale=tiny", "-n0", "-p", "no:cacheprovider"]
    plugin = ["-p", "tests.drill.plugin", "--fault", "swap_nibbles", "--fault-report", str(tmp_path / "report.json")]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, *where, "tests/unit/test_core_components.py", "-k", "rms_norm"],
        cwd=runner.ROOT,
        env={**os.environ, "TT_CACHE_PATH": str(cache), "GPT_DIR": str(checkpoint)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    # A directory that is none would have been an error of every test.
    assert json.loads((tmp_path / "report.json").read_text())["passed"], done.stdout
    assert not cache.exists()


def test_suite_without_tests_proves_nothing(suite, capsys):
    suite("", harmless=harmless)

    assert command.main([]) == 1
    assert "without it the suite fails too: no test ran" in capsys.readouterr().out


def test_run_past_its_deadline_is_ended_and_told(suite):
    (fault,) = suite("import time\n\ndef test_sleep():\n    time.sleep(60)\n", harmless=harmless).values()
    told = []

    runner.run_all([Run.of(fault)], jobs=1, tell=told.append, deadlines_s={Run.of(fault): 3.0})

    assert [(result.verdict, result.why()) for result in told] == [(BROKEN, "the suite did not end within 3 s")]


@pytest.mark.parametrize(("control_s", "deadline_s"), [(0.0, 120.0), (12.0, 120.0), (100.0, 560.0)])
def test_deadline_grows_with_the_hosts_own_time(control_s, deadline_s):
    assert runner.deadline_after(control_s) == deadline_s


def test_runs_are_held_to_the_time_of_their_control(suite, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(runner, "deadline_after", lambda control_s: asked.append(control_s) or 0.1)
    suite("import time\n\ndef test_sleep():\n    time.sleep(1.5)\n", harmless=harmless)

    assert command.main([]) == 1
    assert [control_s > 1.5 for control_s in asked] == [True]
    assert "BROKEN        harmless: the suite did not end within 0.1 s" in capsys.readouterr().out


def test_wrong_name_is_exit_code_2_with_those_like_it(capsys):
    assert command.main(["--only", "swap_nibles"]) == 2
    assert capsys.readouterr().err == "drill: no fault 'swap_nibles'; did you mean swap_nibbles?\n"


def test_faults_are_listed(suite, capsys):
    suite("", harmless=harmless)

    assert command.main(["--list"]) == 0
    assert capsys.readouterr().out.split() == ["harmless", "It", "goes", "wrong."]


def test_sample_of_the_catalogue_is_caught(capsys):
    assert command.main(["--quick", "--only", *SAMPLE]) == 0, capsys.readouterr().out
    assert capsys.readouterr().out.splitlines()[-1] == f"{len(SAMPLE)} faults, {len(SAMPLE)} caught, 0 survived"


def test_record_is_of_the_faults_own_tests(suite, capsys):
    suite("", harmless=harmless)

    assert command.main(["--tests", "tests/unit", "--record"]) == 2
    assert capsys.readouterr().err == (
        "drill: --tests and --record: the record is of the faults' own tests; leave one out\n"
    )


def test_record_keeps_what_did_not_run_and_tells_what_survived(suite):
    faults = suite("", kept=harmless, caught=harmless, lost=harmless)
    catch = Failure(test="test_it", kind=COMPARED, evidence="PCC 0.5 < 0.9")
    results = [Result(fault=name, calls=1, failures=(catch,)) for name in faults]
    before = report.merge([], faults, results)
    now = [
        Result(fault="caught", calls=1, failures=(catch, failure(COMPARED, "test_two"))),
        Result(fault="lost", calls=1, passed=17),
    ]

    rows = report.merge(before, faults, now)

    assert [(row.fault, row.tests) for row in rows] == [
        ("kept", ("test_it",)),
        ("caught", ("test_it", "test_two")),
        ("lost", ()),
    ]
    assert report.load(report.store(rows)) == rows
    assert "| **kept**: It goes wrong. | test_suite | it | compared: PCC 0.5 < 0.9 |" in report.page(rows)
    assert "| **lost**: It goes wrong. | test_suite | **nothing** | survived: 17 tests passed |" in report.page(rows)
    assert "Without a fault the same tests pass. 3 faults, 2 caught, 1 survived." in report.page(rows)


def failure(kind, test="test_it"):
    return Failure(test=test, kind=kind, evidence="")
