"""Every fault by its name, in the order of the areas: a new area is one more module here."""

from __future__ import annotations

from types import MappingProxyType

from tests.drill.catalogue import (
    attention,
    cache,
    collectives,
    experts,
    formats,
    judge,
    layers,
    packed,
    rotation,
    routing,
    stored,
    throughput,
    users,
    vocabulary,
    weights,
)
from tests.drill.fault import Fault

__all__ = ["AREAS", "FAULTS"]

AREAS = (
    collectives,
    attention,
    rotation,
    cache,
    users,
    routing,
    experts,
    throughput,
    layers,
    vocabulary,
    weights,
    packed,
    stored,
    formats,
    judge,
)

FAULTS: MappingProxyType[str, Fault] = MappingProxyType(
    {fault.name: fault for area in AREAS for fault in vars(area).values() if isinstance(fault, Fault)}
)
