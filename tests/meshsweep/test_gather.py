"""Runs read back, merged and measured against what was expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from junitparser import JUnitXml

from meshsweep.errors import InfraError, UserError
from meshsweep.results import gather, summary
from meshsweep.results.ledger import rows

from .test_junit import TEST
from .test_ledger import CELL, OTHER, Log


def store(home: Path, name: str, log: Log) -> Path:
    """Write a run as `meshsweep run` leaves it, and make it the latest."""
    path = home / "runs" / name
    path.mkdir(parents=True)
    path.joinpath("events.jsonl").write_text(
        "".join(json.dumps(event) + "\n" for event in log.events), encoding="utf-8"
    )
    latest = home / "runs/latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(name)
    return path


def expectation(path: Path, *cells: str) -> Path:
    """Write what `plan --ci` prints, as far as it is read."""
    path.write_text(json.dumps({"expect": {"environment": "fake", "cells": cells}}), encoding="utf-8")
    return path


def green(cell: str = CELL, test: str = TEST) -> Log:
    """Return the log of a run with one test that passed."""
    return Log({"wave-0": [cell]}).collected(test, cell=cell).reported(test)


def test_latest_run_is_read_unasked(tmp_path: Path) -> None:
    store(tmp_path, "old", green(OTHER))
    store(tmp_path, "new", green())
    found = gather.gather(tmp_path, [], expect=None)

    assert [cell for _, cell in found.cells] == [CELL]


def test_named_runs_become_one_ledger(tmp_path: Path) -> None:
    store(tmp_path, "one", green())
    path = store(tmp_path, "two", green(OTHER, "f.py::other"))
    found = gather.gather(tmp_path, ["one", str(path)], expect=None)

    assert [row.cell for row in rows(found)] == [CELL, OTHER]
    assert summary.exit_code(found) == 0


def test_job_that_never_delivered_is_seen(tmp_path: Path) -> None:
    store(tmp_path, "one", green())
    expect = expectation(tmp_path / "jobs.json", CELL, OTHER)
    found = gather.gather(tmp_path, [], expect=expect)

    assert [(row.cell, row.planned) for row in rows(found)] == [(CELL, 1), (OTHER, 0)]
    assert summary.problems(found) == (f"{OTHER}: expected, but no run reported it",)
    assert summary.exit_code(found) == 1


def test_everything_expected_is_good(tmp_path: Path) -> None:
    store(tmp_path, "one", green())
    found = gather.gather(tmp_path, [], expect=expectation(tmp_path / "jobs.json", CELL))

    assert summary.exit_code(found) == 0


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"expect": {"environment": "e", "cells": 3}}'])
def test_other_files_are_no_expectation(tmp_path: Path, text: str) -> None:
    store(tmp_path, "one", green())
    (tmp_path / "jobs.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"jobs\.json: not a job list of `meshsweep plan --ci`: ") as caught:
        gather.gather(tmp_path, [], expect=tmp_path / "jobs.json")

    assert len(str(caught.value).splitlines()) == 1


def test_all_forms_are_written(tmp_path: Path) -> None:
    store(tmp_path, "one", Log().collected(TEST).reported(TEST, "failed", "boom", printed={"out": "printed"}))
    gather.write(gather.gather(tmp_path, [], expect=None), tmp_path / "a/b")

    assert (tmp_path / "a/b/summary.md").read_text(encoding="utf-8").startswith("# meshsweep: failed\n")
    assert json.loads((tmp_path / "a/b/summary.json").read_text(encoding="utf-8"))["exit_code"] == 1
    ((case,),) = [list(suite) for suite in JUnitXml.fromfile(str(tmp_path / "a/b/summary.xml"))]
    assert case.system_out == "printed"


def test_file_in_the_way_is_infrastructure(tmp_path: Path) -> None:
    store(tmp_path, "one", green())
    (tmp_path / "file").touch()
    with pytest.raises(InfraError) as caught:
        gather.write(gather.gather(tmp_path, [], expect=None), tmp_path / "file/out")

    assert str(caught.value) == f"{tmp_path}/file/out: cannot make the directory: Not a directory"


def test_summary_that_cannot_be_written(tmp_path: Path) -> None:
    store(tmp_path, "one", green())
    (tmp_path / "out/summary.json").mkdir(parents=True)
    with pytest.raises(InfraError) as caught:
        gather.write(gather.gather(tmp_path, [], expect=None), tmp_path / "out")

    assert str(caught.value) == (
        f"{tmp_path}/out: cannot write the summary: Is a directory; every result stays in events.jsonl: make room, "
        "then `meshsweep resume`"
    )
