"""Durations kept from run to run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from meshsweep.results import history
from meshsweep.results.ledger import Result


def result(outcome: str = "passed", duration_s: float = 1.0) -> Result:
    """Return a result of the one test here."""
    return Result(test="t", cell="c", environment="fake", outcome=outcome, duration_s=duration_s)


def test_median_of_last_five_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    for seconds in (100.0, 100.0, 1.0, 2.0, 9.0, 3.0, 4.0):
        history.remember(path, [result(duration_s=seconds)])

    assert history.expected_s(history.load(path), "fake", "t") == 3.0


def test_environments_are_kept_apart(tmp_path: Path) -> None:
    history.remember(tmp_path / "history.json", [result()])

    assert history.expected_s(history.load(tmp_path / "history.json"), "silicon", "t") is None


@pytest.mark.parametrize("outcome", ["failed", "skipped", "xfailed", "crashed", "not-run"])
def test_only_passed_tests_are_remembered(tmp_path: Path, outcome: str) -> None:
    history.remember(tmp_path / "history.json", [result(outcome)])

    assert history.load(tmp_path / "history.json") == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fake|t": 3}', '{"fake|t": ["x"]}', "\x00"])
def test_damaged_history_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "history.json"
    path.write_text(text, encoding="utf-8")

    assert history.expected_s(history.load(path), "fake", "t") is None


def test_unwritable_history_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.mkdir()
    history.remember(path, [result()])

    assert history.load(path) == {}


def test_last_twenty_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    history.remember(path, [result(duration_s=float(number)) for number in range(30)])

    assert history.times_of(history.load(path), "fake", "t") == [float(number) for number in range(10, 30)]


def test_opening_a_mesh_is_no_time_of_the_test(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    history.remember(path, [replace(result(duration_s=3.0), properties={"mesh_open_s": 2.5})])

    assert history.expected_s(history.load(path), "fake", "t") == 0.5


def test_flaky_test_is_remembered(tmp_path: Path) -> None:
    history.remember(tmp_path / "history.json", [result("flaky")])

    assert history.expected_s(history.load(tmp_path / "history.json"), "fake", "t") == 1.0


REMEMBER = """
import sys, time
from pathlib import Path
from meshsweep.results import history
from meshsweep.results.ledger import Result
path, name = Path(sys.argv[1]), sys.argv[2]
load = history.load
history.load = lambda path: (load(path), time.sleep(0.2))[0]
history.remember(path, [Result(test=name, cell="c", environment="fake", outcome="passed", duration_s=1.0)])
"""


def test_runs_that_end_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    names = ["a", "b", "c"]
    writers = [subprocess.Popen([sys.executable, "-c", REMEMBER, str(path), name]) for name in names]
    codes = [writer.wait(30) for writer in writers]

    assert codes == [0, 0, 0]
    assert sorted(history.load(path)) == ["fake|a", "fake|b", "fake|c"]
