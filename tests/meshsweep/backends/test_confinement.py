"""What a process is told of its slot, so that it finds no other chips."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from meshsweep.backends import scratch
from meshsweep.backends.emulated import _confine
from meshsweep.backends.ttnn import TtnnBackend
from meshsweep.machines import Machine
from meshsweep.matrix import Matrix
from meshsweep.planning.slots import Slot


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without what slots set, put back after the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("TT_VISIBLE_DEVICES", "TT_METAL_CACHE", "TT_MESH_GRAPH_DESC_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def galaxy(declared: Matrix) -> Machine:
    """Return a Galaxy whose PCIe addresses are known."""
    found = declared.machines["galaxy"]
    return replace(found, chips=tuple(replace(chip, bus=f"0000:{chip.id:02x}:00.0") for chip in found.chips))


@pytest.mark.usefixtures("clean")
def test_silicon_sees_its_chips_by_address(declared: Matrix) -> None:
    backend = TtnnBackend(declared.environments["silicon"])
    slot = Slot(name="galaxy.1", machine="galaxy", chips=(8, 9), mesh="1x2")
    backend.activate(slot, list(declared.meshes.values()), galaxy(declared))

    assert os.environ["TT_VISIBLE_DEVICES"] == "0000:08:00.0,0000:09:00.0"
    assert os.environ["TT_METAL_CACHE"].endswith("/galaxy-8-9/kernels")
    assert Path(os.environ["TT_MESH_GRAPH_DESC_PATH"]).read_text() == (
        "mesh_descriptors {\n"
        '  name: "slot"\n'
        "  arch: WORMHOLE_B0\n"
        "  device_topology { dims: [ 1, 2 ] }\n"
        "  host_topology { dims: [ 1, 1 ] }\n"
        "  channels { count: 4 policy: RELAXED }\n"
        "}\n"
        "\n"
        'top_level_instance { mesh { mesh_descriptor: "slot" mesh_id: 0 } }\n'
    )


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("chips", [(3,), tuple(range(32))])
def test_known_cluster_needs_no_graph(declared: Matrix, chips: tuple[int, ...]) -> None:
    backend = TtnnBackend(declared.environments["silicon"])
    backend.activate(Slot(name="galaxy.0", machine="galaxy", chips=chips, mesh="4x8"), [], galaxy(declared))

    assert "TT_MESH_GRAPH_DESC_PATH" not in os.environ


@pytest.mark.usefixtures("clean")
def test_boards_that_are_seen_too_are_described(declared: Matrix) -> None:
    """One chip of a board of two: the process sees both, and opens its mesh on the first."""
    found = declared.machines["t3k"]
    chips = tuple(
        replace(chip, board=chip.col // 2, pcie=None if chip.col % 2 else chip.id)
        for chip in found.chips
        if not chip.row
    )
    backend = TtnnBackend(declared.environments["silicon"])
    slot = Slot(name="t3k.0", machine="t3k", chips=(0,), mesh="1x1")
    backend.activate(slot, list(declared.meshes.values()), replace(found, chips=chips))

    assert os.environ["TT_VISIBLE_DEVICES"] == "0"
    assert "dims: [ 1, 2 ]" in Path(os.environ["TT_MESH_GRAPH_DESC_PATH"]).read_text()


@pytest.mark.usefixtures("clean")
def test_inventory_of_silicon_has_one_name(declared: Matrix) -> None:
    backend = TtnnBackend(declared.environments["silicon"])

    assert backend.inventory("t3k") == backend.inventory("lab-7")


HOLD = (
    "import sys; from meshsweep.backends import scratch; print(scratch.claim('e', None), flush=True); sys.stdin.read()"
)


@pytest.mark.usefixtures("clean")
def test_living_processes_share_no_cache() -> None:
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        theirs = Path(first.stdout.readline().strip())
        (theirs / "kernel").touch()
        second = scratch.claim("e", None)
        first.kill()
    third = scratch.claim("e", None)

    assert (second.name, third.name) == ("any.1", "any")
    assert (third / "kernel").exists()


@pytest.mark.parametrize(
    ("machine", "chips", "told"),
    [
        ("t3k", range(8), {"TTEMU_MACHINE": "t3k"}),
        ("t3k", [4, 5], {"TTEMU_MACHINE": "t3k", "TT_VISIBLE_DEVICES": "0,1"}),
        # The emulator counts a Galaxy as 8 rows of 4.
        ("galaxy", range(8), {"TTEMU_MACHINE": "galaxy", "TT_VISIBLE_DEVICES": "0,4,8,12,16,20,24,28"}),
        ("galaxy", [0, 1, 8, 9], {"TTEMU_MACHINE": "galaxy", "TT_VISIBLE_DEVICES": "0,1,4,5"}),
        ("galaxy", [0, 1, 9], {"TTEMU_MACHINE": "galaxy", "TT_VISIBLE_DEVICES": "0,1,2"}),
    ],
)
def test_emulator_has_as_many_chips_as_the_slot(
    declared: Matrix, machine: str, chips: list[int], told: Mapping[str, str]
) -> None:
    slot = Slot(name="x", machine=machine, chips=tuple(chips))

    assert _confine(slot, declared.machines[machine]) == told


def test_machine_that_the_emulator_does_not_know_is_told_by_its_shape(declared: Matrix) -> None:
    lab = replace(declared.machines["t3k"], name="lab")
    other = replace(declared.machines["t3k"], name="galaxy")

    assert _confine(Slot(name="x", machine="lab", chips=(1,)), lab)["TTEMU_MACHINE"] == "2x4"
    assert _confine(Slot(name="x", machine="galaxy", chips=(1,)), other)["TTEMU_MACHINE"] == "2x4"


EMULATED = """
    import sys
    from pathlib import Path
    from meshsweep import loader
    from meshsweep.backends import mismatch
    from meshsweep.backends.emulated import EmulatedBackend
    from meshsweep.planning.slots import Slot
    matrix = loader.load(Path(sys.argv[1]))
    machine = matrix.machines["galaxy"]
    chips = machine.placements(matrix.meshes["1x8"].shape)[0]
    backend = EmulatedBackend(matrix.environments["emulated"])
    backend.activate(Slot(name="galaxy.0", machine="galaxy", chips=chips, mesh="1x8"), [], machine)
    device = backend.open(matrix.meshes["1x8"])
    print(mismatch(backend, device, matrix.meshes["1x8"]))
    backend.close(device)
    for name in ("4x4", "4x8"):
        try:
            backend.open(matrix.meshes[name])
        except RuntimeError as error:
            print(error)
"""


def test_emulator_opens_no_mesh_larger_than_the_slot() -> None:
    pytest.importorskip("torch")
    command = [sys.executable, "-c", dedent(EMULATED), str(Path(__file__).parents[3] / "matrix")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()

    assert (done.stderr, lines[0]) == ("", "None")
    assert [line.partition(" are available")[0] for line in lines[1:]] == [
        "open_mesh_device: mesh [4, 4] requires 16 devices, but only 8",
        "open_mesh_device: mesh [4, 8] requires 32 devices, but only 8",
    ]
