"""Offer ``ttnn.cluster``: what kind of system the virtual machine is."""

from __future__ import annotations

from enum import Enum

from ttemu import machine

__all__ = ["ClusterType", "get_cluster_type", "is_blackhole", "is_wormhole_b0"]


class ClusterType(Enum):
    """A kind of system."""

    INVALID = 0
    N150 = 1
    N300 = 2
    T3K = 3
    GALAXY = 4
    TG = 5
    P100 = 6
    P150 = 7
    P150_X2 = 8
    P150_X4 = 9
    SIMULATOR_WORMHOLE_B0 = 10
    SIMULATOR_BLACKHOLE = 11
    P150_X8 = 13
    P300 = 14
    SIMULATOR_QUASAR = 15
    BLACKHOLE_GALAXY = 16
    P300_X2 = 17
    CUSTOM = 18


_TYPES = {
    "n150": ClusterType.N150,
    "n300": ClusterType.N300,
    "t3k": ClusterType.T3K,
    "galaxy": ClusterType.GALAXY,
    "p150": ClusterType.P150,
    "p300": ClusterType.P300,
    "p150x4": ClusterType.P150_X4,
    "p150x8": ClusterType.P150_X8,
    "bhgalaxy": ClusterType.BLACKHOLE_GALAXY,
}


def get_cluster_type() -> ClusterType:
    """Return the kind of the machine; a grid without a name is CUSTOM."""
    return _TYPES.get(machine.current().name, ClusterType.CUSTOM)


def is_wormhole_b0(device: object = None) -> bool:
    """Say whether the machine's chips are Wormhole."""
    del device
    return machine.current().arch is machine.Arch.WORMHOLE_B0


def is_blackhole(device: object = None) -> bool:
    """Say whether the machine's chips are Blackhole."""
    del device
    return machine.current().arch is machine.Arch.BLACKHOLE
