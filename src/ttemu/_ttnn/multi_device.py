"""Offer ``ttnn._ttnn.multi_device``."""

from __future__ import annotations

from ttemu.mesh import MeshDevice
from ttemu.opening import SystemMeshDescriptor
from ttemu.shapes import MeshCoordinate, MeshCoordinateRange, MeshShape

__all__ = ["MeshCoordinate", "MeshCoordinateRange", "MeshDevice", "MeshShape", "SystemMeshDescriptor"]
