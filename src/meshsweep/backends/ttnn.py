"""The real ``ttnn``: devices opened as GPT-OSS code opens them."""

from __future__ import annotations

import os
from typing import Any

from meshsweep.matrix import Mesh
from meshsweep.slots import Slot

__all__ = ["TtnnBackend"]


class TtnnBackend:
    """Opens meshes through whatever is installed under the name ``ttnn``."""

    def activate(self, slot: Slot | None) -> None:
        """Show this process the chips of its slot only."""
        if slot is not None and slot.chips:
            os.environ["TT_VISIBLE_DEVICES"] = ",".join(str(chip) for chip in slot.chips)

    def open(self, mesh: Mesh) -> Any:
        """Set the mesh's fabric, which must precede opening, and open it."""
        import ttnn

        if mesh.fabric is not None:
            ttnn.set_fabric_config(getattr(ttnn.FabricConfig, mesh.fabric))
        return ttnn.open_mesh_device(mesh_shape=ttnn.MeshShape(mesh.shape.rows, mesh.shape.cols))

    def close(self, device: Any) -> None:
        """Close a mesh and take the fabric down, so that another one can be set."""
        import ttnn

        ttnn.close_mesh_device(device)
        ttnn.set_fabric_config(ttnn.FabricConfig.DISABLED)
