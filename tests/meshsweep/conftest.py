"""What the tests of meshsweep share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import settings

from meshsweep.matrix import Matrix

from .project import TTNN, Project

# Two runs differ in times only, and a busy machine fails nothing.
settings.register_profile("meshsweep", derandomize=True, deadline=None, database=None)
settings.load_profile("meshsweep")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a matrix and a stand-in for ttnn, and no test yet."""
    made = Project(tmp_path)
    made.declare()
    made.write("ttnn.py", TTNN)
    made.suite("")
    return made


@pytest.fixture
def declared(tmp_path: Path) -> Matrix:
    """The matrix of such a project."""
    return Project(tmp_path).matrix()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package called ttnn that can be found, and an environment that is put back."""
    folder = tmp_path / "ttnn"
    folder.mkdir()
    (folder / "__init__.py").touch()
    # Another test of this process may have the emulator under that name.
    monkeypatch.delitem(sys.modules, "ttnn", raising=False)
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if type(finder).__name__ != "_Finder"])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("TT_METAL_MOCK_CLUSTER_DESC_PATH", "TT_METAL_CACHE", "TT_METAL_LOGS_PATH", "TT_METAL_LOGGER_LEVEL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return folder
