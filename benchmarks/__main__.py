"""Run the benchmarks: ``python -m benchmarks [--pairs N] [--check] [NAME ...]``.

Exit code 0, whatever is measured. With ``--check`` 1, where a figure lies over its bound.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import decode, decoder, lazy, nightly, overhead, pieces, scheduling, session, startup

BENCHMARKS: Mapping[str, Callable[..., Sequence[Any]]] = {
    "decode": decode.run,
    "decoder": decoder.run,
    "lazy": lazy.run,
    "overhead": overhead.run,
    "pieces": pieces.run,
    "scheduling": scheduling.run,
    "session": session.run,
    "startup": startup.run,
    "nightly": nightly.run,
}
# Minutes each: they run when they are named.
LONG = {"nightly"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each figure as it is measured, and say whether its bound is held."""
    options = _options(arguments)
    over = 0
    for name in options.names or [name for name in BENCHMARKS if name not in LONG]:
        for figure in BENCHMARKS[name](Path(__file__).resolve().parent.parent, pairs=options.pairs):
            print(figure, flush=True)
            over += not figure.is_held
    if options.check and over:
        print(f"benchmarks: {over} over their bounds", file=sys.stderr)
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure speed and memory beside their bounds.")
    which = f"which of {', '.join(BENCHMARKS)} (default: all but {', '.join(sorted(LONG))})"
    parser.add_argument("names", nargs="*", metavar="NAME", help=which)
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="pairs per comparison (default: 5)")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a figure lies over its bound")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; choose from {', '.join(BENCHMARKS)}")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
