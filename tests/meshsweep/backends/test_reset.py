"""How chips are reset, and that tt-smi is not believed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from meshsweep.backends import reset
from meshsweep.errors import InfraError
from meshsweep.leases.use import use
from meshsweep.machines import Machine
from meshsweep.matrix import Matrix


def addressed(machine: Machine) -> Machine:
    """Return a machine whose PCIe addresses are known."""
    return replace(machine, chips=tuple(replace(chip, bus=f"0000:{chip.id:02x}:00.0") for chip in machine.chips))


def put_program(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a tt-smi on the PATH."""
    program = folder / "tt-smi"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_chips_are_reset_by_address(declared: Matrix) -> None:
    machine = addressed(declared.machines["galaxy"])

    assert reset.command(machine, [9, 8]) == ["tt-smi", "-r", "0000:08:00.0,0000:09:00.0"]


def test_boards_are_reset_as_a_whole(declared: Matrix) -> None:
    """The chip behind another one has no address; its board's reset takes it along."""
    n300 = declared.machines["n300"]
    chips = tuple(replace(chip, board=0, pcie=None if chip.id else 0) for chip in n300.chips)

    assert reset.command(replace(n300, chips=chips), [1]) == ["tt-smi", "-r", "0"]


def test_galaxy_is_reset_as_one_for_its_only_holder(declared: Matrix) -> None:
    machine = addressed(declared.machines["galaxy"])

    assert reset.command(machine, range(32)) == ["tt-smi", "-glx_reset_auto"]
    assert reset.command(machine, range(31))[1] == "-r"


def test_without_the_program_there_is_no_reset(
    declared: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert not reset.reset(declared.machines["n300"], [0, 1], ())


def test_reset_sees_all_chips(declared: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_program(tmp_path, f'echo "$* [$TT_VISIBLE_DEVICES]" > {tmp_path}/called', monkeypatch)
    monkeypatch.setenv("TT_VISIBLE_DEVICES", "3")

    assert reset.reset(declared.machines["n300"], [0, 1], ())
    assert (tmp_path / "called").read_text() == "-r 0,1 []\n"


def test_chips_are_held_as_long_as_the_reset_lives(
    declared: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where this process does not live as long."""
    put_program(tmp_path, "sleep 0.5 &", monkeypatch)
    held = use(tmp_path, "n300", [0, 1], 0)
    reset.reset(declared.machines["n300"], [0, 1], held.files())
    held.release()

    with pytest.raises(InfraError, match="n300 chip 0 is still in use"):
        use(tmp_path, "n300", [0, 1], 0)
    use(tmp_path, "n300", [0, 1], 30)
