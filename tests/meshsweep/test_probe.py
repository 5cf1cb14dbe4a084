"""Whether chips are sound: what a fresh process finds, and what resets change."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from meshsweep import probe
from meshsweep.backends.simulated import SimulatedBackend
from meshsweep.leases.pool import Leases
from meshsweep.matrix import Matrix
from meshsweep.planning.slots import Slot
from meshsweep.probe import Healthy, Patient, Spoiled
from meshsweep.shape import MeshShape

from .backends.test_reset import put_program
from .project import Project


@pytest.fixture
def patient(declared: Matrix) -> Patient:
    """A slot of two simulated chips that nobody has leased."""
    return Patient(
        environment=replace(declared.environments["fake"], backend="simulated"),
        machine=declared.machines["t3k"],
        slot=Slot(name="t3k.0", machine="t3k", chips=(4, 5), mesh="1x2"),
        mesh=declared.meshes["1x2"],
        terms=None,
    )


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What breaks chip 5."""
    path = tmp_path / "faults.json"
    monkeypatch.setenv("MESHSWEEP_FAULTS", str(path))

    def fault(**how: object) -> None:
        path.write_text(json.dumps({"t3k": {"5": how}}))

    return fault


def test_sound_chips_are_healthy(patient: Patient) -> None:
    assert probe.recover(patient) == Healthy()


def test_slot_without_chips_is_healthy(patient: Patient) -> None:
    assert probe.recover(replace(patient, slot=Slot(name="virtual.0", machine="virtual", chips=()))) == Healthy()


def test_chips_are_reset_until_they_are_sound(patient: Patient, fault: Callable[..., None]) -> None:
    fault(fault="absent", resets=2)

    assert probe.recover(patient, tries=2) == Healthy(resets=2)


def test_resets_are_bounded(patient: Patient, fault: Callable[..., None]) -> None:
    fault(fault="absent", resets=2)

    assert probe.recover(patient, tries=1) == Spoiled(
        reason="mesh 1x2 did not open: RuntimeError: chip 5 of t3k does not open (simulated), even after 1 reset",
        chips=frozenset({5}),
    )


def test_mesh_with_too_few_chips_is_not_healthy(patient: Patient, fault: Callable[..., None]) -> None:
    fault(fault="missing")

    assert probe.recover(patient, tries=0) == Spoiled(
        reason="mesh 1x2 opened as 1x2 with 1 of 2 chips, and cannot be reset", chips=frozenset({5})
    )


def test_whole_board_of_a_broken_chip_is_spoiled(patient: Patient, fault: Callable[..., None]) -> None:
    """The other chips of the slot are not: they open by themselves."""
    fault(fault="absent")
    t3k = patient.machine
    boards = tuple(replace(chip, board=chip.id // 2, pcie=None if chip.id % 2 else chip.id) for chip in t3k.chips)
    wide = replace(
        patient,
        machine=replace(t3k, chips=boards),
        slot=replace(patient.slot, chips=tuple(range(8)), mesh="1x8"),
        mesh=replace(patient.mesh, name="1x8", shape=MeshShape(rows=1, cols=8)),
    )
    verdict = probe.recover(wide, tries=0)

    assert isinstance(verdict, Spoiled)
    assert verdict.chips == {4, 5}


def test_fault_between_boards_is_nobodys(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each opens by itself, and together they do not."""
    monkeypatch.setattr(probe, "check", lambda patient, *_, **__: "no link" if len(patient.slot.chips) > 1 else None)

    assert probe.recover(patient, tries=0) == Spoiled(reason="no link, and cannot be reset")


def test_search_for_broken_boards_is_bounded(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(probe, "check", lambda patient, *_, **__: seen.append(patient.slot.chips) or "dead")
    wide = replace(patient, slot=replace(patient.slot, chips=tuple(range(8)), mesh="1x8"))

    assert probe.recover(wide, tries=0) == Spoiled(reason="dead, and cannot be reset")
    assert seen == [tuple(range(8)), (0,), (1,), (2,)]


def test_mesh_that_hangs_is_not_healthy(patient: Patient, fault: Callable[..., None]) -> None:
    fault(fault="hang")

    assert probe.check(patient, "simulated", deadline_s=1.5) == "mesh 1x2 did not open within 1.5 s"


def test_probe_holds_the_chips_that_it_opens(patient: Patient, tmp_path: Path) -> None:
    """While another process has them open it does not look at them."""
    leases = Leases(tmp_path, "t3k", "a", log=tmp_path / "log")
    lease = leases.take([4, 5])
    assert lease is not None
    sound = probe.recover(replace(patient, terms=lease.terms))
    leases.close()

    assert sound == Healthy()
    lost = probe.recover(replace(patient, terms=lease.terms), tries=0)
    assert isinstance(lost, Spoiled)
    assert "t3k chip 4 is no longer leased to run by this worker" in lost.reason


def test_verdict_comes_from_a_thread_whatever_happens(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts: queue.Queue[Healthy | Spoiled] = queue.Queue()
    probe.begin(patient, verdicts.put)
    sound = verdicts.get(timeout=30)
    monkeypatch.setattr(probe, "recover", lambda patient, tries: 1 / 0)
    probe.begin(patient, verdicts.put)

    assert sound == Healthy()
    assert verdicts.get(timeout=30) == Spoiled(reason="cannot be examined: ZeroDivisionError: division by zero")


LIAR = """
    import os
    from pathlib import Path

    class MeshDevice:
        shape = (1, 2)
        def get_num_devices(self):
            return 2 if Path("resets").exists() and len(Path("resets").read_text()) >= 2 else 1

    class FabricConfig:
        FABRIC_1D = DISABLED = None
    class MeshShape:
        def __init__(self, rows, cols): pass
    def set_fabric_config(config): print("ttnn says what it likes")
    def open_mesh_device(mesh_shape): return MeshDevice()
    def close_mesh_device(device): pass
"""


@pytest.mark.parametrize(("tries", "verdict"), [(2, Healthy(resets=2)), (1, None)])
def test_exit_code_of_a_reset_is_not_believed(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tries: int, verdict: Healthy | None
) -> None:
    """The first reset says that it has succeeded, and the chips are as before; the second says that it has failed."""
    project = Project(tmp_path)
    project.write("ttnn.py", LIAR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    put_program(tmp_path, "printf r >> resets; test $(wc -c < resets) = 1", monkeypatch)
    silicon = replace(patient, environment=replace(patient.environment, backend="ttnn"))

    assert probe.recover(silicon, tries=tries) == (
        verdict
        or Spoiled(reason="mesh 1x2 opened as 1x2 with 1 of 2 chips, even after 1 reset", chips=frozenset({4, 5}))
    )


def test_probe_that_says_nothing_is_no_proof(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.sys, "executable", "/bin/false")

    assert probe.check(patient, "simulated", deadline_s=9) == "the probe of mesh 1x2 ended with code 1 and no word"


def test_emulated_chips_are_probed_without_a_tensor_library() -> None:
    from meshsweep.backends.emulated import EmulatedBackend

    assert EmulatedBackend.probes_with == SimulatedBackend.probes_with == "simulated"
