"""Run the benchmarks: ``python -m benchmarks [--pairs N] [NAME ...]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import decode, decoder, lazy, overhead, pieces, scheduling, session, startup

BENCHMARKS = {
    "decode": decode.run,
    "decoder": decoder.run,
    "lazy": lazy.run,
    "overhead": overhead.run,
    "pieces": pieces.run,
    "scheduling": scheduling.run,
    "session": session.run,
    "startup": startup.run,
}


def main() -> int:
    """Print each comparison as it is measured; 1 where a figure that no busy machine changes misses its bound."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="pairs per comparison (default: 5)")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; choose from {', '.join(BENCHMARKS)}")
    has_missed = False
    for name in options.names or BENCHMARKS:
        for comparison in BENCHMARKS[name](Path(__file__).resolve().parent.parent, pairs=options.pairs):
            print(comparison, flush=True)
            has_missed |= not getattr(comparison, "is_met", True)
    return int(has_missed)


if __name__ == "__main__":
    raise SystemExit(main())
