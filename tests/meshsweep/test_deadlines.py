"""Deadlines from history."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsweep import loader
from meshsweep.control.deadlines import Deadline, Deadlines, percentile
from meshsweep.errors import MatrixError

from .project import MATRIX, Project

LIMIT = Deadline(factor=4.0, floor_s=10.0, cap_s=100.0, unknown_s=60.0, open_s=5.0)


def deadlines(*times: float) -> Deadlines:
    """Return the deadlines of an environment in which one test ran before."""
    return Deadlines({"fake|t": list(times)}, "fake", LIMIT)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ((), 60.0),
        ((5.0,), 20.0),
        ((0.1,), 10.0),
        ((50.0,), 100.0),
        ((*[5.0] * 19, 9.0), 20.0),
        ((*[5.0] * 18, 9.0, 9.0), 36.0),
    ],
    ids=["unknown", "factor", "floor", "cap", "one outlier", "two outliers"],
)
def test_deadline_follows_history(times: tuple[float, ...], seconds: float) -> None:
    assert deadlines(*times).of("t", opens=False) == seconds


def test_opening_a_mesh_is_allowed_for() -> None:
    assert deadlines(50.0).of("t", opens=True) == 105.0


def test_environments_have_histories_of_their_own() -> None:
    assert Deadlines({"other|t": [5.0]}, "fake", LIMIT).of("t", opens=False) == 60.0


@pytest.mark.parametrize(
    ("ratios", "seconds"),
    [([3.0] * 4, 20.0), ([3.0] * 5, 60.0), ([0.2] * 9, 20.0), ([1000.0] * 9, 100.0), ([1.0] * 5 + [50.0] * 3, 20.0)],
    ids=["too few", "slow host", "fast host", "capped", "a few slow tests"],
)
def test_slow_host_gets_longer_deadlines(ratios: list[float], seconds: float) -> None:
    limits = deadlines(5.0)
    for ratio in ratios:
        limits.observe("t", 5.0 * ratio)

    assert limits.of("t", opens=False) == seconds


def test_tests_of_milliseconds_tell_no_speed() -> None:
    limits = deadlines(0.001)
    for _ in range(20):
        limits.observe("t", 0.5)
        limits.observe("unknown", 99.0)

    assert limits.slowness == 1.0


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=20))
def test_no_known_time_is_past_its_deadline(times: list[float]) -> None:
    limit = Deadline(factor=1.0, floor_s=1.0, cap_s=1e6)
    seconds = Deadlines({"fake|t": times}, "fake", limit).of("t", opens=False)

    assert sum(time > seconds for time in times) <= len(times) * 0.05


def test_percentile_is_a_value_that_was_seen() -> None:
    assert [percentile([3.0, 1.0, 2.0], share) for share in (0.0, 0.34, 0.95, 1.0)] == [1.0, 2.0, 3.0, 3.0]


def test_environment_declares_its_deadlines(tmp_path: Path) -> None:
    text = MATRIX["environments.toml"] + "[environments.silicon.deadline]\nfactor = 3\nfloor_s = 5\nopen_s = 90.5\n"
    environments = Project(tmp_path).matrix(environments=text.replace("        ", "")).environments

    assert environments["fake"].deadline == Deadline()
    assert environments["silicon"].deadline == Deadline(factor=3, floor_s=5, open_s=90.5)


def test_deadline_is_no_part_of_installation(tmp_path: Path) -> None:
    """The digest of a virtual environment's pins is taken of this text."""
    text = MATRIX["environments.toml"] + "[environments.silicon.deadline]\nfactor = 3\n"
    before = Project(tmp_path).matrix().environments["silicon"]
    after = Project(tmp_path).matrix(environments=text.replace("        ", "")).environments["silicon"]

    assert repr(before) == repr(after)


def test_mistakes_in_deadlines_are_told_at_once(tmp_path: Path) -> None:
    rows = "factor = 0\nfloor_s = 50\ncap_s = 20\nunknown_s = 'long'\nzzz = 3\n"
    text = MATRIX["environments.toml"] + f"[environments.silicon.deadline]\n{rows}"
    with pytest.raises(MatrixError) as caught:
        loader.load(Project(tmp_path).declare(environments=text.replace("        ", "")))

    place = "matrix/environments.toml [environments.silicon].deadline"
    assert caught.value.mistakes == (
        f"{place} factor: is 0; expected a number from 1 to 1000",
        f"{place} unknown_s: is 'long'; expected a number from 0.1 to 86400",
        f"{place} floor_s: is 50; expected at most cap_s, 20",
        f"{place} zzz: unknown key; choose from cap_s, end_s, factor, floor_s, open_s, start_s, unknown_s",
    )
