"""Which mesh is open when."""

from __future__ import annotations

import pytest

from meshsweep.errors import InfraError
from meshsweep.matrix import Matrix, Mesh
from meshsweep.planning.slots import Slot
from meshsweep.shape import MeshShape
from meshsweep.suite.meshpool import MeshPool


class Devices:
    """A backend that notes what it is asked for."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.worn = False
        self.missing = 0

    def activate(self, slot: Slot | None) -> None:
        self.log.append("activate")

    def spent(self, device: object) -> bool:
        return self.worn

    def open(self, mesh: Mesh) -> object:
        if mesh.name == "4x4":
            raise RuntimeError("no such devices")
        self.log.append(f"open {mesh.name}")
        return mesh.shape

    def identity(self, device: MeshShape) -> tuple[MeshShape, int]:
        return device, device.devices - self.missing

    def close(self, device: object) -> None:
        self.log.append("close")


def test_same_mesh_opens_once(declared: Matrix) -> None:
    pool = MeshPool(Devices())
    first, opened_s = pool.get(declared.meshes["1x8"])
    second, again_s = pool.get(declared.meshes["1x8"])

    assert first is second
    assert (opened_s is None, again_s) == (False, None)


def test_other_mesh_closes_the_first(declared: Matrix) -> None:
    devices = Devices()
    pool = MeshPool(devices)
    for mesh in ("1x8", "1x1", "1x8"):
        pool.get(declared.meshes[mesh])
    pool.close()
    pool.close()

    assert devices.log == ["open 1x8", "close", "open 1x1", "close", "open 1x8", "close"]


def test_spent_mesh_is_opened_anew(declared: Matrix) -> None:
    devices = Devices()
    pool = MeshPool(devices)
    pool.get(declared.meshes["1x8"])
    devices.worn = True
    pool.get(declared.meshes["1x8"])

    assert devices.log == ["open 1x8", "close", "open 1x8"]


def test_mesh_with_too_few_chips_is_not_used(declared: Matrix) -> None:
    devices = Devices()
    devices.missing = 1
    pool = MeshPool(devices)

    with pytest.raises(InfraError, match="mesh 1x8 opened as 1x8 with 7 of 8 chips"):
        pool.get(declared.meshes["1x8"])
    assert devices.log == ["open 1x8", "close"]


def test_mesh_that_fails_stays_closed(declared: Matrix) -> None:
    devices = Devices()
    pool = MeshPool(devices)
    pool.get(declared.meshes["1x8"])
    with pytest.raises(RuntimeError):
        pool.get(declared.meshes["4x4"])
    pool.close()

    assert devices.log == ["open 1x8", "close"]
