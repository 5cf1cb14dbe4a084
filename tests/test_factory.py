"""What the guide's tests import: the factory, and the mark that says on which meshes they run."""

from __future__ import annotations

from gptoss.testing.factory import TestFactory
from meshsweep.suite.marks import parametrize_mesh

__all__ = ["TestFactory", "parametrize_mesh"]
