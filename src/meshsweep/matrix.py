"""The declared matrix as frozen records: what ``matrix/*.toml`` says, checked.

``meshsweep.loader`` reads the files; nothing here touches the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from meshsweep.cell import Cell
from meshsweep.errors import SelectionError
from meshsweep.shape import MeshShape

__all__ = [
    "Defaults",
    "Environment",
    "Floor",
    "Machine",
    "Matrix",
    "Mesh",
    "Rule",
    "Scale",
    "SessionSpec",
    "Split",
    "Tier",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How one mode spreads the model: tensor, expert and sequence parallel degrees."""

    tp: int
    ep: int
    sp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A device mesh and how prefill and decode are spread over it."""

    name: str
    shape: MeshShape
    decode: Split
    prefill: Split
    fabric: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A model size: layers under test and the model's own config fields."""

    name: str
    about: str
    layers: int
    config: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the tests run on: a Python, pinned requirements and a backend.

    Without ``values`` the devices compute none: assertions on values are waived and counted.
    """

    name: str
    about: str
    backend: str
    python: tuple[str, ...]
    requirements: tuple[str, ...]
    constraints: str | None
    standin: str | None
    arch: str
    values: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A host: its system mesh, or no shape where each worker gets a virtual one."""

    name: str
    about: str
    shape: MeshShape | None
    also_opens: tuple[MeshShape, ...]
    runner: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A named choice of meshes, dtypes and scales, with its CI time limit."""

    name: str
    about: str
    meshes: tuple[str, ...]
    dtypes: tuple[str, ...]
    scales: tuple[str, ...]
    timeout_minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A row that adds cells to a tier or takes cells away, and why.

    An empty axis matches everything on that axis.
    """

    meshes: tuple[str, ...]
    dtypes: tuple[str, ...]
    scales: tuple[str, ...]
    environments: tuple[str, ...]
    tiers: tuple[str, ...]
    reason: str

    def matches(self, cell: Cell, *, environment: str, tier: str) -> bool:
        """Return whether every axis that the row names holds for ``cell``."""
        return (
            (not self.meshes or cell.mesh in self.meshes)
            and (not self.dtypes or cell.dtype in self.dtypes)
            and (not self.scales or cell.scale in self.scales)
            and self.applies(environment=environment, tier=tier)
        )

    def applies(self, *, environment: str, tier: str) -> bool:
        """Return whether the row speaks of this environment and tier."""
        return (not self.environments or environment in self.environments) and (not self.tiers or tier in self.tiers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The least PCC and the greatest relative error a component may show."""

    component: str
    dtype: str
    scale: str | None
    mesh: str | None
    pcc: float
    max_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What is taken where the command names nothing."""

    suite: tuple[str, ...]
    mesh: str
    dtype: str
    scale: str
    environment: str
    machine: str
    tier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """A nox session of the project's own: commands in a shared environment."""

    name: str
    about: str
    environment: str
    extras: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Everything that a project declares about its runs."""

    root: Path
    meshes: Mapping[str, Mesh]
    dtypes: Mapping[str, str]
    scales: Mapping[str, Scale]
    environments: Mapping[str, Environment]
    machines: Mapping[str, Machine]
    tiers: Mapping[str, Tier]
    includes: tuple[Rule, ...]
    excludes: tuple[Rule, ...]
    floors: tuple[Floor, ...]
    sessions: Mapping[str, SessionSpec]
    defaults: Defaults

    def floor(self, component: str, cell: Cell) -> Floor:
        """Return the most specific floor of a component in a cell.

        Raises SelectionError where matrix/floors.toml has none.
        """
        rows = [row for row in self.floors if _covers(row, component, cell)]
        if not rows:
            known = sorted({row.component for row in self.floors})
            raise SelectionError(
                f"matrix/floors.toml: no floor for component {component!r} in {cell.dtype}; "
                f"add a [[floor]] row (components with one: {', '.join(known) or 'none'})"
            )
        return max(rows, key=lambda row: (row.mesh is not None, row.scale is not None))


def _covers(row: Floor, component: str, cell: Cell) -> bool:
    return (
        row.component == component
        and row.dtype == cell.dtype
        and row.scale in (None, cell.scale)
        and row.mesh in (None, cell.mesh)
    )
