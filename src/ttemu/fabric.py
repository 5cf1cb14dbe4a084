"""Keep the process-wide fabric setting that collectives need, and the enums that describe it."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from enum import Enum

__all__ = [
    "DispatchCoreAxis",
    "DispatchCoreConfig",
    "DispatchCoreType",
    "FabricConfig",
    "FabricManagerMode",
    "FabricReliabilityMode",
    "FabricTensixConfig",
    "FabricUDMMode",
    "get_fabric_config",
    "set_fabric_config",
]


class FabricConfig(Enum):
    """How the chips' links are used."""

    DISABLED = 0
    FABRIC_1D_NEIGHBOR_EXCHANGE = 1
    FABRIC_1D = 2
    FABRIC_1D_RING = 3
    FABRIC_2D = 4
    FABRIC_2D_TORUS_X = 5
    FABRIC_2D_TORUS_Y = 6
    FABRIC_2D_TORUS_XY = 7
    CUSTOM = 8


class FabricReliabilityMode(Enum):
    """What to do about links that are down."""

    STRICT_INIT = 0
    RELAXED_INIT = 1
    DYNAMIC_RECONFIG = 2


class FabricTensixConfig(Enum):
    """Whether worker cores help the fabric."""

    DISABLED = 0
    MUX = 1


class FabricUDMMode(Enum):
    """Whether the unified datamovement is on."""

    DISABLED = 0
    ENABLED = 1


class FabricManagerMode(Enum):
    """Who starts and ends the fabric."""

    ENABLED = 0
    INIT_FABRIC = 1
    TERMINATE_FABRIC = 2
    DEFAULT = 3


class DispatchCoreType(Enum):
    """Which cores dispatch commands."""

    WORKER = 0
    ETH = 1


class DispatchCoreAxis(Enum):
    """Whether dispatch cores take a row or a column of the grid."""

    ROW = 0
    COL = 1


@dataclass(frozen=True, slots=True)
class DispatchCoreConfig:
    """Kind and direction of the cores that dispatch."""

    type: DispatchCoreType | None = None
    axis: DispatchCoreAxis | None = None
    fabric_tensix_config: InitVar[FabricTensixConfig | None] = None


@dataclass(slots=True)
class _Setting:
    config: FabricConfig = FabricConfig.DISABLED


_setting = _Setting()


def set_fabric_config(
    config: FabricConfig,
    reliability_mode: FabricReliabilityMode = FabricReliabilityMode.STRICT_INIT,
    num_planes: int | None = None,
    fabric_tensix_config: FabricTensixConfig = FabricTensixConfig.DISABLED,
    fabric_udm_mode: FabricUDMMode = FabricUDMMode.DISABLED,
    fabric_manager_mode: FabricManagerMode = FabricManagerMode.DEFAULT,
    router_config: object = None,
) -> None:
    """Set the fabric of meshes that are opened from now on."""
    if not isinstance(config, FabricConfig):
        raise TypeError(f"set_fabric_config: incompatible function arguments, config {config!r}")
    del reliability_mode, num_planes, fabric_tensix_config, fabric_udm_mode, fabric_manager_mode, router_config
    _setting.config = config


def get_fabric_config() -> FabricConfig:
    """Return the fabric that the next mesh will be opened with."""
    return _setting.config
