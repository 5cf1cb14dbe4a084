"""Say which chips the virtual machine has: ``TTEMU_MACHINE``, a Galaxy unless told otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum

from ttemu.cores import CoreCoord

__all__ = ["Arch", "Machine", "current"]

ENVIRONMENT = "TTEMU_MACHINE"
DEFAULT = "galaxy"
_WORMHOLE_GRID = CoreCoord(8, 8)


class Arch(Enum):
    """A chip architecture."""

    WORMHOLE_B0 = 2
    BLACKHOLE = 3
    QUASAR = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A host's chips as a grid of ``rows`` x ``cols``."""

    name: str
    rows: int
    cols: int
    arch: Arch = Arch.WORMHOLE_B0
    worker_grid: CoreCoord = _WORMHOLE_GRID
    dram_banks: int = 12

    @property
    def num_devices(self) -> int:
        """Number of chips."""
        return self.rows * self.cols

    def fits(self, rows: int, cols: int) -> bool:
        """Say whether a mesh can be laid over the chips: as it is, turned, or as a line along them."""
        if rows * cols > self.num_devices:
            return False
        upright = rows <= self.rows and cols <= self.cols
        turned = cols <= self.rows and rows <= self.cols
        return upright or turned or 1 in {rows, cols}


def _blackhole(name: str, rows: int, cols: int) -> Machine:
    grid = CoreCoord(12, 10)
    return Machine(name=name, rows=rows, cols=cols, arch=Arch.BLACKHOLE, worker_grid=grid, dram_banks=8)


# Worker grids as the real library reports them on mock clusters with row dispatch.
MACHINES = {
    machine.name: machine
    for machine in (
        Machine(name="n150", rows=1, cols=1),
        Machine(name="n300", rows=1, cols=2, worker_grid=CoreCoord(8, 7)),
        Machine(name="t3k", rows=2, cols=4, worker_grid=CoreCoord(8, 7)),
        Machine(name="galaxy", rows=8, cols=4, worker_grid=CoreCoord(8, 9)),
        _blackhole("p150", 1, 1),
        _blackhole("p300", 1, 2),
        _blackhole("p150x4", 1, 4),
        _blackhole("p150x8", 1, 8),
        _blackhole("bhgalaxy", 4, 8),
    )
}


def parse(text: str) -> Machine:
    """Read a machine's name or a grid such as ``4x8``."""
    known = MACHINES.get(text.strip().lower())
    if known is not None:
        return known
    rows, _, cols = text.lower().partition("x")
    if not (rows.isdecimal() and cols.isdecimal() and int(rows) and int(cols)):
        raise RuntimeError(f"{ENVIRONMENT}={text!r}: expected ROWSxCOLS or one of {', '.join(sorted(MACHINES))}")
    return Machine(name=text, rows=int(rows), cols=int(cols))


def current() -> Machine:
    """Return the machine that the environment names now."""
    return parse(os.environ.get(ENVIRONMENT, "") or DEFAULT)
