"""The ``meshsweep`` command: plan, run, resume, report, thresholds.

Exit codes: 0 everything planned ran and passed, 1 failures, 2 a mistake of the user's
(one line each), 3 infrastructure.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from meshsweep.cli import commands, parser
from meshsweep.errors import MeshsweepError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    ours, extra = parser.parse(arguments)
    try:
        return commands.COMMANDS[ours.command](ours, extra)
    except MeshsweepError as error:
        for line in str(error).splitlines():
            print(f"meshsweep: {line}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("meshsweep: interrupted", file=sys.stderr)
        return 1
