"""Keep the tests that are known to be bad in quarantine: each with an owner, a reason and a last day.

The failure of such a test is counted as ``quarantined`` and stays visible; after the last day it counts again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

from meshsweep.cell import Cell
from meshsweep.results.ledger import NO_CELL, Result
from meshsweep.toml import Known, Table
from meshsweep.words import count

__all__ = ["LONGEST_DAYS", "Entry", "Judged", "Scope", "find", "from_json", "judge", "read", "to_json", "unmatched"]

#: An entry ends at most this many days after the day on which it is read: a quarter, so that each is looked at again.
LONGEST_DAYS = 92

#: Outcomes of the test's own doing; what the devices or a neighbour did is never put on a test.
_COVERED = frozenset({"failed", "hang", "crashed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of matrix/quarantine.toml: which tests, whose, why, until which day; without ``run`` they are not run.

    ``test`` is a node id or a pattern of one, with or without its parameters; an empty axis matches everything.
    """

    place: str
    test: str
    owner: str
    reason: str
    expires: str
    meshes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    scales: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    run: bool = True

    def covers(self, test: str, cell: str, environment: str) -> bool:
        """Return whether the entry speaks of a test in a cell."""
        return self.reaches(cell, environment) and (
            # A node id is full of brackets, which a pattern would take for sets of letters.
            test == self.test or test.partition("[")[0] == self.test or fnmatchcase(_plain(test), _plain(self.test))
        )

    def reaches(self, cell: str, environment: str) -> bool:
        """Return whether the entry speaks of any test in a cell."""
        if self.environments and environment not in self.environments:
            return False
        if cell == NO_CELL:
            return not (self.meshes or self.dtypes or self.scales)
        axes = Cell.parse(cell)
        return (
            (not self.meshes or axes.mesh in self.meshes)
            and (not self.dtypes or axes.dtype in self.dtypes)
            and (not self.scales or axes.scale in self.scales)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a whole run could have matched: its environment, cells, paths and tests with their cells."""

    environment: str
    cells: tuple[str, ...]
    suite: tuple[str, ...]
    tests: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Results after quarantine, and what its owners have to look after."""

    results: tuple[Result, ...]
    warnings: tuple[str, ...]


def read(top: Table, *, axes: Mapping[str, Known], today: date) -> tuple[Entry, ...]:
    """Return the entries of matrix/quarantine.toml; mistakes are noted at the table."""
    found = []
    for number, row in enumerate(top.rows("quarantine"), 1):
        entry = Entry(
            place=f"quarantine.toml [[quarantine]] {number}",
            test=_test(row),
            owner=row.text("owner") or "",
            reason=row.text("reason") or "",
            expires=_expires(row, today),
            meshes=row.names("mesh", axes["mesh"], ()),
            dtypes=row.names("dtype", axes["dtype"], ()),
            scales=row.names("scale", axes["scale"], ()),
            environments=row.names("environment", axes["environment"], ()),
            run=row.flag("run", True),
        )
        row.close()
        found.append(entry)
    return tuple(found)


def _test(row: Table) -> str:
    test = row.text("test") or ""
    if test and "::" not in test and "*" not in test:
        row.mistake("test", f"is {test!r}; expected a node id or a pattern, such as tests/unit/test_a.py::test_x")
    return test


def _expires(row: Table, today: date) -> str:
    day = row.day("expires")
    if day is not None and (day - today).days > LONGEST_DAYS:
        row.mistake("expires", f"is {day}, {(day - today).days} days ahead; expected at most {LONGEST_DAYS} days")
    return str(day or "")


def find(entries: Iterable[Entry], test: str, cell: str, environment: str) -> Entry | None:
    """Return the first entry that speaks of a test in a cell, if any."""
    return next((entry for entry in entries if entry.covers(test, cell, environment)), None)


def judge(entries: Sequence[Entry], results: Sequence[Result], *, today: str) -> Judged:
    """Return the results with the failures of quarantined tests set apart; ``today`` is a day such as 2026-01-31."""
    judged = []
    covered: dict[Entry, list[Result]] = {}
    for result in results:
        entry = find(entries, result.test, result.cell, result.environment)
        if entry is not None:
            covered.setdefault(entry, []).append(result)
        judged.append(result if entry is None or today > entry.expires else _set_apart(entry, result))
    warnings = tuple(text for entry, found in covered.items() if (text := _warning(entry, found, today)))
    return Judged(results=tuple(judged), warnings=warnings)


def _set_apart(entry: Entry, result: Result) -> Result:
    held = replace(result, owner=entry.owner, expires=entry.expires)
    if result.outcome not in _COVERED and not (result.outcome == "skipped" and not entry.run):
        return held
    what = f"{result.outcome} {result.message}" if entry.run else "not run"
    message = f"{what} (in quarantine of {entry.owner} until {entry.expires}: {entry.reason})"
    return replace(held, outcome="quarantined", message=message)


def _warning(entry: Entry, results: Sequence[Result], today: str) -> str:
    if today > entry.expires:
        return (
            f"the quarantine of {entry.test} expired on {entry.expires}, and its failures count again: "
            f"{entry.owner} is to mend it or renew {entry.place}"
        )
    passed = sum(result.outcome == "passed" for result in results)
    if not passed:
        return ""
    if passed == len(results):
        return f"{entry.test} passes now: {entry.owner} can remove {entry.place}"
    return f"{passed} of {count(len(results), 'test')} of {entry.test} pass now: {entry.owner} can narrow {entry.place}"


def unmatched(entries: Sequence[Entry], scope: Scope | None) -> tuple[str, ...]:
    """Return a line for each entry that a whole run should have met and did not; none without a scope."""
    if scope is None:
        return ()
    return tuple(
        f"{entry.place}: {entry.test!r} matches no test; mend or remove the entry"
        for entry in entries
        if _could_match(entry, scope)
        and not any(entry.covers(test, cell, scope.environment) for test, cell in scope.tests)
    )


def _could_match(entry: Entry, scope: Scope) -> bool:
    """Return whether the run has cells of the entry, and its suite the entry's file."""
    file = entry.test.partition("::")[0]
    in_suite = "*" in file or any(file == path or file.startswith(path.rstrip("/") + "/") for path in scope.suite)
    return in_suite and any(entry.reaches(cell, scope.environment) for cell in (*scope.cells, NO_CELL))


def from_json(rows: Iterable[Mapping[str, Any]]) -> tuple[Entry, ...]:
    """Return the entries that ``asdict`` made plain, as a run keeps them in its log."""
    return tuple(_entry(dict(row)) for row in rows)


def _entry(row: dict[str, Any]) -> Entry:
    axes: dict[str, Any] = {name: tuple(row.pop(name)) for name in ("meshes", "dtypes", "scales", "environments")}
    return Entry(**axes, **row)


def to_json(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return the entries as plain values for the log of a run."""
    return [asdict(entry) for entry in entries]


def _plain(test: str) -> str:
    """Return a node id in which only ``*`` and ``?`` mean more than themselves."""
    return test.replace("[", "<").replace("]", ">")
