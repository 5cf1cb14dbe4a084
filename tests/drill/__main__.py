"""Run the drill: ``python -m tests.drill [--only NAME ...] [--tests PATH ...] [--jobs N] [--quick] [--record]``.

Exit code 0: every fault was caught. 1: one was not, or the suite failed without a fault. 2: a wrong name or option.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence

from tests.drill import report, runner
from tests.drill.fault import Fault, UnknownFaultError, find
from tests.drill.runner import Run
from tests.drill.verdict import CAUGHT, Result

__all__ = ["drill", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where every fault was caught."""
    options = _options(arguments)
    if options.tests and options.record:
        print("drill: --tests and --record: the record is of the faults' own tests; leave one out", file=sys.stderr)
        return 2
    runner.prepare()
    from tests.drill.catalogue import FAULTS

    if options.list:
        print("\n".join(f"{fault.name:<42} {fault.about}" for fault in FAULTS.values()))
        return 0
    try:
        chosen = [find(FAULTS, name) for name in options.only] or list(FAULTS.values())
    except UnknownFaultError as error:
        print(f"drill: {error}", file=sys.stderr)
        return 2
    results = drill(chosen, tests=options.tests, jobs=options.jobs, quick=options.quick)
    if options.record and not options.quick:
        _record(FAULTS, results)
    return 0 if all(result.verdict == CAUGHT for result in results) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="drill", description="Put faults into the code and see that tests fail.")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these faults (default: all)")
    parser.add_argument("--tests", nargs="+", default=[], metavar="PATH", help="these tests (default: the fault's own)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="runs at a time (default: 2)")
    parser.add_argument("--quick", action="store_true", help="stop at the first test that fails, and record nothing")
    parser.add_argument("--list", action="store_true", help="name the faults and end")
    parser.add_argument("--record", action="store_true", help="write docs/drill.md and what its test reads")
    return parser.parse_args(arguments)


def drill(faults: Iterable[Fault], *, tests: Sequence[str] = (), jobs: int = 2, quick: bool = False) -> list[Result]:
    """Return what became of each fault, in their order; one whose suite fails anyway is not put in."""
    runs = [Run.of(fault, tests, quick=quick) for fault in faults]
    quiet = runner.run_all(runner.controls(runs), jobs=jobs, tell=lambda result: None)
    spoiled = _spoiled(quiet)
    found = {run: Result(fault=run.fault, trouble=spoiled[run.control]) for run in runs if run.control in spoiled}
    for result in found.values():
        print(report.line(result))
    sound = [run for run in runs if run not in found]
    found |= runner.run_all(
        sound,
        jobs=jobs,
        tell=lambda result: print(report.line(result), flush=True),
        deadlines_s={run: runner.deadline_after(quiet[run.control].took_s) for run in sound},
    )
    results = [found[run] for run in runs]
    print(report.summary(results))
    return results


def _spoiled(quiet: Mapping[Run, Result]) -> dict[Run, str]:
    """Return the runs without a fault that did not pass, and why nothing follows from them."""
    failing = {run: result for run, result in quiet.items() if result.failures or result.trouble or not result.passed}
    told = {
        run: result.trouble or "; ".join(f"{failure.test}: {failure.evidence}" for failure in result.failures[:1])
        for run, result in failing.items()
    }
    return {run: f"without it the suite fails too: {why or 'no test ran'}" for run, why in told.items()}


def _record(faults: Mapping[str, Fault], results: Sequence[Result]) -> None:
    """Write the page and the record; faults that did not run keep the rows that they had."""
    before = report.load(report.RECORD.read_text(encoding="utf-8")) if report.RECORD.exists() else []
    rows = report.merge(before, faults, results)
    report.RECORD.write_text(report.store(rows), encoding="utf-8")
    report.PAGE.write_text(report.page(rows), encoding="utf-8")
    print(f"wrote {report.PAGE.name} and {report.RECORD.name}")


if __name__ == "__main__":
    sys.exit(main())
