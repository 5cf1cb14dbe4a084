"""A host as a frozen record: chips, boards, links, and the rules that hold for taking some of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from meshsweep.machines.placement import Placement, place
from meshsweep.shape import MeshShape

__all__ = ["Chip", "Machine", "seat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A chip: its id and place in the system mesh, its board, and how the host reaches it.

    ``pcie`` is the index that TT_VISIBLE_DEVICES knows it by, None where only its board's
    other chip is on PCIe; ``bus`` is the PCI address, where it is known.
    """

    id: int
    row: int
    col: int
    board: int
    pcie: int | None
    bus: str | None = None


def seat(
    shape: MeshShape, ids: Sequence[int], *, boards: Mapping[int, int], pcie: Sequence[int], bus: Mapping[int, str]
) -> tuple[Chip, ...]:
    """Return the chips ``ids``, row-major in the system mesh; ``pcie`` lists those on PCIe by their index."""
    return tuple(
        Chip(
            id=chip,
            row=at // shape.cols,
            col=at % shape.cols,
            board=boards[chip],
            pcie=pcie.index(chip) if chip in pcie else None,
            bus=bus.get(chip),
        )
        for at, chip in enumerate(ids)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A host. Without a shape it has no chips: each worker gets a virtual machine of its own.

    ``chips`` stand row-major; ``links`` are pairs of ids, the smaller first; ``rings`` are
    meshes of one row that are laid round a rectangle two chips wide.
    """

    name: str
    about: str
    shape: MeshShape | None
    runner: tuple[str, ...]
    arch: str = "wormhole_b0"
    chips: tuple[Chip, ...] = ()
    links: frozenset[tuple[int, int]] = frozenset()
    rings: tuple[MeshShape, ...] = ()

    def placements(self, shape: MeshShape) -> tuple[tuple[int, ...], ...]:
        """Return the chips of every place for a mesh, row-major in the mesh; the best places first."""
        return tuple(place.chips for place in self.places(shape))

    def places(self, shape: MeshShape) -> tuple[Placement, ...]:
        """Return every place for a mesh: aligned rectangles, others, turned ones, rings."""
        return _places(self, shape)

    def leased_with(self, chips: Collection[int]) -> frozenset[int]:
        """Return the chips that are taken with these: whole boards, where one hides behind another."""
        boards = {chip.board for chip in self.chips if chip.id in chips}
        remote = {chip.board for chip in self.chips if chip.pcie is None}
        return frozenset(chips) | {chip.id for chip in self.chips if chip.board in boards & remote}

    def visible(self, chips: Collection[int]) -> tuple[str, ...]:
        """Return what TT_VISIBLE_DEVICES must list: PCIe chips, by address where all are known, else by index."""
        leased = self.leased_with(chips)
        seen = [(chip.pcie, chip.bus) for chip in self.chips if chip.id in leased and chip.pcie is not None]
        if all(bus is not None for _, bus in seen):
            return tuple(sorted(str(bus) for _, bus in seen))
        # Addresses and indices together are read differently by different releases: one kind only.
        return tuple(str(index) for index in sorted(index for index, _ in seen))

    def needs_graph(self, chips: Collection[int]) -> bool:
        """Return whether a process that sees these chips must be told their mesh by a graph descriptor."""
        leased = self.leased_with(chips)
        return len(leased) > 1 and len(leased) < len(self.chips)

    def to_json(self) -> dict[str, object]:
        """Return the machine as JSON values."""
        return {
            "name": self.name,
            "about": self.about,
            "shape": str(self.shape) if self.shape else None,
            "runner": list(self.runner),
            "arch": self.arch,
            "chips": [asdict(chip) for chip in self.chips],
            "links": sorted(list(link) for link in self.links),
            "rings": [str(ring) for ring in self.rings],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Machine:
        """Return the machine that ``to_json`` wrote."""
        return cls(
            name=data["name"],
            about=data["about"],
            shape=MeshShape.parse(data["shape"]) if data["shape"] else None,
            runner=tuple(data["runner"]),
            arch=data["arch"],
            chips=tuple(Chip(**chip) for chip in data["chips"]),
            links=frozenset((low, high) for low, high in data["links"]),
            rings=tuple(MeshShape.parse(ring) for ring in data["rings"]),
        )


@lru_cache(maxsize=256)
def _places(machine: Machine, shape: MeshShape) -> tuple[Placement, ...]:
    if machine.shape is None:
        return ()
    ids = tuple(chip.id for chip in machine.chips)
    return place(machine.shape, ids, machine.links, shape, is_ring=shape in machine.rings)
