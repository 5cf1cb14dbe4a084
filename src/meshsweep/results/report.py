"""Write a ledger into its files, and show it in the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from meshsweep.beside import beside
from meshsweep.errors import InfraError
from meshsweep.record.rundir import RunDir
from meshsweep.results import junit, ledger, summary
from meshsweep.results.ledger import BAD, Ledger

__all__ = ["show", "write_files", "writing"]

#: From so many results on rendering takes long enough to be done beside something else.
_MANY = 1000

#: What is worth a line of its own; tests that never ran are summed up.
_STYLES = {**dict.fromkeys(BAD - {"not-run"}, "red"), "flaky": "yellow", "quarantined": "yellow"}


def _xml(found: Ledger) -> str:
    return junit.render(found, ledger.rows(found))


_RENDERERS: dict[str, Callable[[Ledger], str]] = {
    "xml": _xml,
    "json": summary.as_json,
    "md": summary.as_markdown,
}


@contextmanager
def writing(found: Ledger, directory: Path) -> Iterator[None]:
    """Write summary.xml, summary.json and summary.md of a ledger into a directory while a ``with`` block goes on.

    Each is written whole or not at all. Raises InfraError where the disk refuses; the event log stays as it is.
    """
    copies = len(found.results) >= _MANY
    if copies:
        # Every form asks for them: so each copy has them already.
        ledger.rows(found)
    with (
        # About as much work each.
        beside(lambda: _write(found, directory, "xml"), copies=copies),
        beside(lambda: _write(found, directory, "json", "md"), copies=copies),
    ):
        yield


def write_files(found: Ledger, directory: Path) -> None:
    """Write summary.xml, summary.json and summary.md of a ledger into a directory, each whole or not at all.

    Raises InfraError where the disk refuses; the event log stays as it is.
    """
    _write(found, directory, *_RENDERERS)


def _write(found: Ledger, directory: Path, *kinds: str) -> None:
    try:
        for kind in kinds:
            part = directory / f".summary.{kind}.{os.getpid()}"
            part.write_text(_RENDERERS[kind](found), encoding="utf-8")
            part.replace(RunDir(directory).summary(kind))
    except OSError as error:
        raise InfraError(
            f"{directory}: cannot write the summary: {error.strerror}; every result stays in events.jsonl: make room, "
            "then `meshsweep resume`"
        ) from error


def show(found: Ledger, console: Console) -> None:
    """Print the table, what went wrong, and the verdict."""
    console.print(_table(found))
    for result in found.results:
        style = _STYLES.get(result.outcome)
        if style is not None:
            console.print(Text(f"{result.outcome} {result.test}: {result.message}", style=style), soft_wrap=True)
    _show_never_ran(found, console)
    for word, rows in (("included", found.included), ("excluded", found.excluded)):
        for cell, reason in rows:
            console.print(Text(f"{word} {cell}: {reason}", style="dim"), soft_wrap=True)
    for note in found.notes:
        console.print(Text(f"note: {note}", style="dim"), soft_wrap=True)
    for warning in found.warnings:
        console.print(Text(f"warning: {warning}", style="bold yellow"), soft_wrap=True)
    for problem in summary.problems(found):
        console.print(Text(problem, style="bold red"), soft_wrap=True)
    style = "bold green" if summary.exit_code(found) == 0 else "bold red"
    console.print(Text(f"{summary.verdict(found)}: {summary.totals(found)}", style=style), soft_wrap=True)


def _table(found: Ledger) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in summary.headings(found):
        is_text = title in ("cell", "in")
        table.add_column(title, justify="left" if is_text else "right", no_wrap=title == "cell")
    for row in ledger.rows(found):
        is_good = not row.problem and not any(row.counts.get(outcome) for outcome in BAD)
        table.add_row(*summary.cells_of(row, found), style=None if is_good else "red")
    return table


def _show_never_ran(found: Ledger, console: Console) -> None:
    reasons: dict[str, int] = {}
    for result in found.results:
        if result.outcome == "not-run":
            reasons[result.message] = reasons.get(result.message, 0) + 1
    for reason, number in reasons.items():
        console.print(Text(f"{number} never ran: {reason}", style="red"), soft_wrap=True)
