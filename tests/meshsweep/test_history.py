"""Durations kept from run to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshsweep import history
from meshsweep.ledger import Result


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
