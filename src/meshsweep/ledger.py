"""Fold the events of a run into its ledger: what became of every planned test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BAD", "MEASURE", "NO_CELL", "Ledger", "Result", "Row", "as_number", "fold", "merge", "rows", "short_name"]

#: The cell of a test that asks for no mesh.
NO_CELL = "no mesh"

#: The option of pytest's with which a run records numbers and holds none of them to its floor.
MEASURE = "--sweep-measure"

#: Outcomes that make a run fail.
BAD = frozenset({"failed", "crashed", "infra", "not-run"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one test in one cell.

    ``properties`` holds what the test recorded: ``pcc.<component>``, ``seed`` and such.
    """

    test: str
    cell: str
    outcome: str
    duration_s: float = 0.0
    message: str = ""
    text: str = ""
    worker: str = ""
    slot: str = ""
    wave: str = ""
    environment: str = ""
    started: float | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Everything that is known of one or several runs.

    ``absent`` says of cells why none of their tests is known; ``infra`` what let the run down;
    ``notes`` what was lost without changing any outcome; ``waived`` how many assertions
    on values were waived, on devices that compute none.
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
    notes: tuple[str, ...] = ()


def fold(events: Iterable[Mapping[str, Any]]) -> Ledger:
    """Return the ledger of one run; a planned test without a result did not run."""
    state = _Fold()
    for event in events:
        handler = getattr(state, "on_" + str(event["event"]).replace("-", "_"), None)
        if handler is not None:
            handler(event)
        state.last = max(state.last, event["t"])
    return state.ledger()


class _Fold:
    """The state of the fold; one method per kind of event that matters."""

    def __init__(self) -> None:
        self.run: Mapping[str, Any] = {}
        self.planned: dict[str, tuple[str, str]] = {}
        self.sent: dict[str, Mapping[str, Any]] = {}
        self.results: dict[str, Result] = {}
        self.problems: list[str] = []
        self.infra: list[str] = []
        self.collected: set[str] = set()
        self.filtered = False
        self.reason = "the run ended before this test was started"
        self.interrupted = False
        self.last = 0.0

    def on_run_started(self, event: Mapping[str, Any]) -> None:
        self.run = event
        if MEASURE in event.get("arguments", ()):
            # Such a run must never pass for a good one.
            self.problems.append("no comparison was held to its floor: this run measured only")
        self.last = event["t"]

    def on_collected(self, event: Mapping[str, Any]) -> None:
        self.collected.add(event["wave"])
        self.filtered = self.filtered or event["filtered"]
        for test, cell in event["tests"]:
            self.planned.setdefault(test, (cell, event["wave"]))

    def on_sent(self, event: Mapping[str, Any]) -> None:
        self.sent[event["test"]] = event

    def on_reported(self, event: Mapping[str, Any]) -> None:
        test = event["test"]
        cell, wave = self.planned.get(test, (event.get("cell", NO_CELL), ""))
        sent = self.sent.get(test, {})
        self.results[test] = Result(
            test=test,
            cell=cell,
            wave=wave,
            outcome=event["outcome"],
            duration_s=event["duration_s"],
            message=event.get("message", ""),
            text=event.get("text", ""),
            worker=event.get("worker", ""),
            slot=sent.get("slot", ""),
            environment=self.run.get("environment", ""),
            started=event["t"] - event["duration_s"],
            properties=event.get("properties", {}),
        )

    def on_problem(self, event: Mapping[str, Any]) -> None:
        self.problems.append(event["text"])

    def on_infra(self, event: Mapping[str, Any]) -> None:
        self.infra.append(event["text"])

    def on_stopped(self, event: Mapping[str, Any]) -> None:
        self.reason = event["reason"]

    def on_interrupted(self, event: Mapping[str, Any]) -> None:
        self.interrupted = True
        self.reason = "the run was interrupted"

    def ledger(self) -> Ledger:
        run = self.run
        environment = run.get("environment", "")
        waves: Mapping[str, list[str]] = run.get("waves", {})
        finished = list(self.results.values())
        opens = [r.properties["mesh_open_s"] for r in finished if "mesh_open_s" in r.properties]
        return Ledger(
            runs=(run,),
            cells=tuple((environment, cell) for cells in waves.values() for cell in cells),
            absent={
                (environment, cell): "its tests were never collected"
                for wave, cells in waves.items()
                if wave not in self.collected
                for cell in cells
            },
            included=_reasons(run, "included"),
            excluded=_reasons(run, "excluded"),
            results=tuple(self._result(test) for test in self.planned)
            + tuple(result for test, result in self.results.items() if test not in self.planned),
            problems=tuple(self.problems),
            infra=tuple(self.infra),
            interrupted=self.interrupted,
            filtered=self.filtered,
            wall_s=self.last - run.get("t", self.last),
            mesh_opens=len(opens),
            mesh_open_s=sum(opens),
            waived=sum(result.waived for result in finished),
        )

    def _result(self, test: str) -> Result:
        if test in self.results:
            return self.results[test]
        cell, wave = self.planned[test]
        sent = self.sent.get(test)
        return Result(
            test=test,
            cell=cell,
            wave=wave,
            outcome="not-run",
            message="started, but never reported: the run ended under it" if sent else self.reason,
            worker=sent["worker"] if sent else "",
            slot=sent["slot"] if sent else "",
            environment=self.run.get("environment", ""),
        )


def _reasons(run: Mapping[str, Any], kind: str) -> tuple[tuple[str, str], ...]:
    return tuple((cell, reason) for cell, reason in run.get(kind, ()))


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
    )


def rows(ledger: Ledger) -> tuple[Row, ...]:
    """Return one row per cell, cells without any test included."""
    grouped: dict[tuple[str, str], list[Result]] = {cell: [] for cell in ledger.cells}
    for result in ledger.results:
        grouped.setdefault((result.environment, result.cell), []).append(result)
    return tuple(_row(environment, cell, found, ledger) for (environment, cell), found in grouped.items())


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
