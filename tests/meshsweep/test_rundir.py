"""Run directories."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from meshsweep.errors import InfraError, UserError
from meshsweep.record import rundir
from meshsweep.record.rundir import RunDir


def create(home: Path, token: str = "beef", label: str = "1x8") -> RunDir:
    """Make a run at a fixed time."""
    return rundir.create(
        home, label, now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), token=lambda: token
    )


def test_run_is_named_by_time_and_label(tmp_path: Path) -> None:
    assert create(tmp_path).path == tmp_path / "runs/20260102T030405Z-1x8-beef"


def test_latest_points_at_newest_run(tmp_path: Path) -> None:
    create(tmp_path, "aaaa").make_latest()
    newest = create(tmp_path, "bbbb")
    newest.make_latest()
    newest.make_latest()

    assert (tmp_path / "runs/latest").resolve() == newest.path
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_runs_hide_from_git(tmp_path: Path) -> None:
    create(tmp_path)

    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_file_in_the_way_is_infrastructure(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(InfraError) as caught:
        create(tmp_path / "home")

    assert str(caught.value) == (
        f"{tmp_path}/home/runs/20260102T030405Z-1x8-beef: cannot make the run directory: Not a directory; "
        "choose another place with --home"
    )


@pytest.mark.parametrize("given", [None, "latest", "20260102T030405Z-1x8-beef"])
def test_run_is_found_by_name(tmp_path: Path, given: str | None) -> None:
    made = create(tmp_path)
    made.events.touch()
    made.make_latest()

    assert rundir.find(tmp_path, given) == made


def test_run_is_found_by_directory(tmp_path: Path) -> None:
    made = create(tmp_path)
    made.events.touch()

    assert rundir.find(tmp_path / "elsewhere", str(made.path)) == made


@pytest.mark.parametrize(("given", "shown"), [("nope", "nope"), (None, "{home}/runs/latest")])
def test_missing_run_is_an_error(tmp_path: Path, given: str | None, shown: str) -> None:
    with pytest.raises(UserError) as caught:
        rundir.find(tmp_path, given)

    assert str(caught.value) == (
        f"no run at {shown.format(home=tmp_path)}: expected a directory with events.jsonl, as `meshsweep run` leaves it"
    )


def test_history_lies_beside_the_runs(tmp_path: Path) -> None:
    assert create(tmp_path).history == tmp_path / "history.json"


def test_latest_is_made_after_a_kill_in_its_making(tmp_path: Path) -> None:
    made = create(tmp_path, "aaaa")
    (made.path.parent / f".latest-{made.path.name}").symlink_to(made.path.name)
    made.make_latest()

    assert sorted(path.name for path in made.path.parent.iterdir()) == sorted([made.path.name, "latest"])
