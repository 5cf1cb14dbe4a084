"""A mesh session against bare pytest with two xdist workers, over the same tests."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.pairs import Comparison, compare

__all__ = ["run"]


def run(root: Path, *, pairs: int) -> list[Comparison]:
    """Compare the main job with ``pytest -n 2``, as a command and as a nox session."""
    bare = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "tests/unit",
        "--sweep-tier",
        "default",
        "--sweep-mesh",
        "1x8",
    ]
    ours = [sys.executable, "-m", "meshsweep", "run", "--mesh", "1x8", "--workers", "2"]
    nox = [sys.executable, "-m", "nox", "-s", "mesh_1x8", "--", "--workers", "2"]
    rival = "pytest -n 2"
    return [
        compare("meshsweep run --mesh 1x8", ours, rival, bare, root=root, pairs=pairs, bound=1.15),
        compare("nox -s mesh_1x8", nox, rival, bare, root=root, pairs=pairs, bound=1.15),
    ]
