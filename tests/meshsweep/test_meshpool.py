"""Which mesh is open when."""

from __future__ import annotations

import pytest

from meshsweep.matrix import Matrix, Mesh
from meshsweep.meshpool import MeshPool
from meshsweep.slots import Slot


class Devices:
    """A backend that notes what it is asked for."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.worn = False

    def activate(self, slot: Slot | None) -> None:
        self.log.append("activate")

    def spent(self, device: object) -> bool:
        return self.worn

    def open(self, mesh: Mesh) -> object:
        if mesh.name == "4x4":
            raise RuntimeError("no such devices")
        self.log.append(f"open {mesh.name}")
        return object()

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


def test_mesh_that_fails_stays_closed(declared: Matrix) -> None:
    devices = Devices()
    pool = MeshPool(devices)
    pool.get(declared.meshes["1x8"])
    with pytest.raises(RuntimeError):
        pool.get(declared.meshes["4x4"])
    pool.close()

    assert devices.log == ["open 1x8", "close"]
