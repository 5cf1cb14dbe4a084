"""Fold the events of a run into its ledger: what became of every planned test, by its last attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from meshsweep import quarantine
from meshsweep.cell import Cell
from meshsweep.errors import UserError
from meshsweep.results.attempts import standing
from meshsweep.results.ledger import MEASURE, NO_CELL, Attempt, Ledger, Result

__all__ = ["Fold", "fold"]

_ENDED = "the run ended before this test was started"


def fold(events: Iterable[Mapping[str, Any]]) -> Ledger:
    """Return the ledger of one run, interrupted and resumed or not; a planned test without a result did not run."""
    state = Fold()
    for event in events:
        state.take(event)
    return state.ledger()


class Fold:
    """The state of the fold; one method per kind of event that matters."""

    def __init__(self) -> None:
        self.run: Mapping[str, Any] = {}
        self.planned: dict[str, tuple[str, str]] = {}
        self.gone: dict[str, str] = {}
        self.sent: dict[str, Mapping[str, Any]] = {}
        self.reported: dict[str, dict[int, Mapping[str, Any]]] = {}
        #: What has a final outcome, in the shape that the ledger wants: thousands of them take a while to make.
        self.results: dict[str, Result] = {}
        self.given_up: dict[str, str] = {}
        self.problems: list[str] = []
        self.infra: list[str] = []
        self.notes: list[str] = []
        self.axes: dict[str, Mapping[str, str]] = {}
        self.collected: set[str] = set()
        self.filtered = False
        self.reason = _ENDED
        self.interrupted = False
        self.began = 0.0
        self.last = 0.0
        self.earlier_s = 0.0

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in the next event."""
        handler = getattr(self, "_on_" + str(event["event"]).replace("-", "_"), None)
        if handler is not None:
            handler(event)
        self.last = max(self.last, event["t"])

    def _on_run_started(self, event: Mapping[str, Any]) -> None:
        self.run = event
        self.began = self.last = event["t"]

    def _on_resumed(self, event: Mapping[str, Any]) -> None:
        # What ended the session before is no fault of the run as a whole: its tests run again, or have ended well.
        self.notes += [f"before it was resumed: {text}" for text in dict.fromkeys(self.infra)]
        self.infra, self.problems, self.given_up = [], [], {}
        self.interrupted, self.reason = False, _ENDED
        self.gone = dict.fromkeys(self.planned, "it was not collected again when the run was resumed")
        self.earlier_s += self.last - self.began
        self.began = self.last = event["t"]

    def _on_collected(self, event: Mapping[str, Any]) -> None:
        self.collected.add(event["wave"])
        self.filtered = self.filtered or event["filtered"]
        for test, cell in event["tests"]:
            self.planned.setdefault(test, (cell, event["wave"]))
            self.gone.pop(test, None)

    def _on_sent(self, event: Mapping[str, Any]) -> None:
        self.sent[event["test"]] = event

    def _on_reported(self, event: Mapping[str, Any]) -> None:
        # The same attempt again: a teardown that came late has failed.
        test, number = event["test"], event.get("attempt", 1)
        attempts = self.reported.setdefault(test, {})
        before = attempts.get(number, {"slot": self.sent.get(test, {}).get("slot", ""), **event})
        final = before.get("final", True)
        attempts[number] = {**event, "slot": before["slot"], "final": final}
        if final:
            self.results[test] = self._result(test)

    def _on_given_up(self, event: Mapping[str, Any]) -> None:
        self.given_up[event["test"]] = event["reason"]

    def _on_problem(self, event: Mapping[str, Any]) -> None:
        self.problems.append(event["text"])

    def _on_infra(self, event: Mapping[str, Any]) -> None:
        self.infra.append(event["text"])

    def _on_note(self, event: Mapping[str, Any]) -> None:
        self.notes.append(event["text"])

    def _on_stopped(self, event: Mapping[str, Any]) -> None:
        self.reason = event["reason"]

    def _on_interrupted(self, event: Mapping[str, Any]) -> None:
        self.interrupted = True
        self.reason = "the run was interrupted"

    def ledger(self) -> Ledger:
        """Return what the events so far have come to."""
        run = self.run
        environment = run.get("environment", "")
        waves: Mapping[str, Sequence[str]] = run.get("waves", {})
        held = quarantine.from_json(run.get("quarantine", ()))
        results = tuple(self.results.get(test) or self._result(test) for test in {**self.planned, **self.reported})
        judged = quarantine.judge(held, results, today=run.get("today", ""))
        opens = [r.properties["mesh_open_s"] for r in results if "mesh_open_s" in r.properties]
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
            results=judged.results,
            problems=(*self._problems(), *quarantine.unmatched(held, self._scope())),
            infra=tuple(self.infra),
            interrupted=self.interrupted,
            filtered=self.filtered,
            wall_s=self.earlier_s + self.last - self.began,
            mesh_opens=len(opens),
            mesh_open_s=sum(opens),
            waived=sum(result.waived for result in results),
            warnings=judged.warnings,
            notes=tuple(self.notes),
        )

    def _problems(self) -> list[str]:
        # Such a run must never pass for a good one.
        measured = MEASURE in self.run.get("arguments", ())
        said = ["no comparison was held to its floor: this run measured only"] if measured else []
        return [*said, *self.problems]

    def _scope(self) -> quarantine.Scope | None:
        """Return what the run could have matched, None where the user narrowed it or not all of it is known."""
        waves = self.run.get("waves", {})
        if self.filtered or self.problems or not waves or self.collected < set(waves):
            return None
        return quarantine.Scope(
            environment=self.run.get("environment", ""),
            cells=tuple(cell for cells in waves.values() for cell in cells),
            suite=tuple(self.run.get("suite", ())),
            tests=tuple((test, cell) for test, (cell, _) in self.planned.items()),
        )

    def _result(self, test: str) -> Result:
        events = self.reported.get(test, {})
        cell, wave = self.planned.get(test) or (next(iter(events.values())).get("cell", NO_CELL), "")
        attempts = [_attempt(event, self._axes(cell)) for _, event in sorted(events.items())]
        place: dict[str, Any] = {
            "test": test,
            "cell": cell,
            "wave": wave,
            "environment": self.run.get("environment", ""),
        }
        if not attempts:
            return self._never(test, place)
        *earlier, last = attempts
        outcome = standing([attempt.outcome for attempt in attempts])
        return Result(
            **place,
            outcome=outcome,
            duration_s=last.duration_s,
            message=_message(outcome, earlier, last, self._lacks(test)),
            text=last.text,
            out=last.out,
            err=last.err,
            worker=last.worker,
            slot=last.slot,
            started=last.started,
            properties=last.properties,
            earlier=tuple(earlier),
        )

    def _axes(self, cell: str) -> Mapping[str, str]:
        """Return the labels of a cell, which workers do not repeat with every test."""
        if cell not in self.axes:
            self.axes[cell] = {}
            # What is no cell has none, "no mesh" among them.
            with suppress(UserError):
                self.axes[cell] = Cell.parse(cell).axes(self.run.get("environment", ""))
        return self.axes[cell]

    def _lacks(self, test: str) -> str:
        """Return why a test that was to run again did not, nothing where its last attempt is final."""
        events = self.reported[test]
        return "" if events[max(events)]["final"] else self.given_up.get(test) or self.reason

    def _never(self, test: str, place: Mapping[str, Any]) -> Result:
        sent = self.sent.get(test)
        waits = self.given_up.get(test) or self.gone.get(test) or self.reason
        return Result(
            **place,
            outcome="not-run",
            message="started, but never reported: the run ended under it" if sent else waits,
            worker=sent["worker"] if sent else "",
            slot=sent["slot"] if sent else "",
        )


def _attempt(event: Mapping[str, Any], axes: Mapping[str, str]) -> Attempt:
    return Attempt(
        outcome=event["outcome"],
        duration_s=event["duration_s"],
        message=event.get("message", ""),
        text=event.get("text", ""),
        out=event.get("out", ""),
        err=event.get("err", ""),
        worker=event.get("worker", ""),
        slot=event["slot"],
        started=event["t"] - event["duration_s"],
        properties={**axes, **event.get("properties", {})},
    )


def _message(outcome: str, earlier: Sequence[Attempt], last: Attempt, lacks: str) -> str:
    if outcome != last.outcome:
        before = "; ".join(f"{attempt.outcome} {attempt.message}".strip() for attempt in earlier)
        return f"{last.outcome} at attempt {len(earlier) + 1}, after {before}"
    return f"{last.message}; it was to run again, but: {lacks}".removeprefix("; ") if lacks else last.message


def _reasons(run: Mapping[str, Any], kind: str) -> tuple[tuple[str, str], ...]:
    return tuple((cell, reason) for cell, reason in run.get(kind, ()))
