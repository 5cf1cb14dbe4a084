"""The real ``ttnn``: devices opened as GPT-OSS code opens them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from meshsweep import toolchain
from meshsweep.errors import UserError
from meshsweep.matrix import Environment, Mesh
from meshsweep.slots import Slot

__all__ = ["TtnnBackend"]


class TtnnBackend:
    """Opens meshes through whatever is installed under the name ``ttnn``."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def activate(self, slot: Slot | None, meshes: Sequence[Mesh]) -> None:
        """Show this process the chips of its slot only.

        Raises UserError where a mock run has left its null compiler: devices would run empty kernels.
        """
        compiler = toolchain.place()
        if toolchain.is_null(compiler):
            raise UserError(f"the null compiler of a mock run stands in {compiler}; remove it")
        if slot is not None and slot.chips:
            os.environ["TT_VISIBLE_DEVICES"] = ",".join(str(chip) for chip in slot.chips)

    def open(self, mesh: Mesh) -> Any:
        """Set the mesh's fabric, which must precede opening, and open it."""
        import ttnn

        if mesh.fabric is not None:
            ttnn.set_fabric_config(getattr(ttnn.FabricConfig, mesh.fabric))
        shape = ttnn.MeshShape(mesh.shape.rows, mesh.shape.cols)
        return ttnn.open_mesh_device(mesh_shape=shape, **self._options())

    def _options(self) -> dict[str, Any]:
        """Return what ``open_mesh_device`` is given beside the shape."""
        return {}

    def spent(self, device: Any) -> bool:
        """Say that an open mesh serves for any number of tests."""
        del device
        return False

    def close(self, device: Any) -> None:
        """Close a mesh and take the fabric down, so that another one can be set."""
        import ttnn

        ttnn.close_mesh_device(device)
        ttnn.set_fabric_config(ttnn.FabricConfig.DISABLED)
