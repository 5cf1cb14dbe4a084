"""Compare values, in a process of their own: ``python -m tests.fidelity.values PART ROWS SHARE SEED``.

PART is ``goldens`` or ``conversions``; SHARE is the share of their usual size. The rows are written to ROWS as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.fidelity.player import MACHINES, describe_cluster
from tests.fidelity.tally import Row

__all__ = ["PARTS", "rows"]

#: Each part's usual size: calls of golden functions, numbers on their way into each dtype.
PARTS = {"goldens": 2_000, "conversions": 10_000_000}


def main() -> None:
    """Compare, and write the rows."""
    part, path, share, seed = sys.argv[1:]
    os.environ["TTEMU_MACHINE"] = MACHINES["2x4"][0]
    describe_cluster("2x4", Path(path).parent)
    size = round(PARTS[part] * float(share))
    found = _run(part, size, int(seed))
    Path(path).write_text(json.dumps([asdict(row) for row in found]), encoding="utf-8")
    os._exit(0)  # the real library may abort on its way out


def _run(part: str, size: int, seed: int) -> list[Row]:
    # Either one imports the real library, which has to find its cluster described.
    if part == "goldens":
        from tests.fidelity import goldens

        return goldens.run(size, seed)
    from tests.fidelity import conversions

    return conversions.run(size, seed)


def rows(part: str, *, share: float, seed: int) -> list[Row]:
    """Return the rows of a part; raises RuntimeError with its last words where its process fails."""
    with tempfile.TemporaryDirectory(prefix="fidelity-") as directory:
        path = Path(directory) / "rows.json"
        command = [sys.executable, "-m", "tests.fidelity.values", part, str(path), str(share), str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        if not path.exists():
            raise RuntimeError(f"{part} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
        return [_row(fields) for fields in json.loads(path.read_text(encoding="utf-8"))]


def _row(fields: dict[str, object]) -> Row:
    exceptions = tuple((reason, count) for reason, count in fields.pop("exceptions"))  # type: ignore[attr-defined]
    differences = tuple(fields.pop("differences"))  # type: ignore[call-overload]
    return Row(**fields, exceptions=exceptions, differences=differences)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
