"""Judge a run from outside: by its log, what tests wrote themselves, the log of owners, /proc and its summary.

What follows from what is written down here a second time, and more naively: nothing of meshsweep's own rules is used.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshsweep.leases.record import overlaps
from meshsweep.record.events import read
from tests.chaos import processes
from tests.chaos.host import Host, Sweep
from tests.chaos.suite import DEADLINE_S, Design

__all__ = ["Attempt", "attempts", "by_design", "judge", "offers", "slow", "starts"]

#: What becomes of a test that nobody disturbs.
_BY_DESIGN = {
    **dict.fromkeys(("fail", "setup", "teardown"), "failed"),
    **dict.fromkeys(("kill", "fault"), "crashed"),
    **dict.fromkeys(("sleep", "native"), "hang"),
    "skip": "skipped",
    "xfail": "xfailed",
}

#: A clock that is set, and the time between a fault's end and the last test that met it.
_SLACK_S = 0.02
_FAULT_S = 15.0


@dataclass(kw_only=True)
class Attempt:
    """An attempt as the log has it: when it was sent to which process, and what was reported when.

    ``due`` is from when on it may have begun: a worker begins what it was offered before that counts as sent.
    """

    number: int
    pid: int
    sent: float
    due: float
    outcome: str = ""
    reported: float = float("inf")
    is_final: bool = False


def attempts(sweep: Sweep) -> dict[str, list[Attempt]]:
    """Return the attempts at each test, in the order of the log."""
    found: dict[str, list[Attempt]] = {}
    pids: dict[str, int] = {}
    offered: dict[tuple[str, int], float] = {}
    path = sweep.events()
    for event in read(path) if path is not None else ():
        if event["event"] == "worker-started":
            pids[event["worker"]] = event["pid"]
        elif event["event"] == "offered":
            offered[event["test"], pids.get(event["worker"], 0)] = event["t"]
        elif event["event"] == "sent":
            pid = pids.get(event["worker"], 0)
            due = offered.pop((event["test"], pid), event["t"])
            made = Attempt(number=event["attempt"], pid=pid, sent=event["t"], due=due)
            found.setdefault(event["test"], []).append(made)
        elif event["event"] == "reported":
            tried = found.setdefault(event["test"], [])
            attempt = next((one for one in tried[::-1] if one.number == event["attempt"]), None)
            if attempt is None:
                # Never sent, which will be noticed: no process of that number has begun it.
                attempt = Attempt(number=event["attempt"], pid=0, sent=event["t"], due=event["t"])
                tried.append(attempt)
            attempt.outcome, attempt.reported = event["outcome"], event["t"]
            attempt.is_final = attempt.is_final or event["final"]
    return found


def offers(sweep: Sweep) -> set[tuple[str, int]]:
    """Return which tests were offered to which processes, and never taken for begun before the log ended."""
    found: set[tuple[str, int]] = set()
    pids: dict[str, int] = {}
    path = sweep.events()
    for event in read(path) if path is not None else ():
        if event["event"] == "worker-started":
            pids[event["worker"]] = event["pid"]
        elif event["event"] == "offered":
            found.add((event["test"], pids.get(event["worker"], 0)))
        elif event["event"] == "sent":
            found.discard((event["test"], pids.get(event["worker"], 0)))
    return found


def starts(sweep: Sweep) -> dict[str, list[dict[str, Any]]]:
    """Return what the tests themselves wrote when they began."""
    found: dict[str, list[dict[str, Any]]] = {}
    text = sweep.starts.read_text(encoding="utf-8") if sweep.starts.exists() else ""
    for line in text.splitlines():
        if line.endswith("}"):
            found.setdefault(json.loads(line)["test"], []).append(json.loads(line))
    return found


def judge(host: Host, touched: Mapping[int, Sequence[str]], broken: Sequence[tuple[float, float]]) -> list[str]:
    """Return everything that is wrong, a line each."""
    found = [f"two owners: {text}" for text in overlaps(host.owners)]
    found += [f"left behind: {one.kind} {one.pid} ({one.state})" for one in processes.find(f"{host.token}.")]
    for sweep in host.sweeps:
        case = _Case(sweep, touched, broken)
        found += [f"{sweep.mark} {text}" for text in case.violations()]
    return found


class _Case:
    """One sweep under judgement."""

    def __init__(
        self, sweep: Sweep, touched: Mapping[int, Sequence[str]], broken: Sequence[tuple[float, float]]
    ) -> None:
        self.sweep = sweep
        self.touched = touched
        self.broken = broken
        self.attempts = attempts(sweep)
        self.starts = starts(sweep)
        self.offers = offers(sweep)
        self.summary = sweep.summary()

    def violations(self) -> Iterator[str]:
        yield from (f"shown before it was recorded: {line}" for line in self.sweep.unrecorded)
        if not self.summary:
            yield "there is no summary"
            return
        results = self.summary["results"]
        yield from self._complete([result["test"] for result in results])
        outcomes = {result["test"]: result["outcome"] for result in results}
        for design in self.sweep.designs:
            for text in self._test(design, outcomes.get(design.test, "nothing")):
                yield f"{design.test}: {text}; {self._history(design.test)}"

    def _history(self, test: str) -> str:
        """Return what is known of a test, for who has to find out."""
        tried = [f"{a.number}: {a.outcome or 'no result'} (pid {a.pid})" for a in self.attempts.get(test, ())]
        return f"attempts {', '.join(tried) or 'none'}; begun in {[one['pid'] for one in self.starts.get(test, ())]}"

    def _complete(self, tests: Sequence[str]) -> Iterator[str]:
        planned = Counter(design.test for design in self.sweep.designs)
        for test, number in (Counter(tests) - planned).items():
            yield f"{test}: {number} results too many"
        for test in planned - Counter(tests):
            yield f"{test}: lost, the summary does not know it"

    def _test(self, design: Design, outcome: str) -> Iterator[str]:
        tried = self.attempts.get(design.test, [])
        yield from self._begun(design, tried)
        ended = [attempt for attempt in tried if attempt.outcome]
        for number, attempt in enumerate(ended):
            if not self._is_due(design, ended[:number], attempt):
                yield f"attempt {attempt.number} is {attempt.outcome}, which neither design nor chaos explains"
        finals = [attempt for attempt in ended if attempt.is_final]
        if len(finals) != 1 or finals[0] is not ended[-1]:
            yield f"{len(finals)} final results, expected one, the last"
        if any(attempt.sent > final.reported for final in finals for attempt in tried):
            yield "sent again after its final result"
        if ended and (expected := self._expected(ended)) != outcome:
            yield f"the summary says {outcome}, its attempts say {expected}"
        if finals and not self._is_final(ended):
            yield "its last attempt was taken for final too early"

    def _begun(self, design: Design, tried: Sequence[Attempt]) -> Iterator[str]:
        begun = self.starts.get(design.test, [])
        free = list(begun)
        for attempt in tried:
            mine = next((one for one in free if one["pid"] == attempt.pid and one["t"] >= attempt.due - _SLACK_S), None)
            if mine is not None:
                free.remove(mine)
            elif attempt.outcome not in ("", "crashed", "hang", "collateral"):
                yield f"attempt {attempt.number} is {attempt.outcome}, but it never began"
        for one in free:
            # Begun right before the controller was killed: it runs again, as what was in flight does.
            if (design.test, one["pid"]) not in self.offers:
                yield f"ran in process {one['pid']} without having been sent there"
        for attempt in tried:
            if attempt.is_final and any(one["t"] > attempt.reported + _SLACK_S for one in begun):
                yield "ran again after its final result"

    def _is_due(self, design: Design, earlier: Sequence[Attempt], attempt: Attempt) -> bool:
        """Return whether the outcome of an attempt is the design's, or chaos's."""
        does, outcome = design.does, attempt.outcome
        # A start that was never reported has used up the one failure.
        if does == "flaky" and outcome == "passed":
            return len(self.starts.get(design.test, ())) > 1
        if does == "flaky" and outcome == "failed":
            return not any(one.outcome == "failed" for one in earlier)
        if outcome == _BY_DESIGN.get(does, "passed"):
            return True
        done = self.touched.get(attempt.pid, ())
        if outcome == "crashed":
            return any("kill" in what for what in done)
        if outcome == "hang":
            # A busy host may be slower than the deadline; nobody is killed before it.
            return "stop" in done or "pause" in done or attempt.reported - attempt.sent >= DEADLINE_S
        if outcome == "collateral":
            return self._is_after_a_death(attempt)
        return outcome == "infra" and self._met_fault(attempt)

    def _is_after_a_death(self, attempt: Attempt) -> bool:
        return any(
            other.outcome in ("crashed", "hang", "collateral") and other.reported <= attempt.reported
            for tried in self.attempts.values()
            for other in tried
            if other is not attempt
        )

    def _met_fault(self, attempt: Attempt) -> bool:
        return any(start <= attempt.reported and attempt.sent <= end + _FAULT_S for start, end in self.broken)

    def _expected(self, ended: Sequence[Attempt]) -> str:
        last = ended[-1].outcome
        own = [one.outcome for one in ended[:-1] if one.outcome in ("failed", "crashed", "hang")]
        if not own or last in ("failed", "crashed", "hang", "infra", "collateral"):
            return last
        return "flaky" if last == "passed" else own[-1]

    def _is_final(self, ended: Sequence[Attempt]) -> bool:
        """Return whether the last attempt had to be the last, by the number of reruns that was asked for."""
        words = [attempt.outcome for attempt in ended if attempt.outcome != "collateral"]
        if not words or ended[-1].outcome == "collateral":
            return len(ended) - len(words) >= 3
        if words[-1] == "failed":
            return len(words) > self.sweep.reruns
        if words[-1] in ("crashed", "hang", "infra"):
            return not self.sweep.reruns or sum(word in ("crashed", "hang", "infra") for word in words) == 2
        return True


def by_design(design: Design, reruns: int) -> tuple[str, ...]:
    """Return the outcomes of the attempts at a test that nobody disturbs."""
    if design.does == "flaky":
        return ("failed", "passed") if reruns else ("failed",)
    outcome = _BY_DESIGN.get(design.does, "passed")
    return (outcome,) * (1 + reruns) if outcome in ("failed", "crashed", "hang") else (outcome,)


def slow(sweep: Sweep, touched: Mapping[int, Sequence[str]]) -> int:
    """Return how many attempts hung only because the host was slower than the deadline."""
    hangs = {design.test for design in sweep.designs if _BY_DESIGN.get(design.does) == "hang"}
    return sum(
        attempt.outcome == "hang" and attempt.pid not in touched
        for test, tried in attempts(sweep).items()
        if test not in hangs
        for attempt in tried
    )
