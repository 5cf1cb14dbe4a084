"""The real ``ttnn`` on a cluster that is only described: everything but the numbers is real."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meshsweep.backends import cluster, scratch, toolchain
from meshsweep.backends.readback import Readbacks
from meshsweep.backends.ttnn import TtnnBackend
from meshsweep.machines import Machine
from meshsweep.matrix import Environment, Mesh
from meshsweep.planning.slots import Slot
from meshsweep.shape import MeshShape

__all__ = ["MockBackend"]

#: Holds every mesh that a matrix is likely to name, where a process opens more than one.
_GALAXY = MeshShape(rows=4, cols=8)


class MockBackend(TtnnBackend):
    """Opens meshes of a described cluster, which every worker has for itself."""

    # Chips that are only described cannot break.
    probes_with = None

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._readbacks: Readbacks | None = None

    def inventory(self, machine: str) -> str:
        """Return a name that hardware does not have: its chips are described for each process."""
        return f"{self._environment.name}-{machine}"

    def activate(self, slot: Slot | None, meshes: Sequence[Mesh], machine: Machine | None = None) -> None:
        """Describe a cluster that holds ``meshes``, and keep kernels where only this process builds them."""
        toolchain.install()
        notes = Path(tempfile.mkdtemp(prefix="meshsweep-mock-"))
        atexit.register(shutil.rmtree, notes, ignore_errors=True)
        description = notes / "cluster.yaml"
        description.write_text(cluster.describe(_shape(meshes), arch=self._environment.arch), encoding="utf-8")
        os.environ["TT_METAL_MOCK_CLUSTER_DESC_PATH"] = str(description)
        os.environ["TT_METAL_CACHE"] = str(scratch.claim(self._environment.name, slot) / "kernels")
        # Else ttnn leaves a folder of its notes wherever the command was called from.
        os.environ["TT_METAL_LOGS_PATH"] = str(notes)
        os.environ.setdefault("TT_METAL_LOGGER_LEVEL", "error")

    def open(self, mesh: Mesh) -> Any:
        """Open a mesh, of which no tensor has been read yet."""
        import ttnn

        if self._readbacks is None:
            self._readbacks = Readbacks()
            self._readbacks.watch(ttnn)
        self._readbacks.count = 0
        return super().open(mesh)

    def spent(self, device: Any) -> bool:
        """Say whether the mesh was read so often that the next test may hang."""
        del device
        return self._readbacks is not None and self._readbacks.many

    def _options(self) -> dict[str, Any]:
        import ttnn

        if self._environment.arch != "wormhole_b0":
            return {}
        # Wormhole's default takes a column of cores away which programs are then still placed on.
        config = ttnn.DispatchCoreConfig(ttnn.DispatchCoreType.WORKER, ttnn.DispatchCoreAxis.ROW)
        return {"dispatch_core_config": config}


def _shape(meshes: Sequence[Mesh]) -> MeshShape:
    shapes = {mesh.shape for mesh in meshes}
    return shapes.pop() if len(shapes) == 1 else _GALAXY
