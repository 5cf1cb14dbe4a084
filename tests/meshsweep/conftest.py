"""What the tests of meshsweep share."""

from __future__ import annotations

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
