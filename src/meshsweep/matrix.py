"""The declared matrix as frozen records: what ``matrix/*.toml`` says, checked.

``meshsweep.loader`` reads the files; nothing here touches the disk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshsweep.cell import Cell
from meshsweep.control.deadlines import Deadline
from meshsweep.errors import SelectionError
from meshsweep.machines import Machine
from meshsweep.numerics.measure import MEASURES
from meshsweep.quarantine import Entry
from meshsweep.shape import MeshShape

__all__ = [
    "Defaults",
    "Environment",
    "Floor",
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
    """A model size: layers under test, the model's own config fields, and the host memory that a test claims."""

    name: str
    about: str
    layers: int
    config: Mapping[str, object]
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the tests run on: a Python, pinned requirements and a backend.

    Without ``values`` the devices compute none: assertions on values are waived and counted.
    ``preload`` names modules that are imported once, before workers are forked; ``open_s`` is
    about what starting a worker and opening a mesh takes.
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
    # No part of what a virtual environment depends on, whose digest is taken of the representation.
    deadline: Deadline = field(default_factory=Deadline, repr=False)
    preload: tuple[str, ...] = field(default=(), repr=False)
    open_s: float = field(default=0.0, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A named choice of meshes, dtypes and scales, with its CI time limit; without a suite it runs the default one."""

    name: str
    about: str
    meshes: tuple[str, ...]
    dtypes: tuple[str, ...]
    scales: tuple[str, ...]
    timeout_minutes: int
    suite: tuple[str, ...] = ()
    reruns: int = 0


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
    """The bounds of a component, and what they were measured at.

    A bound is the least PCC or share of tokens, or the greatest error; None where it has none. ``measured`` holds
    the worst values that the bounds follow from, ``measured_on`` over how much, ``reason`` why one was lowered.
    """

    component: str
    dtype: str
    scale: str | None
    mesh: str | None
    pcc: float | None = None
    max_error: float | None = None
    rms_error: float | None = None
    slope_error: float | None = None
    top1: float | None = None
    top5: float | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    measured_on: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None

    @classmethod
    def open(cls, component: str, cell: Cell) -> Floor:
        """Return bounds that every number passes."""
        loosest: dict[str, Any] = {m.name: m.perfect - 2 if m.perfect else math.inf for m in MEASURES.values()}
        return cls(component=component, dtype=cell.dtype, scale=cell.scale, mesh=cell.mesh, **loosest)

    @property
    def bounds(self) -> Mapping[str, float]:
        """The bounds that the row has, by the name of what is measured."""
        found = {name: getattr(self, name) for name in MEASURES}
        return {name: bound for name, bound in found.items() if bound is not None}

    def covers(self, component: str, cell: Cell) -> bool:
        """Return whether the row speaks of a component in a cell."""
        return (self.component, self.dtype) == (component, cell.dtype) and (
            self.scale in (None, cell.scale) and self.mesh in (None, cell.mesh)
        )


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
    quarantine: tuple[Entry, ...]
    sessions: Mapping[str, SessionSpec]
    defaults: Defaults

    def suite(self, tier: str) -> tuple[str, ...]:
        """Return the paths of the tests that a tier runs."""
        return self.tiers[tier].suite or self.defaults.suite

    def floor(self, component: str, cell: Cell) -> Floor:
        """Return the most specific floor of a component in a cell.

        Raises SelectionError where matrix/floors.toml has none.
        """
        found = self.find_floor(component, cell)
        if found is None:
            known = sorted({row.component for row in self.floors})
            raise SelectionError(
                f"matrix/floors.toml: no floor for component {component!r} in {cell.dtype}; measure it with "
                "`meshsweep run --measure`, then `meshsweep thresholds --write` "
                f"(components with one: {', '.join(known) or 'none'})"
            )
        return found

    def find_floor(self, component: str, cell: Cell) -> Floor | None:
        """Return the most specific floor of a component in a cell, if there is any."""
        rows = [row for row in self.floors if row.covers(component, cell)]
        return max(rows, key=lambda row: (row.mesh is not None, row.scale is not None), default=None)
