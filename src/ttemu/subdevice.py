"""Name parts of a chip's cores; the emulator carries the names and ignores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ttemu.cores import CoreRangeSet

__all__ = ["DispatchAlgorithm", "SubDevice", "SubDeviceId", "SubDeviceManagerId"]


class DispatchAlgorithm(Enum):
    """How tokens travel to their experts."""

    SPARSE_UNICAST = 0
    BROADCAST = 1
    SPARSE_MCAST_LINEAR = 2
    SPARSE_MCAST_SHORTEST_PATH = 3
    SPARSE_MCAST_SPLIT_BW = 4


@dataclass(frozen=True, slots=True)
class SubDevice:
    """Cores that an op may use."""

    cores: Sequence[CoreRangeSet]


@dataclass(frozen=True, slots=True)
class SubDeviceId:
    """The place of a sub device in its manager."""

    value: int


@dataclass(frozen=True, slots=True)
class SubDeviceManagerId:
    """A set of sub devices that a mesh can load."""

    value: int
