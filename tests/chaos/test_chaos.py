"""A few runs of chaos, and a judge that finds what is wrong with records made by hand."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos import agent, breaks, judge, suite
from tests.chaos.agent import Agent
from tests.chaos.equality import Reference, differences
from tests.chaos.host import Host, Sweep
from tests.chaos.processes import MARK, age_s, find, send
from tests.chaos.run import References, carry_out
from tests.chaos.suite import Design
from tests.meshsweep.project import Project, environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@pytest.mark.parametrize(("machine", "seed"), [("galaxy", 27), ("t3k", 15)])
def test_nothing_is_lost_in_chaos(tmp_path: Path, machine: str, seed: int) -> None:
    verdict = carry_out(seed, machine, None, tmp_path)

    assert verdict.violations == []
    assert verdict.tests >= 40


def test_undisturbed_run_is_as_designed(tmp_path: Path) -> None:
    reference = References(tmp_path).get("t3k", 0, 0)
    designs = suite.draw(0, "t3k")

    assert set(reference.results) == {design.test for design in designs}


def test_same_seed_draws_the_same() -> None:
    assert suite.draw(7, "galaxy") == suite.draw(7, "galaxy") != suite.draw(8, "galaxy")
    assert agent.draw(7, "t3k") == agent.draw(7, "t3k") != agent.draw(8, "t3k")


@pytest.mark.parametrize("name", breaks.BREAKS)
def test_break_finds_its_place(tmp_path: Path, name: str) -> None:
    """The breaks themselves take whole runs: ``python -m tests.chaos --breaks``."""
    variables = breaks.install(breaks.BREAKS[name], tmp_path / "broken")

    assert variables == {"PYTHONPATH": str(tmp_path / "broken")}


# The judge, on a record made by hand: two tests, one of which fails twice.

PASSES = Design(name="test_1", mesh="", does="pass", takes_s=0.0)
FAILS = Design(name="test_2", mesh="", does="fail", takes_s=0.0)
ONE, TWO = PASSES.test, FAILS.test

Record = dict[str, Any]


def sent(test: str, t: float, attempt: int = 1) -> Record:
    """Return an event."""
    return {"event": "sent", "t": t, "test": test, "worker": "gw0", "attempt": attempt}


def reported(test: str, t: float, outcome: str, attempt: int = 1, *, final: bool = True) -> Record:
    """Return an event."""
    return {"event": "reported", "t": t, "test": test, "outcome": outcome, "attempt": attempt, "final": final}


def begun(test: str, t: float) -> Record:
    """Return what a test writes when it begins."""
    return {"test": test, "pid": 7, "t": t}


GOOD: Record = {
    "events": [
        {"event": "run-started", "t": 0.0},
        {"event": "worker-started", "t": 0.5, "worker": "gw0", "pid": 7},
        sent(ONE, 1.0),
        reported(ONE, 1.2, "passed"),
        sent(TWO, 2.0),
        reported(TWO, 2.2, "failed", final=False),
        sent(TWO, 3.0, 2),
        reported(TWO, 3.2, "failed", 2),
    ],
    "starts": [begun(ONE, 1.1), begun(TWO, 2.1), begun(TWO, 3.1)],
    "results": [{"test": ONE, "outcome": "passed", "message": ""}, {"test": TWO, "outcome": "failed", "message": ""}],
}


def made(root: Path, record: Record) -> Host:
    """Return a host whose only sweep has left this record."""
    sweep = Sweep(
        project=Project(root / "a"),
        mark=f"{root.name}.a.",
        machine="t3k",
        designs=(PASSES, FAILS),
        reruns=1,
        workers=1,
        variables={},
    )
    run = root / "a/.meshsweep/runs/1"
    run.mkdir(parents=True)
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in record["events"]))
    sweep.starts.write_text("".join(f"\n{json.dumps(line)}\n" for line in record["starts"]))
    (run / "summary.json").write_text(json.dumps({"results": record["results"]}))
    return Host(root=root, machine="t3k", token=root.name, sweeps=(sweep,))


def test_good_record_is_found_good(tmp_path: Path) -> None:
    assert judge.judge(made(tmp_path, GOOD), {}, ()) == []


def swap(kind: str, index: int, **values: Any) -> Callable[[Record], None]:
    """Return what changes a line of a record."""
    return lambda record: record[kind][index].update(values)


def add(kind: str, *lines: Record) -> Callable[[Record], None]:
    """Return what adds lines to a record."""
    return lambda record: record[kind].extend(lines)


def drop(kind: str, index: int) -> Callable[[Record], None]:
    """Return what takes a line out of a record."""
    return lambda record: record[kind].pop(index)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (drop("results", 0), "lost, the summary does not know it"),
        (add("results", GOOD["results"][0]), "1 results too many"),
        (swap("results", 0, outcome="failed"), "the summary says failed, its attempts say passed"),
        (swap("events", 3, outcome="skipped"), "attempt 1 is skipped, which neither design nor chaos explains"),
        (swap("events", 3, outcome="crashed"), "attempt 1 is crashed, which neither design nor chaos explains"),
        (swap("events", 3, outcome="hang"), "attempt 1 is hang, which neither design nor chaos explains"),
        (swap("events", 3, outcome="infra"), "attempt 1 is infra, which neither design nor chaos explains"),
        (drop("events", 3), "0 final results, expected one, the last"),
        (swap("events", 5, final=True), "2 final results, expected one, the last"),
        (drop("starts", 0), "attempt 1 is passed, but it never began"),
        (swap("starts", 0, pid=8), "ran in process 8 without having been sent there"),
        (add("starts", begun(ONE, 4.0)), "ran again after its final result"),
        (add("events", sent(ONE, 4.0, 2)), "sent again after its final result"),
    ],
)
def test_judge_finds_what_is_wrong(tmp_path: Path, change: Callable[[Record], None], found: str) -> None:
    record = copy.deepcopy(GOOD)
    change(record)

    assert found in "\n".join(judge.judge(made(tmp_path, record), {}, ()))


def test_judge_finds_a_rerun_left_out(tmp_path: Path) -> None:
    record = copy.deepcopy(GOOD)
    record["events"] = [*record["events"][:5], reported(TWO, 2.2, "failed")]
    record["starts"].pop()

    assert "its last attempt was taken for final too early" in "\n".join(judge.judge(made(tmp_path, record), {}, ()))


def test_what_chaos_explains_is_no_violation(tmp_path: Path) -> None:
    record = copy.deepcopy(GOOD)
    killed = reported(ONE, 1.2, "crashed", final=False)
    record["events"][3:4] = [killed, sent(ONE, 1.4, 2), reported(ONE, 1.6, "passed", 2)]
    record["starts"].append(begun(ONE, 1.5))
    record["results"][0]["outcome"] = "flaky"
    host = made(tmp_path, record)

    assert judge.judge(host, {7: ["kill"]}, ()) == []
    assert len(judge.judge(host, {}, ())) == 1


@pytest.mark.parametrize(("worker", "number"), [("gw0", 0), ("gw1", 1)])
def test_worker_begins_what_it_was_offered(tmp_path: Path, worker: str, number: int) -> None:
    """That is before it counts as sent."""
    record = copy.deepcopy(GOOD)
    record["events"].insert(4, {"event": "offered", "t": 1.3, "test": TWO, "worker": worker})
    record["starts"][1]["t"] = 1.4
    found = "\n".join(judge.judge(made(tmp_path, record), {}, ()))

    assert found.count("ran in process 7 without having been sent there") == number


@pytest.mark.parametrize(("worker", "number"), [("gw0", 0), ("gw1", 1)])
def test_offer_outlives_a_controller(tmp_path: Path, worker: str, number: int) -> None:
    """It is killed before it knows that the worker has begun; the test runs again when the run is resumed."""
    record = copy.deepcopy(GOOD)
    offer = {"event": "offered", "t": 1.3, "test": TWO, "worker": worker}
    record["events"][4:4] = [offer, {"event": "worker-started", "t": 1.6, "worker": "gw0", "pid": 8}]
    record["starts"][1:] = [begun(TWO, 1.4), *({**begun(TWO, t), "pid": 8} for t in (2.1, 3.1))]
    found = "\n".join(judge.judge(made(tmp_path, record), {}, ()))

    assert found.count("ran in process 7 without having been sent there") == number


def test_two_owners_are_found(tmp_path: Path) -> None:
    host = made(tmp_path, GOOD)
    line = {"t": 1.0, "do": "take", "kind": "use", "machine": "t3k", "chips": [3], "started": 1, "mark": "", "dead": []}
    host.owners.write_text("".join(json.dumps({**line, "pid": pid}) + "\n" for pid in (1, 2)))

    (found,) = judge.judge(host, {}, ())
    assert found.startswith("two owners: t3k chip 3 (use): taken by pid 2")


def test_process_left_behind_is_found(tmp_path: Path) -> None:
    host = made(tmp_path, GOOD)
    with subprocess.Popen(["sleep", "60"], env=environment(**{MARK: host.sweeps[0].mark})) as process:
        try:
            # It has its variables from the moment that it is another program.
            while not find(host.sweeps[0].mark):
                pass
            found = judge.judge(host, {}, ())
        finally:
            process.kill()

    # Asleep, or on its way there.
    assert found in ([f"left behind: other {process.pid} ({state})"] for state in "SRD")


def test_line_shown_too_early_is_found(tmp_path: Path) -> None:
    sweep = made(tmp_path, GOOD).sweeps[0]
    sweep._check(f"FAILED {TWO}: fails by design")
    sweep._check(f"meshsweep: failed {TWO}: fails by design; it runs again")
    sweep._check(f"FAILED {ONE}: what nobody has recorded")

    assert sweep.unrecorded == [f"FAILED {ONE}: what nobody has recorded"]


def test_summaries_are_compared_but_for_what_is_odd() -> None:
    whole = {"cells": ["a"]}
    before = Reference(results={"x": {"test": "x", "message": "1"}}, whole=whole, odd=frozenset())
    after = Reference(results={"x": {"test": "x", "message": "2"}}, whole={"cells": []}, odd=frozenset())
    odd = Reference(results=after.results, whole=whole, odd=frozenset({"x"}))

    assert differences(before, after) == [
        "summary differs: cells: ['a'], now []",
        "x differs: message: '1', now '2'",
    ]
    assert differences(before, odd) == []


#: Leaves a stopped process behind, which ends when it goes on and finds its parent gone.
STOPPED = """
    import os, signal, time

    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        if os.getppid() == parent:
            time.sleep(60)
        os._exit(0)
    print(pid, flush=True)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    os._exit(0)
"""


@pytest.mark.parametrize("is_newborn", [True, False])
def test_only_who_was_stopped_as_it_was_born_may_wait(monkeypatch: pytest.MonkeyPatch, *, is_newborn: bool) -> None:
    monkeypatch.setattr("tests.chaos.agent._GONE_S", 0.5)
    mark = f"born-{os.getpid()}"
    command = [sys.executable, "-c", dedent(STOPPED)]
    with subprocess.Popen(command, env={**os.environ, MARK: mark}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
    nobody: Any = None
    agent = Agent(nobody, nobody, (), over=lambda: False)
    agent._newborn |= {pid} if is_newborn else set()
    sweep: Any = SimpleNamespace(mark=mark)
    agent._await_death({pid: "worker"}, sweep)

    assert agent.violations == ([] if is_newborn else [f"{mark} worker {pid} outlives its controller"])
    send(pid, signal.SIGKILL)


def test_age_of_a_process_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        young = age_s(process.pid)
        time.sleep(0.2)
        assert young < 0.2 <= age_s(process.pid) + 0.02
        process.communicate(b"\n")

    assert age_s(process.pid) == float("inf")
