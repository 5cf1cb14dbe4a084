"""Simulated meshes: what opens on which chips, and what a fault does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshsweep import backends
from meshsweep.backends import faults
from meshsweep.backends.simulated import SimulatedBackend
from meshsweep.errors import UserError
from meshsweep.leases.record import overlaps
from meshsweep.matrix import Matrix
from meshsweep.planning.slots import Slot

SLOT = Slot(name="t3k.0", machine="t3k", chips=(4, 5), mesh="1x2")


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of simulated faults, empty."""
    path = tmp_path / "faults.json"
    path.write_text("{}")
    monkeypatch.setenv("MESHSWEEP_FAULTS", str(path))
    return path


def backend(declared: Matrix, slot: Slot | None) -> SimulatedBackend:
    """Return a backend confined to a slot."""
    made = SimulatedBackend(declared.environments["fake"])
    made.activate(slot, [])
    return made


def test_mesh_opens_on_the_chips_of_its_slot(declared: Matrix) -> None:
    one = backend(declared, SLOT)
    mesh = one.open(declared.meshes["1x2"])
    small = one.open(declared.meshes["1x1"])

    assert (mesh.chips, small.chips, mesh.is_open) == ((4, 5), (4,), True)
    assert backends.mismatch(one, mesh, declared.meshes["1x2"]) is None
    one.close(mesh)
    assert not mesh.is_open


def test_mesh_larger_than_the_slot_does_not_open(declared: Matrix) -> None:
    with pytest.raises(RuntimeError, match="mesh 1x8 requires 8 chips, but the slot has 2"):
        backend(declared, SLOT).open(declared.meshes["1x8"])


def test_virtual_machine_opens_any_mesh(declared: Matrix, faulty: Path) -> None:
    faulty.write_text(json.dumps({"virtual": {"0": {"fault": "absent"}}}))
    one = backend(declared, Slot(name="virtual.0", machine="virtual", chips=()))

    assert backends.mismatch(one, one.open(declared.meshes["4x4"]), declared.meshes["4x4"]) is None
    assert backend(declared, None).open(declared.meshes["4x4"]).chips == ()


def test_absent_chip_opens_after_its_resets(declared: Matrix, faulty: Path) -> None:
    faulty.write_text(json.dumps({"t3k": {"5": {"fault": "absent", "resets": 2}, "6": {"fault": "absent"}}}))
    one = backend(declared, SLOT)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"chip 5 of t3k does not open \(simulated\)"):
            one.open(declared.meshes["1x2"])
        one.open(declared.meshes["1x1"])
        one.reset(SLOT, declared.machines["t3k"], ())

    assert one.open(declared.meshes["1x2"]).chips == (4, 5)


def test_mesh_that_did_not_open_holds_no_chip(
    declared: Matrix, faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty.write_text(json.dumps({"t3k": {"5": {"fault": "absent"}}}))
    monkeypatch.setenv("MESHSWEEP_LEASE_LOG", str(tmp_path / "log"))
    one = backend(declared, SLOT)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            one.open(declared.meshes["1x2"])

    assert overlaps(tmp_path / "log") == ()


def test_chip_without_cure_stays_absent(declared: Matrix, faulty: Path) -> None:
    faulty.write_text(json.dumps({"t3k": {"5": {"fault": "absent"}}}))
    one = backend(declared, SLOT)
    for _ in range(5):
        one.reset(SLOT, declared.machines["t3k"], ())

    with pytest.raises(RuntimeError, match="chip 5"):
        one.open(declared.meshes["1x2"])


def test_missing_chip_is_seen_by_who_counts(declared: Matrix, faulty: Path) -> None:
    faulty.write_text(json.dumps({"t3k": {"5": {"fault": "missing"}}}))
    one = backend(declared, SLOT)
    mesh = one.open(declared.meshes["1x2"])

    assert backends.mismatch(one, mesh, declared.meshes["1x2"]) == "mesh 1x2 opened as 1x2 with 1 of 2 chips"


def test_faults_of_another_machine_do_nothing(declared: Matrix, faulty: Path) -> None:
    faulty.write_text(json.dumps({"galaxy": {"5": {"fault": "absent"}}}))

    assert backend(declared, SLOT).open(declared.meshes["1x2"]).chips == (4, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read simulated faults: Expecting property name"),
        ('{"t3k": {"x": {"fault": "absent"}}}', "cannot read simulated faults: invalid literal for int"),
        ('{"t3k": {"1": {"fault": "gone"}}}', "chip 1: unknown fault 'gone'; choose from absent, missing, hang"),
        ('{"t3k": {"1": {"falt": "absent"}}}', "cannot read simulated faults: .*falt"),
        ("[]", "cannot read simulated faults: 'list' object has no attribute"),
    ],
)
def test_wrong_file_of_faults_is_refused(faulty: Path, text: str, message: str) -> None:
    faulty.write_text(text)

    with pytest.raises(UserError, match=message):
        faults.find({"MESHSWEEP_FAULTS": str(faulty)}, "t3k", [1])


def test_open_chips_are_recorded(declared: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the devices, which know of no lock: two that open a chip at once are found."""
    log = tmp_path / "log"
    monkeypatch.setenv("MESHSWEEP_LEASE_LOG", str(log))
    first, second = backend(declared, SLOT), backend(declared, SLOT)
    mesh = declared.meshes["1x2"]
    first.close(first.open(mesh))
    second.close(second.open(mesh))
    sound = overlaps(log)
    first.open(mesh)
    second.open(mesh)

    assert sound == ()
    assert [text.partition(":")[0] for text in overlaps(log)] == ["t3k chip 4 (device)", "t3k chip 5 (device)"]
