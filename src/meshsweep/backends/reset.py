"""Reset chips with ``tt-smi``, and believe nothing that it says."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Sequence

from meshsweep.machines import Machine

__all__ = ["command", "reset"]

_PROGRAM = "tt-smi"
#: A whole Galaxy takes minutes, and tries up to three times by itself.
_DEADLINE_S = 900.0
_GALAXY = 32


def command(machine: Machine, chips: Collection[int]) -> list[str]:
    """Return what resets ``chips``, with the boards that they are on and nothing else."""
    leased = machine.leased_with(chips)
    if len(leased) == len(machine.chips) == _GALAXY:
        # Its trays have a reset of their own, which spares nobody: only for who holds all of it.
        return [_PROGRAM, "-glx_reset_auto"]
    return [_PROGRAM, "-r", ",".join(machine.visible(leased))]


def reset(machine: Machine, chips: Collection[int], files: Sequence[int]) -> bool:
    """Return whether there is a way to reset, and it was tried; only looking at the chips tells what came of it.

    The program inherits ``files``: locks that they hold stay held until it has ended.
    """
    if shutil.which(_PROGRAM) is None:
        return False
    # It counts visible chips only, from 0.
    environ = {name: value for name, value in os.environ.items() if name != "TT_VISIBLE_DEVICES"}
    with subprocess.Popen(
        command(machine, chips),
        env=environ,
        pass_fds=tuple(files),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as program:
        try:
            # It exits with 0 where the reset failed, so the code is not looked at.
            program.wait(_DEADLINE_S)
        except subprocess.TimeoutExpired:
            program.kill()
    return True
