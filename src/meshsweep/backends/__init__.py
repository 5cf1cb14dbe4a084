"""Backends: how an environment reaches its devices, found by entry point.

A backend is one class with the four methods of ``Backend`` and one line under
``[project.entry-points."meshsweep.backends"]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

from meshsweep.errors import SelectionError, nearest
from meshsweep.matrix import Environment, Mesh
from meshsweep.slots import Slot

__all__ = ["GROUP", "Backend", "get"]

GROUP = "meshsweep.backends"


class Backend(Protocol):
    """What meshsweep asks of the devices."""

    def activate(self, slot: Slot | None, meshes: Sequence[Mesh]) -> None:
        """Confine this process to a slot; called once, before any test is imported.

        ``meshes`` are those that its cells will open.
        """

    def open(self, mesh: Mesh) -> Any:
        """Open a mesh and return the device object that tests receive."""

    def spent(self, device: Any) -> bool:
        """Say whether a device must be opened anew before another test."""

    def close(self, device: Any) -> None:
        """Close what ``open`` returned."""


def get(environment: Environment) -> Backend:
    """Return an environment's backend; raises SelectionError for an unknown one."""
    name = environment.backend
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise SelectionError(f"matrix/environments.toml: unknown backend {name!r}{nearest(name, sorted(found))}")
    backend: Backend = found[name].load()(environment)
    return backend
