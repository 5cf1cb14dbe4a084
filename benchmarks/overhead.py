"""Ten thousand trivial tests on two workers: `meshsweep run`, with everything on, against `pytest -n 2`.

Events, leases, deadlines and the three summaries are on our side; on the other are no matrix and no plugin of
ours. Both run the same files in a folder of their own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

from benchmarks.pairs import Comparison, compare

__all__ = ["CELL", "MATRIX", "as_installed", "run", "write"]

FILES = 20
TESTS = 500
BOUND = 0.6

_SUITE = """
    import pytest

    @pytest.mark.parametrize("number", range({tests}))
    def test_trivial(cell, number):
        pass
"""
#: The rival has no cells: the fixture stands for the one that our plugin makes.
CELL = """
    import pytest

    @pytest.fixture(scope="session")
    def cell():
        return None
"""
MATRIX = {
    "defaults": """
        suite = ["tests"]
        mesh = "1x1"
        dtype = "bfloat16"
        scale = "tiny"
        environment = "emulated"
        machine = "virtual"
        tier = "default"
    """,
    "dtypes": """
        [dtypes.bfloat16]
        about = "wide"
    """,
    "environments": """
        [environments.emulated]
        about = "nothing is opened: no test asks for a mesh"
        backend = "emulated"
    """,
    "machines": """
        [machines.virtual]
        about = "as many slots as workers"
        runner = "anywhere"
    """,
    "meshes": """
        [meshes.1x1]
        decode = { tp = 1, ep = 1, sp = 1 }
        prefill = { tp = 1, ep = 1, sp = 1 }
    """,
    "scales": """
        [fields]
        hidden_size = "integer"
        [scales.tiny]
        about = "small"
        layers = 1
        config = { hidden_size = 32 }
    """,
    "tiers": """
        [tiers.default]
        about = "all of it"
        scales = "tiny"
        timeout_minutes = 10
    """,
}


def run(root: Path, *, pairs: int) -> list[Comparison]:
    """Compare the two, start and summaries included."""
    ours = [sys.executable, "-m", "meshsweep", "run", "--workers", "2", "--root"]
    theirs = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:meshsweep", "-p", "no:cacheprovider"]
    with tempfile.TemporaryDirectory() as folder, as_installed():
        mine, other = _project(Path(folder) / "ours"), _project(Path(folder) / "theirs")
        for name, text in MATRIX.items():
            write(mine / "matrix" / f"{name}.toml", text)
        write(other / "conftest.py", CELL)
        return [
            compare(
                f"{FILES * TESTS} trivial tests on 2 workers",
                [*ours, str(mine)],
                "pytest -n 2",
                [*theirs, "--rootdir", str(other), str(other)],
                root=root,
                pairs=pairs,
                bound=BOUND,
            )
        ]


def _project(folder: Path) -> Path:
    write(folder / "pytest.ini", "[pytest]\n")
    for number in range(FILES):
        write(folder / "tests" / f"test_{number:02}.py", _SUITE.format(tests=TESTS))
    return folder


def write(path: Path, text: str) -> None:
    """Write a file, dedented, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")


@contextmanager
def as_installed() -> Iterator[None]:
    """Let both keep compiled files, as anybody's Python does: else each process compiles its plugins anew."""
    before = os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["PYTHONDONTWRITEBYTECODE"] = before
