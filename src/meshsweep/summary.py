"""Render a ledger: a table for the terminal, Markdown for CI, JSON for programs.

``exit_code`` and ``problems`` are decided here, so that every form says the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from meshsweep.ledger import BAD, Ledger, Result, Row, rows, short_name
from meshsweep.words import count

__all__ = [
    "COLUMNS",
    "MARKDOWN_BYTES",
    "as_json",
    "as_markdown",
    "cells_of",
    "exit_code",
    "headings",
    "problems",
    "totals",
    "verdict",
]

#: Columns of the table after the cell, in order, and the outcomes that each counts.
COLUMNS: Mapping[str, frozenset[str]] = {
    "passed": frozenset({"passed"}),
    "failed": frozenset({"failed", "crashed", "infra"}),
    "skipped": frozenset({"skipped", "xfailed"}),
    "never ran": frozenset({"not-run"}),
}

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
    if not ledger.results and not lines:
        lines.append("no test was planned")
    return tuple(lines)


def _several(cells: Sequence[str]) -> str:
    return cells[0] if len(cells) == 1 else f"{cells[0]} and {len(cells) - 1} more"


def exit_code(ledger: Ledger) -> int:
    """Return 0 only if everything planned ran and passed; 1 for failures; 3 where only infrastructure failed."""
    outcomes = {result.outcome for result in ledger.results}
    if outcomes & {"failed", "crashed"} or ledger.interrupted:
        return 1
    if "infra" in outcomes or ledger.infra:
        return 3
    return 1 if outcomes & BAD or problems(ledger) else 0


def cells_of(row: Row) -> list[str]:
    """Return the columns of a row as text, the cell first."""
    counts = [sum(row.counts.get(outcome, 0) for outcome in wanted) for wanted in COLUMNS.values()]
    pcc = _waived(row.waived) if row.pcc is None else f"{row.pcc:.5f}"
    return [row.cell, str(row.planned), *(str(c) if c else "-" for c in counts), pcc, row.pcc_test, f"{row.busy_s:.1f}"]


def _waived(number: int) -> str:
    return f"{number} waived" if number else ""


def headings() -> list[str]:
    """Return the column titles that go with ``cells_of``."""
    return ["cell", "planned", *COLUMNS, "lowest PCC", "in", "time s"]


def totals(ledger: Ledger) -> str:
    """Return one sentence that says it all."""
    counts = {title: sum(result.outcome in wanted for result in ledger.results) for title, wanted in COLUMNS.items()}
    said = ", ".join(f"{number} {title}" for title, number in counts.items() if number)
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
        "wall_s": ledger.wall_s,
        "mesh_opens": ledger.mesh_opens,
        "mesh_open_s": ledger.mesh_open_s,
        "waived": ledger.waived,
        "included": [{"cell": cell, "reason": reason} for cell, reason in ledger.included],
        "excluded": [{"cell": cell, "reason": reason} for cell, reason in ledger.excluded],
        "cells": [asdict(row) for row in rows(ledger)],
        "results": [asdict(result) for result in ledger.results],
        "runs": ledger.runs,
    }
    return json.dumps(_finite(data), indent=1, default=str) + "\n"


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
    parts.append("\n\n" + _table(headings(), [cells_of(row) for row in rows(ledger)]))
    parts += [f"\nNote: {note}\n" for note in ledger.notes]
    for title, reasons in (("Included", ledger.included), ("Excluded", ledger.excluded)):
        if reasons:
            parts.append(f"\n## {title}\n\n" + _table(["cell", "reason"], reasons))
    parts += _failures(ledger.results)
    return _fit(parts, limit)


def verdict(ledger: Ledger) -> str:
    """Return the verdict in a word."""
    return {0: "passed", 1: "failed", 3: "infrastructure failed"}[exit_code(ledger)]


def _table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    def row(texts: Sequence[str]) -> str:
        return "| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in texts) + " |\n"

    return row(titles) + "|" + "---|" * len(titles) + "\n" + "".join(row(line) for line in lines)


def _failures(results: Sequence[Result]) -> list[str]:
    bad = [result for result in results if result.outcome in BAD]
    if not bad:
        return []
    return ["\n## What went wrong\n", *(_failure(result) for result in bad)]


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
