"""A log that is folded while it is written comes to what it comes to when it is read at the end."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest

from meshsweep.record.events import EventLog, Reader, read
from meshsweep.results.fold import fold
from meshsweep.results.follower import Follower, following

from .test_ledger import CELL

TESTS = [f"f.py::test_{number}" for number in range(200)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log of a run is; so far there is none."""
    return tmp_path / "events.jsonl"


@pytest.fixture
def log(path: Path) -> Iterator[EventLog]:
    """The log of a run that has collected."""
    made = EventLog(path)
    made.write("run-started", environment="fake", waves={"wave-0": [CELL]})
    made.write("collected", wave="wave-0", tests=[[test, CELL] for test in TESTS], filtered=False)
    yield made
    made.close()


def report(log: EventLog, test: str, outcome: str = "passed", *, final: bool = True, attempt: int = 1) -> None:
    """Write down the end of an attempt."""
    fields = {"duration_s": 0.1, "worker": "gw0", "properties": {}, "attempt": attempt, "final": final}
    log.write("reported", test=test, outcome=outcome, **fields)


def test_it_comes_to_the_same(path: Path, log: EventLog) -> None:
    with following(path) as follower:
        for number, test in enumerate(TESTS[:-1]):
            log.write("sent", test=test, worker="gw0", slot="virtual.0", attempt=1)
            report(log, test, "failed" if number % 3 else "passed")
            if number % 50 == 0:
                time.sleep(0.03)
        found = follower.ledger()

    assert found == fold(read(path))
    assert [result.outcome for result in found.results[-3:]] == ["failed", "passed", "not-run"]


def test_it_is_read_while_it_is_written(path: Path, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    with following(path) as follower:
        report(log, TESTS[0])
        folded = follower._fold.results
        until = time.monotonic() + 20
        while TESTS[0] not in folded and time.monotonic() < until:
            time.sleep(0.01)
        assert TESTS[0] in folded

        monkeypatch.setattr(threading.Event, "wait", lambda *_: True)
        report(log, TESTS[1], "failed")
        assert [result.outcome for result in follower.ledger().results[:3]] == ["passed", "failed", "not-run"]


def test_line_that_is_not_whole_is_waited_for(path: Path, log: EventLog) -> None:
    report(log, TESTS[0])
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with following(path) as follower:
        time.sleep(0.1)
        path.write_bytes(whole)
        assert follower.ledger().results[0].outcome == "passed"


def test_what_was_taken_for_final_may_still_change(path: Path, log: EventLog) -> None:
    report(log, TESTS[0])
    report(log, TESTS[1])
    report(log, TESTS[1], "failed")  # its teardown was put off
    report(log, TESTS[2], "failed", final=False)
    report(log, TESTS[2], attempt=2)
    report(log, TESTS[3], "failed", final=False)
    with following(path) as follower:
        found = follower.ledger()

    assert [result.outcome for result in found.results[:5]] == ["passed", "failed", "flaky", "failed", "not-run"]


def test_log_that_makes_no_sense_is_told_when_asked(path: Path, log: EventLog) -> None:
    log.write("note")
    with following(path) as follower:
        time.sleep(0.1)
        with pytest.raises(KeyError, match="text"):
            follower.ledger()


def test_who_asks_does_not_wait_for_all_of_it(path: Path, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "read", lambda _: repeat({"event": "note", "t": 0.0, "text": "again"}))
    with following(path):
        time.sleep(0.1)
    assert "meshsweep-follower" not in {thread.name for thread in threading.enumerate()}


def test_nothing_is_left_of_one_that_nobody_asked(path: Path, log: EventLog) -> None:
    with following(path):
        assert "meshsweep-follower" in {thread.name for thread in threading.enumerate()}
    assert "meshsweep-follower" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a thread from its process")
def test_tests_come_first(path: Path, log: EventLog) -> None:
    follower = Follower(path)
    tid = follower._thread.native_id
    assert tid is not None
    until = time.monotonic() + 20
    while os.getpriority(os.PRIO_PROCESS, tid) < 10 and time.monotonic() < until:
        time.sleep(0.01)

    assert os.getpriority(os.PRIO_PROCESS, tid) == 10
    assert os.getpriority(os.PRIO_PROCESS, os.getpid()) < 10
    follower.end()
