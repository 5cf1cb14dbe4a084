"""Run ``python -m ttemu wheel DIR``: write the wheel that makes ``import ttnn`` the emulator."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ttemu.standin import write_wheel

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ttemu", description="An emulator of ttnn on torch CPU.")
    commands = parser.add_subparsers(dest="command", required=True)
    wheel = commands.add_parser("wheel", help="write a wheel named ttnn that imports the emulator")
    wheel.add_argument("directory", type=Path, help="where to write it; made if missing")
    chosen = parser.parse_args(arguments)
    sys.stdout.write(f"{write_wheel(chosen.directory)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
