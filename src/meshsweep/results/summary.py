"""Render a ledger: a table for the terminal, Markdown for CI, JSON for programs.

``exit_code`` and ``problems`` are decided here, so that every form says the same.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from meshsweep.results.ledger import BAD, OUTCOMES, Ledger, Result, Row, rows, short_name
from meshsweep.words import count

__all__ = [
    "MARKDOWN_BYTES",
    "as_json",
    "as_markdown",
    "cells_of",
    "columns",
    "exit_code",
    "headings",
    "problems",
    "totals",
    "verdict",
]

#: Columns that every table has; other outcomes get one where there is something to show.
_ALWAYS = ("passed", "failed", "skipped", "not-run")

_TITLES = {"not-run": "never ran"}

# What it is about comes first.
_FIELDS = tuple(dict.fromkeys(["test", "cell", *(field.name for field in fields(Result))]))

#: GitHub refuses a step summary above 1 MiB, so ours stays below by leaving details out.
MARKDOWN_BYTES = 900_000


def problems(ledger: Ledger) -> tuple[str, ...]:
    """Return everything that keeps a run from counting as good, one line each."""
    lines = list(dict.fromkeys([*ledger.infra, *ledger.problems]))
    by_problem: dict[str, list[str]] = {}
    for row in rows(ledger):
        if row.problem:
            by_problem.setdefault(row.problem, []).append(row.cell)
    lines += [f"{_several(cells)}: {problem}" for problem, cells in by_problem.items()]
    if ledger.interrupted:
        lines.append("the run was interrupted")
    flaky = sum(result.outcome == "flaky" for result in ledger.results)
    if flaky and any(run.get("strict_flaky") for run in ledger.runs):
        lines.append(f"{count(flaky, 'test')} flaky, which --strict-flaky takes for a failure")
    if not ledger.results and not lines:
        lines.append("no test was planned")
    return tuple(lines)


def _several(cells: Sequence[str]) -> str:
    return cells[0] if len(cells) == 1 else f"{cells[0]} and {len(cells) - 1} more"


def exit_code(ledger: Ledger) -> int:
    """Return 0 only if everything planned ran and passed; 1 for failures; 3 where only infrastructure failed."""
    outcomes = {result.outcome for result in ledger.results}
    if outcomes & {"failed", "hang", "crashed"} or ledger.interrupted:
        return 1
    if outcomes & {"infra", "collateral"} or ledger.infra:
        return 3
    return 1 if outcomes & BAD or problems(ledger) else 0


def columns(ledger: Ledger) -> tuple[str, ...]:
    """Return the outcomes that the table counts, in order: four always, others where they occur."""
    seen = {result.outcome for result in ledger.results}
    return tuple(outcome for outcome in OUTCOMES if outcome in _ALWAYS or outcome in seen)


def cells_of(row: Row, ledger: Ledger) -> list[str]:
    """Return the columns of a row as text, the cell first."""
    counts = [row.counts.get(outcome, 0) for outcome in columns(ledger)]
    pcc = _waived(row.waived) if row.pcc is None else f"{row.pcc:.5f}"
    return [row.cell, str(row.planned), *(str(c) if c else "-" for c in counts), pcc, row.pcc_test, f"{row.busy_s:.1f}"]


def _waived(number: int) -> str:
    return f"{number} waived" if number else ""


def headings(ledger: Ledger) -> list[str]:
    """Return the column titles that go with ``cells_of``."""
    titles = (_TITLES.get(outcome, outcome) for outcome in columns(ledger))
    return ["cell", "planned", *titles, "lowest PCC", "in", "time s"]


def totals(ledger: Ledger) -> str:
    """Return one sentence that says it all."""
    seen = Counter(result.outcome for result in ledger.results)
    said = ", ".join(f"{seen[outcome]} {_TITLES.get(outcome, outcome)}" for outcome in OUTCOMES if seen[outcome])
    busy = sum(result.duration_s for result in ledger.results)
    opened = f"{count(ledger.mesh_opens, 'mesh', 'meshes')} opened in {ledger.mesh_open_s:.2f} s"
    waived = f"; {count(ledger.waived, 'comparison')} of values waived" if ledger.waived else ""
    return (
        f"{len(ledger.results)} planned: {said or 'nothing ran'}; {ledger.wall_s:.1f} s, "
        f"{busy:.1f} s of tests, {opened}{waived}"
    )


def as_json(ledger: Ledger) -> str:
    """Return the whole ledger, rows and verdict as JSON."""
    data = {
        "exit_code": exit_code(ledger),
        "problems": problems(ledger),
        "warnings": ledger.warnings,
        "wall_s": ledger.wall_s,
        "mesh_opens": ledger.mesh_opens,
        "mesh_open_s": ledger.mesh_open_s,
        "waived": ledger.waived,
        "included": [{"cell": cell, "reason": reason} for cell, reason in ledger.included],
        "excluded": [{"cell": cell, "reason": reason} for cell, reason in ledger.excluded],
        "cells": [asdict(row) for row in rows(ledger)],
        "results": [_as_dict(result) for result in ledger.results],
        "runs": ledger.runs,
    }
    return "{\n" + ",\n".join(f'"{key}": {_lines(value)}' for key, value in data.items()) + "\n}\n"


def _as_dict(result: Result) -> dict[str, Any]:
    # dataclasses.asdict copies all that is inside, which takes seconds for ten thousand results.
    found = {name: getattr(result, name) for name in _FIELDS}
    return found if not result.earlier else {**found, "earlier": [asdict(attempt) for attempt in result.earlier]}


# Once: json.dumps makes an encoder each time that it is asked for anything of its own.
_strictly = json.JSONEncoder(default=str, allow_nan=False).encode


def _lines(value: Any) -> str:
    """Return a value as JSON, the items of a list a line each: json's own indentation is many times slower."""
    if isinstance(value, list | tuple) and value:
        return "[\n" + ",\n".join(_dumps(item) for item in value) + "\n]"
    return _dumps(value)


def _dumps(value: Any) -> str:
    try:
        return _strictly(value)
    except ValueError:
        return json.dumps(_finite(value), default=str)


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def as_markdown(ledger: Ledger, *, limit: int = MARKDOWN_BYTES) -> str:
    """Return the summary as Markdown of at most ``limit`` bytes: verdict, table, failures."""
    parts = [f"# meshsweep: {verdict(ledger)}\n\n{totals(ledger)}\n"]
    parts += [f"\n- **{problem}**" for problem in problems(ledger)]
    parts += [f"\n- Warning: {warning}" for warning in ledger.warnings]
    parts.append("\n\n" + _table(headings(ledger), [cells_of(row, ledger) for row in rows(ledger)]))
    parts += [f"\nNote: {note}\n" for note in ledger.notes]
    for title, reasons in (("Included", ledger.included), ("Excluded", ledger.excluded)):
        if reasons:
            parts.append(f"\n## {title}\n\n" + _table(["cell", "reason"], reasons))
    parts += _failures(ledger.results)
    return _fit(parts, limit)


def verdict(ledger: Ledger) -> str:
    """Return the verdict in a word, and what a green one hides: ``passed, 2 flaky``."""
    code = exit_code(ledger)
    if code:
        return "failed" if code == 1 else "infrastructure failed"
    hidden = {outcome: sum(r.outcome == outcome for r in ledger.results) for outcome in ("flaky", "quarantined")}
    return ", ".join(["passed", *(f"{number} {outcome}" for outcome, number in hidden.items() if number)])


def _table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    def row(texts: Sequence[str]) -> str:
        return "| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in texts) + " |\n"

    return row(titles) + "|" + "---|" * len(titles) + "\n" + "".join(row(line) for line in lines)


def _failures(results: Sequence[Result]) -> list[str]:
    parts = []
    titles = {"What went wrong": BAD, "Flaky": {"flaky"}, "In quarantine": {"quarantined"}}
    for title, outcomes in titles.items():
        found = [_failure(result) for result in results if result.outcome in outcomes]
        parts += [f"\n## {title}\n", *found] if found else []
    return parts


def _failure(result: Result) -> str:
    where = f" on {result.slot}" if result.slot else ""
    return f"\n- `{short_name(result.test)}` in `{result.cell}`{where}: **{result.outcome}** {result.message}\n"


def _fit(parts: Sequence[str], limit: int) -> str:
    kept: list[str] = []
    room = limit - 200
    for part in parts:
        room -= len(part.encode())
        if room < 0:
            kept.append(f"\n\n({len(parts) - len(kept)} more parts are left out here; summary.json has them all)\n")
            break
        kept.append(part)
    return "".join(kept)
