"""Read a host from the cluster descriptor that UMD writes of it: YAML with chips, links and boards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshsweep.errors import InfraError, UserError
from meshsweep.machines.layout import arrange
from meshsweep.machines.machine import Machine, seat
from meshsweep.shape import MeshShape

__all__ = ["read"]

#: UMD's own names, of newer and older releases.
_ARCHITECTURES = {"wormhole": "wormhole_b0", "wormhole_b0": "wormhole_b0", "blackhole": "blackhole"}


def read(text: str, *, name: str, where: str) -> Machine:
    """Return the machine of a cluster descriptor; ``where`` is said in errors.

    Raises UserError where the text is no descriptor of at least one chip, InfraError without PyYAML.
    """
    data = _parsed(text, where)
    try:
        return _machine(data, name, where)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: not a cluster descriptor of UMD: {type(error).__name__}: {error}") from error


def _parsed(text: str, where: str) -> Mapping[str, Any]:
    try:
        # A noxfile, too, imports this package, where only nox is installed.
        import yaml
    except ImportError:
        raise InfraError(f"{where}: reading it needs PyYAML; install the package pyyaml") from None
    try:
        # Everything stays text: YAML takes the address 0000:01:00.0 for a number in base 60.
        data = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - builds nothing but text, lists and mappings
    except yaml.YAMLError as error:
        raise UserError(f"{where}: malformed YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, Mapping) or not isinstance(data.get("arch"), Mapping):
        raise UserError(f"{where}: not a cluster descriptor of UMD: expected a mapping with the key arch")
    if not data["arch"]:
        raise UserError(f"{where}: describes no chip; is the driver loaded, and are the devices free to look at?")
    return data


def _machine(data: Mapping[str, Any], name: str, where: str) -> Machine:
    ids = sorted(int(chip) for chip in data["arch"])
    links = _links(data, ids)
    shape, placed = _seated(data, ids, links)
    bus = {int(chip): str(address) for chip, address in (data.get("chip_pci_bdfs") or {}).items()}
    reached = {int(chip) for row in data["chips_with_mmio"] or () for chip in row}
    # TT_VISIBLE_DEVICES counts PCIe chips by their address.
    pcie = sorted(reached, key=lambda chip: (bus.get(chip, ""), chip))
    boards = _boards(data, ids)
    chips = seat(shape, placed, boards=boards, pcie=pcie, bus=bus)
    return Machine(
        name=name,
        about=f"{len(ids)} chips, as described in {where}",
        shape=shape,
        runner=(),
        arch=_arch(data, where),
        chips=chips,
        links=links,
        rings=_rings(shape),
    )


def _arch(data: Mapping[str, Any], where: str) -> str:
    found = sorted({str(arch).lower() for arch in data["arch"].values()})
    if len(found) > 1 or found[0] not in _ARCHITECTURES:
        raise UserError(f"{where}: chips of {', '.join(found)}; expected all of wormhole_b0 or all of blackhole")
    return _ARCHITECTURES[found[0]]


def _links(data: Mapping[str, Any], ids: Sequence[int]) -> frozenset[tuple[int, int]]:
    """Return the pairs of this host's chips that are joined."""
    ends = [(int(a["chip"]), int(b["chip"])) for a, b in data.get("ethernet_connections") or ()]
    return frozenset((min(pair), max(pair)) for pair in ends if pair[0] != pair[1] and set(pair) <= set(ids))


def _seated(
    data: Mapping[str, Any], ids: Sequence[int], links: frozenset[tuple[int, int]]
) -> tuple[MeshShape, tuple[int, ...]]:
    """Return the system mesh and its chips: by their own coordinates where they fill a grid, else by links."""
    seats = {(int(y), int(x)): int(chip) for chip, (x, y, *_) in (data.get("chips") or {}).items()}
    if sorted(seats.values()) == list(ids):
        shape = MeshShape(rows=1 + max(row for row, _ in seats), cols=1 + max(col for _, col in seats))
        if shape.devices == len(ids) and shape.rows <= shape.cols:
            return shape, tuple(seats[row, col] for row in range(shape.rows) for col in range(shape.cols))
    return arrange(ids, links)


def _boards(data: Mapping[str, Any], ids: Sequence[int]) -> dict[int, int]:
    """Return the board of each chip; one that stands on none has its own."""
    boards = dict.fromkeys(ids, -1)
    for number, parts in enumerate(data.get("boards") or ()):
        described = {key: value for part in parts for key, value in part.items()}
        boards |= {int(chip): number for chip in described["chips"]}
    return {chip: board if board >= 0 else len(ids) + chip for chip, board in boards.items()}


def _rings(shape: MeshShape) -> tuple[MeshShape, ...]:
    """Return the rows that can be laid round a rectangle two chips wide."""
    if min(shape.rows, shape.cols) == 1:
        return ()
    return tuple(MeshShape(rows=1, cols=2 * side) for side in range(2, max(shape.rows, shape.cols) + 1))
