"""Read a host from its table of ``matrix/machines.toml``."""

from __future__ import annotations

import re

from meshsweep.machines.machine import Machine, seat
from meshsweep.machines.placement import joined
from meshsweep.shape import MeshShape
from meshsweep.toml import Table
from meshsweep.words import count

__all__ = ["BUS", "read"]

#: A PCI address: domain, bus, device and function.
BUS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")

_ONE = MeshShape(rows=1, cols=1)


def read(name: str, table: Table) -> Machine:
    """Return the machine of a table; its mistakes are noted there."""
    shape = table.shape("shape", None)
    about, runner = table.text("about"), table.texts("runner")
    if shape is None:
        return Machine(name=name, about=about, shape=None, runner=runner)
    ids = _ids(table, shape)
    boards = _boards(table, shape)
    pcie = _pcie(table, ids, boards)
    bus = _bus(table, pcie)
    chips = seat(shape, ids, boards=dict(zip(ids, boards, strict=True)), pcie=pcie, bus=bus)
    return Machine(
        name=name,
        about=about,
        shape=shape,
        runner=runner,
        arch=_arch(table),
        chips=chips,
        links=_links(table, shape, ids),
        rings=_rings(table, shape),
    )


def _ids(table: Table, shape: MeshShape) -> tuple[int, ...]:
    """Return the chips' ids, row-major; they count from 0 where the table names none."""
    rows = table.grid("ids", ())
    ids = tuple(chip for row in rows for chip in row)
    plain = tuple(range(shape.devices))
    if not ids:
        return plain
    if sorted(ids) != list(plain) or [len(row) for row in rows] != [shape.cols] * shape.rows:
        rows_of = f"{count(shape.rows, 'row')} of {shape.cols}"
        table.mistake("ids", f"is {[*map(list, rows)]}; expected {rows_of}, each id of 0-{shape.devices - 1} once")
        return plain
    return ids


def _boards(table: Table, shape: MeshShape) -> list[int]:
    """Return the board of each place, row-major; a chip is a board of its own where the table names none."""
    board = table.shape("board", _ONE) or _ONE
    if shape.rows % board.rows or shape.cols % board.cols:
        table.mistake("board", f"is {board}; expected a shape that divides the system mesh {shape}")
    across = -(-shape.cols // board.cols)
    return [row // board.rows * across + col // board.cols for row in range(shape.rows) for col in range(shape.cols)]


def _pcie(table: Table, ids: tuple[int, ...], boards: list[int]) -> tuple[int, ...]:
    """Return the chips on PCIe in the order of their indices."""
    pcie: tuple[int, ...] = table.numbers("pcie", tuple(sorted(ids)))
    unknown = sorted(set(pcie) - set(ids))
    if unknown or len(set(pcie)) != len(pcie):
        table.mistake("pcie", f"is {list(pcie)}; expected ids of chips, each once")
    reached = {board for chip, board in zip(ids, boards, strict=True) if chip in pcie}
    lost = sorted(chip for chip, board in zip(ids, boards, strict=True) if board not in reached)
    if pcie and lost:
        table.mistake(
            "pcie", f"leaves chips {', '.join(map(str, lost))} out of reach; expected one chip of every board"
        )
    return pcie


def _bus(table: Table, pcie: tuple[int, ...]) -> dict[int, str]:
    """Return the PCI addresses of chips, in the order of ``pcie`` in the table."""
    addresses = table.texts("bus", ())
    if not addresses:
        return {}
    if len(addresses) != len(pcie):
        table.mistake("bus", f"names {len(addresses)} addresses; expected {len(pcie)}, one for each chip on PCIe")
    wrong = [address for address in addresses if not BUS.fullmatch(address)]
    if wrong:
        table.mistake("bus", f"holds {', '.join(map(repr, wrong))}; expected addresses such as 0000:01:00.0")
    if len(set(addresses)) != len(addresses):
        table.mistake("bus", "names an address twice; expected one for each chip on PCIe")
    return dict(zip(pcie, addresses, strict=False))


def _links(table: Table, shape: MeshShape, ids: tuple[int, ...]) -> frozenset[tuple[int, int]]:
    links = joined(shape, ids)
    unlinked = table.grid("unlinked", ())
    for pair in unlinked:
        if len(pair) != 2 or (min(pair), max(pair)) not in links:
            table.mistake("unlinked", f"holds {list(pair)}; expected pairs of chips that stand beside each other")
    return links - {(min(pair), max(pair)) for pair in unlinked}


def _rings(table: Table, shape: MeshShape) -> tuple[MeshShape, ...]:
    rings = table.shapes("rings")
    for ring in rings:
        if ring.rows != 1 or ring.cols % 2 or not 4 <= ring.cols <= shape.devices:
            table.mistake(
                "rings", f"holds {ring}; expected 1xN with N even, from 4 to the machine's {shape.devices} chips"
            )
    return rings


def _arch(table: Table) -> str:
    arch: str = table.text("arch", "wormhole_b0")
    if arch not in ("wormhole_b0", "blackhole"):
        table.mistake("arch", f"is {arch!r}; expected wormhole_b0 or blackhole")
    return arch
