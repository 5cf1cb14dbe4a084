"""Add up what came of many runs: a line for each, and the page docs/chaos.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.run import Verdict

__all__ = ["PAGE", "line", "page", "summary"]

PAGE = Path(__file__).parents[2] / "docs" / "chaos.md"

_HEAD = """\
# Runs under chaos

Written by `nox -s chaos -- --record`; not edited by hand.

Each run is drawn from a seed. Two sweeps of 20 to 60 tests share one simulated machine; their tests pass, fail, skip,
are flaky, hang or kill their worker by design. Meanwhile workers, the process that they are forked from, pytest and the
command are killed or stopped, and chips break. Every sweep is then resumed until it is complete.

It is judged from outside: every test has one final outcome, the one that design and chaos explain; nothing that was
shown is missing from the log, and nothing is shown before it is there; no test runs again after its final result, by a
file that the tests write themselves; no chip has two owners, by a log that the owners write; no process is left behind;
and the summary equals that of a run that nobody disturbed, apart from times, places and what chaos explains.

`python -m tests.chaos --replay SEED --machine NAME` carries out a run again.
"""


def line(verdict: Verdict) -> str:
    """Return a run in a line, and each of its violations."""
    done = ", ".join(f"{number} {what}" for what, number in sorted(verdict.done.items())) or "nothing done"
    words = "ok  " if not verdict.violations else "BAD "
    text = (
        f"{words} {verdict.machine} seed {verdict.seed}: {verdict.tests} tests, {verdict.attempts} attempts, "
        f"{verdict.resumes} resumes, {verdict.wall_s:.0f} s; {done}"
    )
    if not verdict.violations:
        return text
    return "\n".join([text, *(f"     {found}" for found in verdict.violations), f"     see {verdict.directory}"])


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return all runs in a line."""
    return (
        f"{len(verdicts)} runs, {sum(one.tests for one in verdicts)} tests, "
        f"{sum(one.attempts for one in verdicts)} attempts, {sum(sum(one.done.values()) for one in verdicts)} acts, "
        f"{sum(one.resumes for one in verdicts)} resumes, {sum(len(one.violations) for one in verdicts)} violations"
    )


def page(verdicts: Sequence[Verdict]) -> str:
    """Return the page."""
    machines = sorted({one.machine for one in verdicts})
    return "\n".join(
        [_HEAD, _numbers(verdicts, machines), "", *_acts(verdicts, machines), "", *_seeds(verdicts, machines), ""]
    )


def _numbers(verdicts: Sequence[Verdict], machines: Sequence[str]) -> str:
    rows = ["| machine | runs | tests | attempts | resumes | only slow | violations |", "|---|---|---|---|---|---|---|"]
    for machine in machines:
        mine = [one for one in verdicts if one.machine == machine]
        numbers = (
            len(mine),
            sum(one.tests for one in mine),
            sum(one.attempts for one in mine),
            sum(one.resumes for one in mine),
            sum(one.slow for one in mine),
            sum(len(one.violations) for one in mine),
        )
        rows.append(f"| {machine} | " + " | ".join(map(str, numbers)) + " |")
    text = "\n*Only slow*: tests that passed their deadline because the host was busy, and were killed for it."
    return "\n".join(rows) + "\n" + text


def _acts(verdicts: Sequence[Verdict], machines: Sequence[str]) -> list[str]:
    counts = {machine: Counter[str]() for machine in machines}
    for one in verdicts:
        counts[one.machine].update(one.done)
    kinds = sorted({what for count in counts.values() for what in count})
    rows = ["| what was done, to whom | " + " | ".join(machines) + " |", "|---" * (1 + len(machines)) + "|"]
    rows += [f"| {kind} | " + " | ".join(str(counts[machine][kind]) for machine in machines) + " |" for kind in kinds]
    return rows


def _seeds(verdicts: Sequence[Verdict], machines: Sequence[str]) -> list[str]:
    found = []
    for machine in machines:
        seeds = [one.seed for one in verdicts if one.machine == machine]
        found.append(f"Seeds on {machine}: {len(seeds)} from {min(seeds)} to {max(seeds)}.")
    return found
