"""Hold the ledger: what became of every planned test, of one or several runs.

``meshsweep.results.fold`` makes one from the events of a run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

__all__ = [
    "BAD",
    "MEASURE",
    "NO_CELL",
    "OUTCOMES",
    "Attempt",
    "Ledger",
    "Result",
    "Row",
    "as_number",
    "merge",
    "rows",
    "short_name",
]

#: The cell of a test that asks for no mesh.
NO_CELL = "no mesh"

#: The option of pytest's with which a run records numbers and holds none of them to its floor.
MEASURE = "--sweep-measure"

#: Every word for what may become of a test, in the order in which it is shown.
OUTCOMES = (
    *("passed", "flaky", "failed", "hang", "crashed", "infra", "collateral"),
    *("quarantined", "skipped", "xfailed", "not-run"),
)

#: Outcomes that make a run fail.
BAD = frozenset({"failed", "hang", "crashed", "infra", "collateral", "not-run"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a test: what became of it, where, and in how many seconds."""

    outcome: str
    duration_s: float = 0.0
    message: str = ""
    text: str = ""
    out: str = ""
    err: str = ""
    worker: str = ""
    slot: str = ""
    started: float | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Attempt):
    """What became of one test in one cell, by its last attempt.

    ``properties`` holds what the test recorded: ``pcc.<component>``, ``seed`` and such; ``out`` and ``err`` what
    a bad one printed; ``earlier`` the attempts that did not stand; ``owner`` and ``expires`` whose quarantine
    it is in, and until when.
    """

    test: str
    cell: str
    wave: str = ""
    environment: str = ""
    earlier: tuple[Attempt, ...] = ()
    owner: str = ""
    expires: str = ""

    @property
    def pcc(self) -> float | None:
        """The lowest PCC that the test recorded, if any; one that is no number is the lowest."""
        values = [value for name, value in self.properties.items() if name.startswith("pcc.")]
        return min(map(as_number, values), key=_badness, default=None)

    @property
    def waived(self) -> int:
        """How many comparisons looked at shapes alone, since the devices computed no values."""
        number = self.properties.get("waived", 0)
        return number if isinstance(number, int) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One cell of the summary: counts, the lowest PCC and its test, and time.

    ``wall_s`` runs from the first start to the last end; ``busy_s`` sums the tests.
    """

    cell: str
    environment: str
    planned: int
    counts: Mapping[str, int]
    pcc: float | None
    pcc_test: str
    wall_s: float
    busy_s: float
    waived: int
    problem: str


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Everything that is known of one or several runs.

    ``absent`` says of cells why none of their tests is known; ``infra`` what let the run down;
    ``warnings`` what someone has to look after; ``notes`` what else is worth knowing and changes no outcome;
    ``waived`` how many assertions on values were waived, on devices that compute none.
    """

    runs: tuple[Mapping[str, Any], ...]
    cells: tuple[tuple[str, str], ...]
    absent: Mapping[tuple[str, str], str]
    included: tuple[tuple[str, str], ...]
    excluded: tuple[tuple[str, str], ...]
    results: tuple[Result, ...]
    problems: tuple[str, ...]
    infra: tuple[str, ...]
    interrupted: bool
    filtered: bool
    wall_s: float
    mesh_opens: int
    mesh_open_s: float
    waived: int = 0
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """One row per cell, cells without any test included; every form of the summary asks for them."""
        grouped: dict[tuple[str, str], list[Result]] = {cell: [] for cell in self.cells}
        for result in self.results:
            grouped.setdefault((result.environment, result.cell), []).append(result)
        return tuple(_row(environment, cell, found, self) for (environment, cell), found in grouped.items())


def merge(ledgers: Sequence[Ledger]) -> Ledger:
    """Return one ledger for several runs; the last result of a test in a cell stands."""
    results: dict[tuple[str, str, int], Result] = {}
    for number, ledger in enumerate(ledgers):
        for result in ledger.results:
            # Every run has tests without a mesh: a pass in one must not hide a failure in another.
            key = (result.environment, result.test, number if result.cell == NO_CELL else -1)
            # A test that did not run here may have run there.
            if result.outcome != "not-run" or key not in results:
                results[key] = result
    return Ledger(
        runs=tuple(run for ledger in ledgers for run in ledger.runs),
        cells=tuple(dict.fromkeys(cell for ledger in ledgers for cell in ledger.cells)),
        absent={cell: reason for ledger in ledgers for cell, reason in ledger.absent.items()},
        included=tuple(dict.fromkeys(row for ledger in ledgers for row in ledger.included)),
        excluded=tuple(dict.fromkeys(row for ledger in ledgers for row in ledger.excluded)),
        results=tuple(results.values()),
        problems=tuple(problem for ledger in ledgers for problem in ledger.problems),
        infra=tuple(text for ledger in ledgers for text in ledger.infra),
        interrupted=any(ledger.interrupted for ledger in ledgers),
        filtered=any(ledger.filtered for ledger in ledgers),
        wall_s=sum(ledger.wall_s for ledger in ledgers),
        mesh_opens=sum(ledger.mesh_opens for ledger in ledgers),
        mesh_open_s=sum(ledger.mesh_open_s for ledger in ledgers),
        waived=sum(ledger.waived for ledger in ledgers),
        warnings=tuple(dict.fromkeys(text for ledger in ledgers for text in ledger.warnings)),
        notes=tuple(text for ledger in ledgers for text in ledger.notes),
    )


def rows(ledger: Ledger) -> tuple[Row, ...]:
    """Return one row per cell, cells without any test included."""
    return ledger.rows


def _row(environment: str, cell: str, results: Sequence[Result], ledger: Ledger) -> Row:
    counts: dict[str, int] = {}
    for result in results:
        counts[result.outcome] = counts.get(result.outcome, 0) + 1
    numbers = [(result.pcc, result.test) for result in results if result.pcc is not None]
    lowest = min(numbers, key=lambda found: (_badness(found[0]), found[1]), default=None)
    return Row(
        cell=cell,
        environment=environment,
        planned=len(results),
        counts=counts,
        pcc=lowest[0] if lowest else None,
        pcc_test=short_name(lowest[1]) if lowest else "",
        wall_s=_wall(results),
        busy_s=sum(result.duration_s for result in results),
        waived=sum(result.waived for result in results),
        problem=_problem(counts, len(results), ledger.absent.get((environment, cell)), filtered=ledger.filtered),
    )


def _problem(counts: Mapping[str, int], planned: int, absent: str | None, *, filtered: bool) -> str:
    if planned == 0:
        return absent or ("" if filtered else "no test runs in this cell")
    if counts.get("skipped", 0) == planned:
        return "every test skipped"
    return ""


def _wall(results: Sequence[Result]) -> float:
    spans = [(r.started, r.started + r.duration_s) for r in results if r.started is not None]
    return max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0.0


def short_name(test: str) -> str:
    """Return a test's function name without its file and parameters."""
    return test.partition("[")[0].rpartition("::")[2]


def as_number(value: object) -> float:
    """Return a recorded value as a float, NaN for what is none."""
    # A tensor or numpy scalar has become text on its way through the log.
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _badness(pcc: float) -> float:
    # NaN compares as neither less nor more, and would hide wherever it stands.
    return -math.inf if math.isnan(pcc) else pcc
