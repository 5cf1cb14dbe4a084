"""Backends: how an environment reaches its devices, found by entry point.

A backend is one class with the members of ``Backend`` and one line under
``[project.entry-points."meshsweep.backends"]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

from meshsweep.errors import SelectionError, nearest
from meshsweep.machines import Machine
from meshsweep.matrix import Environment, Mesh
from meshsweep.planning.slots import Slot
from meshsweep.shape import MeshShape

__all__ = ["GROUP", "Backend", "get", "mismatch"]

GROUP = "meshsweep.backends"


class Backend(Protocol):
    """What meshsweep asks of the devices.

    Where ``forks`` is true, workers may be forked from a process that has imported its libraries and opened nothing;
    ``variables`` are environment variables that those libraries read when they are loaded.
    ``probes_with`` is the backend whose meshes show whether chips are sound, None where nothing can break;
    a probe that takes longer than ``probe_deadline_s`` has shown that they are not.
    """

    forks: bool
    variables: Mapping[str, str]
    probes_with: str | None
    probe_deadline_s: float

    def inventory(self, machine: str) -> str:
        """Return the name that all runs of this host lease a machine's chips by."""

    def activate(self, slot: Slot | None, meshes: Sequence[Mesh], machine: Machine | None = None) -> None:
        """Confine this process to a slot; called once, before any test is imported.

        ``meshes`` are those that its cells will open, ``machine`` is what the slot's chips belong to.
        """

    def open(self, mesh: Mesh) -> Any:
        """Open a mesh and return the device object that tests receive."""

    def identity(self, device: Any) -> tuple[MeshShape, int]:
        """Return the shape of an open mesh and how many chips it has."""

    def spent(self, device: Any) -> bool:
        """Say whether a device must be opened anew before another test."""

    def close(self, device: Any) -> None:
        """Close what ``open`` returned."""

    def reset(self, slot: Slot, machine: Machine, files: Sequence[int]) -> bool:
        """Try to reset the boards of a slot and return whether there is a way to; this may take minutes.

        A program that is started for it inherits ``files``, which hold the chips.
        """


def get(environment: Environment) -> Backend:
    """Return an environment's backend; raises SelectionError for an unknown one."""
    name = environment.backend
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise SelectionError(f"matrix/environments.toml: unknown backend {name!r}{nearest(name, sorted(found))}")
    backend: Backend = found[name].load()(environment)
    return backend


def mismatch(backend: Backend, device: Any, mesh: Mesh) -> str | None:
    """Return what is wrong with an open mesh, its shape or how many chips it has; None: nothing."""
    shape, chips = backend.identity(device)
    if (shape, chips) == (mesh.shape, mesh.shape.devices):
        return None
    return f"mesh {mesh.name} opened as {shape} with {chips} of {mesh.shape.devices} chips"
