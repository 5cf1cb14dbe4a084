"""Run the benchmarks: ``python -m benchmarks [--pairs N] [NAME ...]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import decode, decoder, lazy, pieces, session

BENCHMARKS = {
    "decode": decode.run,
    "decoder": decoder.run,
    "lazy": lazy.run,
    "pieces": pieces.run,
    "session": session.run,
}


def main() -> int:
    """Print each comparison as it is measured; the exit code says nothing about speed."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="pairs per comparison (default: 5)")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; choose from {', '.join(BENCHMARKS)}")
    for name in options.names or BENCHMARKS:
        for comparison in BENCHMARKS[name](Path(__file__).resolve().parent.parent, pairs=options.pairs):
            print(comparison, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
