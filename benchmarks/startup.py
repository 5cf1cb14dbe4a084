"""Four workers with torch ready, forked after one import, against `pytest -n 4`, where each imports it.

Counted from the first worker's process on: our one import comes before it, in the process that workers are forked
from. Each worker writes down when it has collected a file that imports torch, and its private memory then.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.overhead import CELL, MATRIX, as_installed, write
from benchmarks.pairs import output, verdict

__all__ = ["Start", "run"]

WORKERS = 4
SECONDS_BOUND = 1.0
MIB_BOUND = 30.0

_CONFTEST = """
    import json, os, time
    from pathlib import Path

    import pytest

    # Of the process, in seconds since the machine started.
    def born():
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")

    def private_kib():
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

    def pytest_collection_finish(session):
        if worker := os.environ.get("PYTEST_XDIST_WORKER"):
            import torch

            torch.ones(64, 64) @ torch.ones(64, 64)
            ready = time.clock_gettime(time.CLOCK_BOOTTIME)
            told = {"born": born(), "ready": ready, "private_kib": private_kib()}
            Path(os.environ["TOLD"], worker).write_text(json.dumps(told))

    @pytest.fixture(scope="session", autouse=True)
    def everybody():
        # A worker that is ready early must not take away the tests of one that is not.
        while len(list(Path(os.environ["TOLD"]).iterdir())) < WORKERS:
            time.sleep(0.01)
"""
_SUITE = """
    import pytest
    import torch

    @pytest.mark.parametrize("number", range(40))
    def test_trivial(cell, number):
        assert float(torch.ones(8).sum()) == 8.0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Seconds until the last of several workers was ready, and what the largest of them has for itself."""

    name: str
    seconds: tuple[float, ...]
    private_mib: tuple[float, ...]
    seconds_bound: float
    mib_bound: float
    their_seconds: tuple[float, ...]
    their_private_mib: tuple[float, ...]

    @property
    def is_held(self) -> bool:
        """Say whether all workers were ready in time, and the largest of them is small enough."""
        return median(self.seconds) <= self.seconds_bound and max(self.private_mib) <= self.mib_bound

    def __str__(self) -> str:
        ratio = median(mine / other for mine, other in zip(self.seconds, self.their_seconds, strict=True))
        mine, other = median(self.seconds), median(self.their_seconds)
        mib, their_mib = max(self.private_mib), max(self.their_private_mib)
        bounds = verdict(f"{self.seconds_bound:g} s and {self.mib_bound:g} MiB", is_held=self.is_held)
        return (
            f"{self.name} / pytest -n {WORKERS}: ready ratio {ratio:.3f}; "
            f"medians {mine:.2f} s / {other:.2f} s; private {mib:.0f} MiB / {their_mib:.0f} MiB each ({bounds}), "
            f"over {len(self.seconds)} pairs"
        )


def run(root: Path, *, pairs: int) -> list[Start]:
    """Start both in turn."""
    with tempfile.TemporaryDirectory() as folder, as_installed():
        mine, other = _project(Path(folder) / "ours", ""), _project(Path(folder) / "theirs", CELL)
        for name, text in MATRIX.items():
            preload = text.replace('backend = "emulated"', 'backend = "emulated"\n        preload = ["torch"]')
            write(mine / "matrix" / f"{name}.toml", preload)
        ours = [sys.executable, "-m", "meshsweep", "run", "--workers", str(WORKERS), "--root", str(mine)]
        theirs = [sys.executable, "-m", "pytest", "-q", "-n", str(WORKERS), "-p", "no:meshsweep"]
        theirs += ["--rootdir", str(other), str(other)]
        told = [(_start(ours, mine, root), _start(theirs, other, root)) for _ in range(pairs + 1)][1:]
    ours_told, theirs_told = zip(*told, strict=True)
    return [
        Start(
            name=f"{WORKERS} workers with torch",
            seconds=tuple(seconds for seconds, _ in ours_told),
            private_mib=tuple(mib for _, mib in ours_told),
            seconds_bound=SECONDS_BOUND,
            mib_bound=MIB_BOUND,
            their_seconds=tuple(seconds for seconds, _ in theirs_told),
            their_private_mib=tuple(mib for _, mib in theirs_told),
        )
    ]


def _project(folder: Path, fixtures: str) -> Path:
    write(folder / "pytest.ini", "[pytest]\n")
    write(folder / "conftest.py", f"    WORKERS = {WORKERS}\n{_CONFTEST}{fixtures}")
    write(folder / "tests" / "test_torch.py", _SUITE)
    return folder


def _start(command: list[str], project: Path, root: Path) -> tuple[float, float]:
    """Return seconds from the first worker's birth to the last one's readiness, and the most private MiB of one."""
    folder = project / "told"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.environ["TOLD"] = str(folder)
    try:
        output(command, root)
    finally:
        del os.environ["TOLD"]
    told = [json.loads(path.read_text(encoding="utf-8")) for path in folder.iterdir()]
    born, ready = min(one["born"] for one in told), max(one["ready"] for one in told)
    return ready - born, max(one["private_kib"] for one in told) / 1024
