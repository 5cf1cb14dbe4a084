"""Read one or several runs back from disk into one ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from meshsweep.errors import InfraError, UserError
from meshsweep.record import rundir
from meshsweep.record.events import read
from meshsweep.results import ledger, report
from meshsweep.results.fold import fold
from meshsweep.results.ledger import Ledger

__all__ = ["gather", "write"]


def gather(home: Path, names: Sequence[str], *, expect: Path | None) -> Ledger:
    """Return the merged ledger of runs by name or directory, the latest where none is named.

    ``expect`` is a job list of ``plan --ci``: each of its cells gets a row, so that a job
    that never delivered is seen. Raises UserError for a run or file that is not there.
    """
    found = [rundir.find(home, name) for name in names or [None]]  # type: ignore[list-item]
    merged = ledger.merge([fold(read(run.events)) for run in found])
    if expect is not None:
        cells = _expected(expect)
        absent = {**dict.fromkeys(cells, "expected, but no run reported it"), **merged.absent}
        merged = replace(merged, cells=tuple(dict.fromkeys([*cells, *merged.cells])), absent=absent)
    return merged


def write(found: Ledger, directory: Path) -> None:
    """Write the summaries of a gathered ledger into a directory, making it if needed."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfraError(f"{directory}: cannot make the directory: {error.strerror}") from error
    report.write_files(found, directory)


def _expected(path: Path) -> list[tuple[str, str]]:
    try:
        expect = json.loads(path.read_text(encoding="utf-8"))["expect"]
        return [(expect["environment"], cell) for cell in expect["cells"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a job list of `meshsweep plan --ci`: {error}") from error
