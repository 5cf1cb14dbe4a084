"""Show which tests caught which fault: a table for the terminal, a page for docs/, and a record that tests read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.drill.fault import Fault
from tests.drill.verdict import CAUGHT, Failure, Result, names

__all__ = ["PAGE", "RECORD", "Row", "catches_of", "line", "load", "merge", "page", "store", "summary", "where"]

PAGE = Path(__file__).parents[2] / "docs" / "drill.md"
RECORD = Path(__file__).parent / "recorded.json"

_HEAD = """\
# Faults that the suite catches

Written by `nox -s drill -- --record`; not edited by hand.

Each fault is one mistake that can be put into the model or the emulator by its name. The suite then runs on the cell
that is given here, and at least one test must fail by a comparison, or by an error that `ttnn` or the model raises.
Without a fault the same tests pass. {counted}.

See one fail: `python -m pytest -p tests.drill.plugin --fault drop_row_reduce --sweep-mesh 2x4 tests/unit`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the record: a fault, where it ran and what caught it; no tests, and why, where nothing did."""

    fault: str
    about: str
    area: str
    cell: str
    tests: tuple[str, ...]
    kind: str
    evidence: str

    @classmethod
    def of(cls, fault: Fault, result: Result) -> Row:
        """Return the row of a fault that was caught, or that was not."""
        caught = result.catches if result.verdict == CAUGHT else ()
        first = caught[0] if caught else Failure(test="", kind=result.verdict, evidence=result.why())
        return cls(
            fault=fault.name,
            about=fault.about,
            area=fault.area,
            cell=where(fault),
            tests=tuple(catch.test for catch in caught),
            kind=first.kind,
            evidence=first.evidence,
        )


def where(fault: Fault) -> str:
    """Return the cell of a fault, or the files of tests that need none."""
    if all(path.startswith(("tests/unit", "tests/layouts")) for path in fault.suite):
        return str(fault.cell)
    return ", ".join(Path(path).stem for path in fault.suite)


def line(result: Result) -> str:
    """Return one fault's line on the terminal."""
    if result.verdict != CAUGHT:
        return f"{result.verdict.upper():<13} {result.fault}: {result.why()}"
    first = result.catches[0]
    return f"{CAUGHT:<7}{len(result.catches):>3} {result.fault:<40} {names(result.catches, 1)}: {first.evidence}"


def summary(results: Iterable[Result]) -> str:
    """Return how many were caught, and how many were not and why."""
    return _counted(result.verdict for result in results)


def _counted(verdicts: Iterable[str]) -> str:
    counts = Counter(verdicts)
    others = [f"{count} {verdict}" for verdict, count in sorted(counts.items()) if verdict != CAUGHT]
    return ", ".join([f"{sum(counts.values())} faults", f"{counts[CAUGHT]} caught", *(others or ["0 survived"])])


def merge(before: Iterable[Row], faults: Mapping[str, Fault], results: Sequence[Result]) -> list[Row]:
    """Return rows in the order of the faults: new ones of what ran, old ones of what did not."""
    rows = {row.fault: row for row in before}
    rows |= {found.fault: Row.of(faults[found.fault], found) for found in results}
    return [rows[name] for name in faults if name in rows]


def page(rows: Iterable[Row]) -> str:
    """Return docs/drill.md."""
    listed = list(rows)
    parts = [_HEAD.format(counted=_counted(CAUGHT if row.tests else row.kind for row in listed))]
    for area in dict.fromkeys(row.area for row in listed):
        parts.append(f"\n## {area.capitalize()}\n\n| fault | cell | caught by | first told by |\n|---|---|---|---|")
        parts += [_table_row(row) for row in listed if row.area == area]
    parts.append("\n## Each test's catches\n\n| test | faults |\n|---|---|")
    parts += [f"| {test} | {count} |" for test, count in sorted(catches_of(listed).items())]
    return "\n".join(parts) + "\n"


def _table_row(row: Row) -> str:
    caught = names([Failure(test=test, kind=row.kind, evidence="") for test in row.tests]) or "**nothing**"
    evidence = row.evidence.replace("|", "\\|")
    return f"| **{row.fault}**: {row.about} | {row.cell} | {caught} | {row.kind}: {evidence} |"


def catches_of(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many faults each test caught."""
    counts: dict[str, int] = {}
    for row in rows:
        for test in row.tests:
            counts[test] = counts.get(test, 0) + 1
    return counts


def store(rows: Iterable[Row]) -> str:
    """Return rows as JSON, a line each."""
    lines = [json.dumps(_fields(row)) for row in rows]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def load(text: str) -> list[Row]:
    """Return the rows of a record."""
    return [Row(**{**found, "tests": tuple(found["tests"])}) for found in json.loads(text)]


def _fields(row: Row) -> Mapping[str, Any]:
    return {name: getattr(row, name) for name in Row.__slots__}
