"""Run the comparison: ``python -m tests.fidelity [--short] [--record] [--op NAME ...]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches

from tests.fidelity import case as cases
from tests.fidelity import releases, report
from tests.fidelity.case import Case
from tests.fidelity.compare import Comparison, compare, exemptions
from tests.fidelity.corpus import SEED, corpus
from tests.fidelity.outcome import Outcome
from tests.fidelity.play import play
from tests.fidelity.tally import Row
from tests.fidelity.values import PARTS, rows

__all__ = ["main"]

_SHORT = 0.1
_SHOWN = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where nothing differs that no exception allows, and what is recorded is what the real library gives."""
    options = _options(arguments)
    calls = _calls(options) if "calls" in options.part else None
    tables = {
        part: rows(part, share=_SHORT if options.short else 1.0, seed=options.seed)
        for part in PARTS
        if part in options.part
    }
    failures = [
        *(calls.failures() if calls else []),
        *(line for found in tables.values() for line in _differing(found)),
    ]
    print("\n".join(failures[:_SHOWN]))
    if len(failures) > _SHOWN:
        print(f"... and {len(failures) - _SHOWN} more")
    for line in (*([report.summary(calls.result)] if calls else []), *(report.count(*item) for item in tables.items())):
        print(line)
    if options.record and calls:
        _record(options, calls, tables)
        return 1 if calls.result.differences or any(_differing(found) for found in tables.values()) else 0
    return 1 if failures else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fidelity", description="Hold the emulator against the real ttnn.")
    parser.add_argument("--short", action="store_true", help="a tenth of everything")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="X times the calls (default: 1)")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"draw other calls (default: {SEED})")
    parser.add_argument("--op", action="append", metavar="NAME", help="only calls of this op; may be repeated")
    parser.add_argument("--part", action="append", choices=["calls", *PARTS], help="only this part; may be repeated")
    parser.add_argument("--record", action="store_true", help="keep what the real library gave, and write the report")
    options = parser.parse_args(arguments)
    given, options.part = options.part, options.part or (["calls"] if options.op else ["calls", *PARTS])
    ops = sorted({case.op for case in corpus()})
    for op in sorted(set(options.op or ()) - set(ops)):
        like = get_close_matches(op, ops) or ["a name in tests/fidelity/recorded"]
        parser.error(f"unknown op {op!r}; did you mean {' or '.join(like)}?")
    if options.record and (options.short or given or (options.seed, options.scale) != (SEED, 1.0)):
        parser.error("--record keeps everything, or all of an --op: not with --short, --part, --seed or --scale")
    return options


@dataclass(frozen=True, slots=True)
class _Calls:
    """The calls that were made, what they gave, and how that compares."""

    result: Comparison
    real: Mapping[Case, Outcome]
    ours: Mapping[Case, Outcome]
    whole: bool

    def failures(self) -> list[str]:
        """Return a few lines for each thing that is not as it should be."""
        lines = [self._difference(*difference) for difference in self.result.differences]
        if self.whole:
            lines += [
                f"exceptions.toml: unused: {rule.reason}"
                for rule in exemptions()
                if not self.result.reasons[rule.reason]
            ]
        known = cases.recorded()
        stale = [case for case, outcome in self.real.items() if case in known and known[case] != outcome.text]
        return lines + [
            f"{case.op} {case.mesh} {case.call}: recorded {known[case]}, now {self.real[case].text}" for case in stale
        ]

    def _difference(self, case: Case, expected: str, got: str) -> str:
        return "\n".join(
            [
                f"{case.op} {case.mesh} {case.call}",
                f"    real: {expected}  {self.real[case].words[:300]}",
                f"    ours: {got}  {self.ours[case].words[:300]}",
            ]
        )


def _calls(options: argparse.Namespace) -> _Calls:
    listed = corpus(options.seed, scale=options.scale, ops=options.op)
    if options.short:
        listed = listed[:: round(1 / _SHORT)]
    with ThreadPoolExecutor() as pool:
        sides = [pool.submit(play, library, listed) for library in ("ttnn", "ttemu")]
        real, ours = (side.result() for side in sides)
    texts = ({case: outcome.text for case, outcome in side.items()} for side in (real, ours))
    whole = options.op is None and not options.short and (options.seed, options.scale) == (SEED, 1.0)
    return _Calls(compare(*texts, exemptions()), real, ours, whole)


def _differing(found: Sequence[Row]) -> list[str]:
    return [f"{row.name}: {text}" for row in found for text in row.differences]


def _record(options: argparse.Namespace, calls: _Calls, tables: Mapping[str, Sequence[Row]]) -> None:
    texts = {case: outcome.text for case, outcome in calls.real.items()}
    kept = {case: text for case, text in cases.recorded().items() if options.op and case.op not in options.op}
    cases.write(cases.RECORDED, kept | texts)
    releases.write_release()
    if calls.whole:
        report.write(releases.recorded_release(), calls.result, exemptions(), tables)


if __name__ == "__main__":
    sys.exit(main())
