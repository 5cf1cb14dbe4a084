"""Keep the mesh of a worker open from test to test; open another when the shape changes."""

from __future__ import annotations

import time
from typing import Any

from meshsweep.backends import Backend, mismatch
from meshsweep.errors import InfraError
from meshsweep.matrix import Mesh

__all__ = ["MeshPool"]


class MeshPool:
    """At most one open mesh; a mesh on which a test failed is not used again."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._mesh: Mesh | None = None
        self._device: Any = None

    def get(self, mesh: Mesh) -> tuple[Any, float | None]:
        """Return an open device and the seconds it took to open, None where it was open.

        Raises InfraError where it opens with another shape or number of chips than asked for.
        """
        if self._mesh == mesh and not self._backend.spent(self._device):
            return self._device, None
        self.close()
        start = time.perf_counter()
        self._device = self._backend.open(mesh)
        self._mesh = mesh
        # Else a machine that has lost chips gives wrong results, which look like faults of the tests.
        if complaint := mismatch(self._backend, self._device, mesh):
            self.close()
            raise InfraError(complaint)
        return self._device, time.perf_counter() - start

    def close(self) -> None:
        """Close the open mesh, if there is one."""
        if self._mesh is not None:
            device, self._mesh, self._device = self._device, None, None
            self._backend.close(device)
