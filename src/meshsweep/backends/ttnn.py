"""The real ``ttnn``: devices opened as GPT-OSS code opens them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from meshsweep.backends import graph, reset, scratch, toolchain
from meshsweep.errors import UserError
from meshsweep.machines import Machine
from meshsweep.matrix import Environment, Mesh
from meshsweep.planning.slots import Slot
from meshsweep.shape import MeshShape

__all__ = ["TtnnBackend"]


class TtnnBackend:
    """Opens meshes through whatever is installed under the name ``ttnn``."""

    # Its libraries start threads when they are loaded.
    forks = False
    variables: Mapping[str, str] = MappingProxyType({})
    probes_with: str | None = "ttnn"
    # Opening a Galaxy with its fabric takes minutes where kernels must be built first.
    probe_deadline_s = 300.0

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def inventory(self, machine: str) -> str:
        """Return one name for all: a host has one set of chips, whatever a matrix calls it."""
        return "tenstorrent"

    def activate(self, slot: Slot | None, meshes: Sequence[Mesh], machine: Machine | None = None) -> None:
        """Show this process the chips of its slot only, and give it kernels and a mesh of their own.

        Raises UserError where a mock run has left its null compiler: devices would run empty kernels.
        """
        compiler = toolchain.place()
        if toolchain.is_null(compiler):
            raise UserError(f"the null compiler of a mock run stands in {compiler}; remove it")
        if slot is not None and slot.chips:
            self.confine(slot, meshes, machine)

    def confine(self, slot: Slot, meshes: Sequence[Mesh], machine: Machine | None) -> None:
        """Tell the libraries of the chips of a slot, their mesh, and a place for kernels that nobody else has."""
        visible = machine.visible(slot.chips) if machine is not None else map(str, slot.chips)
        os.environ["TT_VISIBLE_DEVICES"] = ",".join(visible)
        folder = scratch.claim(self._environment.name, slot)
        os.environ["TT_METAL_CACHE"] = str(folder / "kernels")
        if machine is not None and machine.needs_graph(slot.chips):
            graph = folder / "mesh_graph_descriptor.textproto"
            graph.write_text(_graph(slot, meshes, machine), encoding="utf-8")
            os.environ["TT_MESH_GRAPH_DESC_PATH"] = str(graph)

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

    def identity(self, device: Any) -> tuple[MeshShape, int]:
        """Return what an open mesh says of itself."""
        return MeshShape(rows=device.shape[0], cols=device.shape[1]), device.get_num_devices()

    def spent(self, device: Any) -> bool:
        """Say that an open mesh serves for any number of tests."""
        del device
        return False

    def close(self, device: Any) -> None:
        """Close a mesh and take the fabric down, so that another one can be set."""
        import ttnn

        ttnn.close_mesh_device(device)
        ttnn.set_fabric_config(ttnn.FabricConfig.DISABLED)

    def reset(self, slot: Slot, machine: Machine, files: Sequence[int]) -> bool:
        """Have tt-smi reset the boards of a slot."""
        return reset.reset(machine, slot.chips, files)


def _graph(slot: Slot, meshes: Sequence[Mesh], machine: Machine) -> str:
    """Describe what the process sees: the slot's mesh, or where it sees more, the rectangle that its boards fill."""
    leased = machine.leased_with(slot.chips)
    shapes = [mesh.shape for mesh in meshes if mesh.name == slot.mesh]
    shape = shapes[0] if shapes and shapes[0].devices == len(leased) else _bounds(machine, leased)
    return graph.describe(shape, arch=machine.arch, machine_chips=len(machine.chips))


def _bounds(machine: Machine, chips: Collection[int]) -> MeshShape:
    places = [(chip.row, chip.col) for chip in machine.chips if chip.id in chips]
    rows, cols = ({place[axis] for place in places} for axis in (0, 1))
    filled = len(rows) * len(cols) == len(places)
    return MeshShape(rows=len(rows), cols=len(cols)) if filled else MeshShape(rows=1, cols=len(places))
