"""A log cut at any byte and gone on with tells what an uncut one tells."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meshsweep.record.events import EventLog, mend, read
from meshsweep.results.attempts import Book, Final
from meshsweep.results.fold import fold
from meshsweep.results.ledger import Ledger

from .test_ledger import CELL

TESTS = [f"f.py::test_{number}" for number in range(6)]

#: What each attempt at a test comes to, and whether its slot was spoiled; the last stands for all that follow.
SCRIPTS = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["passed", "failed", "skipped", "hang", "crashed", "infra"]), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    min_size=len(TESTS),
    max_size=len(TESTS),
)


class Session:
    """A controller of few lines: it runs what has no final outcome, and is cut off after so many bytes."""

    def __init__(self, path: Path, scripts: list[list[tuple[str, bool]]], cut: int | None) -> None:
        self.path, self.scripts, self.cut = path, dict(zip(TESTS, scripts, strict=True)), cut
        self.log = EventLog(path, clock=lambda: 0.0)

    def write(self, event: str, **fields: Any) -> None:
        """Append an event, or as much of it as comes before the cut."""
        self.log.write(event, **fields)
        if self.cut is not None and self.path.stat().st_size >= self.cut:
            with self.path.open("rb+") as file:
                file.truncate(self.cut)
            raise InterruptedError

    def run(self, *, reruns: int) -> None:
        """Run to the end or to the cut."""
        try:
            if next(read(self.path), None) is None:
                waves = {"wave-0": [CELL]}
                self.write("run-started", reruns=reruns, environment="fake", waves=waves)
            else:
                self.write("resumed")
            book = Book(read(self.path))
            self.write("collected", wave="wave-0", tests=[[test, CELL] for test in TESTS], filtered=False)
            waiting = [test for test in TESTS if test not in book.final]
            while waiting:
                self.attempt(book, waiting)
            self.write("run-finished")
        except InterruptedError:
            pass
        finally:
            self.log.close()

    def attempt(self, book: Book, waiting: list[str]) -> None:
        """Run the first test that waits; it waits again where it is to run again."""
        test = waiting.pop(0)
        script = self.scripts[test]
        ended = sum(event["test"] == test for event in read(self.path, "reported"))
        outcome, is_spoiled = script[min(ended, len(script) - 1)]
        number = book.begin(test)
        self.write("sent", test=test, worker="gw0", slot="virtual.0", attempt=number)
        decision = book.end(test, outcome, is_spoiled=is_spoiled)
        fields = {"outcome": decision.outcome, "duration_s": 0.0, "attempt": number}
        self.write("reported", test=test, final=isinstance(decision, Final), message=f"by {outcome}", **fields)
        if not isinstance(decision, Final):
            waiting.append(test)


def ledger(directory: str, scripts: list[list[tuple[str, bool]]], reruns: int, cuts: list[float]) -> Ledger:
    """Return the ledger of a run that was cut off so often, each time at a share of what was left to write."""
    path = Path(directory) / "events.jsonl"
    whole = Path(directory) / "whole.jsonl"
    Session(whole, scripts, None).run(reruns=reruns)
    for share in cuts:
        begun = path.stat().st_size if path.exists() else 0
        cut = begun + max(int(share * whole.stat().st_size), 1)
        if begun:
            mend(path)
        Session(path, scripts, cut).run(reruns=reruns)
    if path.exists():
        mend(path)
    Session(path, scripts, None).run(reruns=reruns)
    whole.unlink()
    return fold(read(path))


def plain(found: Ledger) -> Any:
    """Return a ledger as JSON, without the notes on how it was cut."""
    return json.loads(json.dumps([replace(found, runs=(), notes=(), wall_s=0.0).__dict__], default=repr))


@settings(max_examples=150)
@given(SCRIPTS, st.integers(0, 2), st.lists(st.floats(0.0, 1.0), max_size=4))
def test_cut_log_comes_to_the_same(scripts: list[list[tuple[str, bool]]], reruns: int, cuts: list[float]) -> None:
    with TemporaryDirectory() as directory:
        uncut = plain(ledger(directory, scripts, reruns, []))
    with TemporaryDirectory() as directory:
        cut = plain(ledger(directory, scripts, reruns, cuts))

    assert cut == uncut
