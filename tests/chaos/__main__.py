"""Run chaos: ``python -m tests.chaos [--runs N] [--seed S] [--machine NAME] [--jobs N] [--replay SEED] [--record]``.

``--breaks`` breaks meshsweep in known ways instead, and fails where the judge does not see it.

Exit code 0: no violation. 1: there are some; their directories are kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from math import inf
from pathlib import Path

from tests.chaos import report
from tests.chaos.breaks import BREAKS
from tests.chaos.run import References, Verdict, carry_out
from tests.chaos.suite import MESHES

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where nothing was violated."""
    options = _options(arguments)
    where = Path(options.keep) if options.keep else Path(tempfile.mkdtemp(prefix="chaos-"))
    where.mkdir(parents=True, exist_ok=True)
    if options.breaks:
        return _break_all(where)
    seeds = range(options.seed, options.seed + options.runs) if options.replay is None else [options.replay]
    runs = [(seed, machine) for seed in seeds for machine in options.machine or sorted(MESHES)]
    verdicts = []
    for verdict in _carried_out(runs, where, jobs=options.jobs, minutes=options.minutes):
        verdicts.append(verdict)
        print(report.line(verdict), flush=True)
        if options.replay is not None:
            print("\n".join(verdict.script), flush=True)
    print(report.summary(verdicts))
    if options.record and options.replay is None:
        report.PAGE.write_text(report.page(verdicts), encoding="utf-8")
        print(f"wrote {report.PAGE.name}")
    return 1 if any(verdict.violations for verdict in verdicts) else 0


def _break_all(where: Path) -> int:
    """Return 0 where every break was seen."""
    missed = 0
    for broken in BREAKS.values():
        found = carry_out(0, "t3k", None, where, broken).violations
        told = next((text for text in found if broken.verdict in text), None)
        missed += told is None
        print(f"{'MISSED' if told is None else 'seen'}: {broken.name}: {told or found}", flush=True)
    return 1 if missed else 0


def _carried_out(runs: Iterable[tuple[int, str]], where: Path, *, jobs: int, minutes: float) -> Iterator[Verdict]:
    references = References(where)
    until = time.monotonic() + 60 * minutes

    def one(seed: int, machine: str) -> Verdict | None:
        return carry_out(seed, machine, references, where) if time.monotonic() < until else None

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(one, seed, machine) for seed, machine in runs]
        try:
            for future in as_completed(futures):
                if (verdict := future.result()) is not None:
                    yield verdict
        finally:
            for future in futures:
                future.cancel()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chaos", description="Kill, stop and break sweeps, and see that nothing is lost."
    )
    parser.add_argument("--runs", type=int, default=100, metavar="N", help="runs on each machine (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the first seed (default: 0)")
    parser.add_argument("--machine", action="append", choices=sorted(MESHES), help="this machine (default: all)")
    parser.add_argument("--minutes", type=float, default=inf, metavar="M", help="begin no run after so long")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="runs at a time (default: 2)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="the run of this seed alone, with what was done")
    parser.add_argument("--keep", metavar="DIR", help="where runs are made; those that went wrong stay there")
    parser.add_argument("--breaks", action="store_true", help="break meshsweep, and see that it is found")
    parser.add_argument("--record", action="store_true", help="write docs/chaos.md")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
