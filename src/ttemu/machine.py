"""Say which chips the virtual machine has: ``TTEMU_MACHINE``, a Galaxy unless told otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import Enum

from ttemu.cores import CoreCoord

__all__ = ["Arch", "Chip", "Machine", "current"]

ENVIRONMENT = "TTEMU_MACHINE"
VISIBLE = "TT_VISIBLE_DEVICES"
DEFAULT = "galaxy"
_WORMHOLE_GRID = CoreCoord(8, 8)


class Arch(Enum):
    """A chip architecture."""

    WORMHOLE_B0 = 2
    BLACKHOLE = 3
    QUASAR = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One chip's memory: DRAM banks, and one L1 bank in each worker core, as addresses and bytes."""

    arch: Arch
    dram_banks: int
    dram_base: int
    dram_bank_bytes: int
    l1_end: int
    l1_bytes: int
    max_l1_bytes: int
    alignment: int


# As the real library reports them on mock clusters.
_WORMHOLE = Chip(
    arch=Arch.WORMHOLE_B0,
    dram_banks=12,
    dram_base=1_048_640,
    dram_bank_bytes=1_072_693_184,
    l1_end=1_499_136,
    l1_bytes=1_393_312,
    max_l1_bytes=1_463_968,
    alignment=32,
)
_BLACKHOLE = Chip(
    arch=Arch.BLACKHOLE,
    dram_banks=8,
    dram_base=1_048_704,
    dram_bank_bytes=4_277_141_376,
    l1_end=1_572_864,
    l1_bytes=1_461_120,
    max_l1_bytes=1_531_776,
    alignment=64,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A host's chips as a grid of ``rows`` x ``cols``."""

    name: str
    rows: int
    cols: int
    chip: Chip = _WORMHOLE
    worker_grid: CoreCoord = _WORMHOLE_GRID

    @property
    def arch(self) -> Arch:
        """Architecture of the chips."""
        return self.chip.arch

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

    def ids(self, rows: int, cols: int) -> list[int]:
        """Return the chips of a mesh that fits, row-major: as they lie, turned, or as a winding line."""
        if rows <= self.rows and cols <= self.cols:
            return [row * self.cols + col for row in range(rows) for col in range(cols)]
        if cols <= self.rows and rows <= self.cols:
            return [col * self.cols + row for row in range(rows) for col in range(cols)]
        line = [
            row * self.cols + (self.cols - 1 - col if row % 2 else col)
            for row in range(self.rows)
            for col in range(self.cols)
        ]
        return line[: rows * cols]


def _blackhole(name: str, rows: int, cols: int) -> Machine:
    return Machine(name=name, rows=rows, cols=cols, chip=_BLACKHOLE, worker_grid=CoreCoord(12, 10))


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


def _visible(host: Machine, text: str) -> Machine:
    """Return what chip numbers such as ``0,1`` leave of a machine: numbered anew, as a rectangle if they fill one."""
    entries = text.split(",")
    wrong = [entry for entry in entries if not entry.strip().isdecimal() or int(entry) >= host.num_devices]
    if wrong:
        raise RuntimeError(
            f"Invalid chip ID in {VISIBLE}: {wrong[0]}; machine {host.name} has {host.num_devices} chips"
        )
    chips = {divmod(int(entry), host.cols) for entry in entries}
    rows, cols = ({chip[axis] for chip in chips} for axis in (0, 1))
    filled = len(rows) * len(cols) == len(chips)
    if len(chips) == host.num_devices:
        return host
    extent = (len(rows), len(cols)) if filled else (1, len(chips))
    return replace(host, name=f"{host.name}[{text}]", rows=extent[0], cols=extent[1])


def current() -> Machine:
    """Return the machine that the environment names now, or the part of it that ``TT_VISIBLE_DEVICES`` shows."""
    host = parse(os.environ.get(ENVIRONMENT, "") or DEFAULT)
    visible = os.environ.get(VISIBLE, "")
    return _visible(host, visible) if visible else host
