"""A ledger shown in the terminal."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from meshsweep.results import report
from meshsweep.results.ledger import Ledger

from .test_ledger import CELL, Log


def shown(ledger: Ledger) -> list[str]:
    """Return the lines that a log gets."""
    file = io.StringIO()
    report.show(ledger, Console(file=file, width=160, highlight=False))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_table_is_followed_by_what_matters() -> None:
    log = Log({"wave-0": [CELL], "wave-1": ["4x4-x-y"]}).collected("f.py::a", "f.py::b", "f.py::c")
    log.reported("f.py::a", **{"pcc.mlp": 0.5}).reported("f.py::b", "failed", "boom")
    log.add("problem", text="test_z.py: no such module")
    lines = shown(replace(log.ledger, warnings=("the entry of ada expired",), notes=("worth knowing",)))

    assert lines[1].split() == [
        "cell",
        "planned",
        "passed",
        "failed",
        "skipped",
        "never",
        "ran",
        "lowest",
        "PCC",
        "in",
        "time",
        "s",
    ]
    assert lines[3].split() == [CELL, "3", "1", "1", "-", "1", "0.50000", "a", "1.0"]
    assert lines[4].split() == ["4x4-x-y", "0", "-", "-", "-", "-", "0.0"]
    assert lines[6:] == [
        "failed f.py::b: boom",
        "1 never ran: the run ended before this test was started",
        "included 4x4-a-b: seen broken",
        "excluded 1x1-a-b: small",
        "note: worth knowing",
        "warning: the entry of ada expired",
        "test_z.py: no such module",
        "4x4-x-y: its tests were never collected",
        "failed: 3 planned: 1 passed, 1 failed, 1 never ran; 4.0 s, 1.0 s of tests, 0 meshes opened in 0.00 s",
    ]


def test_messages_are_not_markup() -> None:
    log = Log().collected("f.py::a").reported("f.py::a", "failed", "[red]x[/red] [1x8-a]")

    assert "failed f.py::a: [red]x[/red] [1x8-a]" in shown(log.ledger)


def test_long_message_stays_one_line() -> None:
    log = Log().collected("f.py::a").reported("f.py::a", "failed", "long " * 100)

    assert f"failed f.py::a: {'long ' * 100}".rstrip() in shown(log.ledger)
