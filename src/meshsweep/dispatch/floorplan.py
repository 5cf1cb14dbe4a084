"""The places of meshes on a machine as bit sets, and which free place spoils least."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from meshsweep.machines import Machine
from meshsweep.shape import MeshShape

__all__ = ["Floorplan"]


class Floorplan:
    """Chips as bits: a place is the bits that are leased for it, and the chips that open the mesh."""

    def __init__(self, machine: Machine, meshes: Mapping[str, MeshShape]) -> None:
        self._machine = machine
        self._bits = {chip.id: 1 << at for at, chip in enumerate(machine.chips)}
        self.all = (1 << len(machine.chips)) - 1
        self._rings: set[tuple[int, tuple[int, ...]]] = set()
        self.places = {mesh: self._of(shape) for mesh, shape in meshes.items()}
        # The smallest mesh stands in for tests without one.
        self.places[""] = min(
            (places for places in self.places.values() if places),
            key=lambda places: places[0][0].bit_count(),
            default=[],
        )
        self._found: dict[tuple[str, int], tuple[int, tuple[int, ...]] | None] = {}
        masks = {mask for places in self.places.values() for mask, _ in places}
        self._masks = sorted(masks, key=int.bit_count, reverse=True)

    def mask(self, chips: Collection[int]) -> int:
        """Return chips as bits."""
        return sum(self._bits[chip] for chip in set(chips))

    def mesh_of(self, place: tuple[int, ...]) -> str:
        """Return a mesh that is opened on these very chips."""
        return next(mesh for mesh, places in self.places.items() if mesh and any(place == chips for _, chips in places))

    def size(self, mesh: str) -> int:
        """Return how many chips are leased for a mesh; 0 where it has no place."""
        places = self.places[mesh]
        return places[0][0].bit_count() if places else 0

    def holds(self, mesh: str, usable: int) -> bool:
        """Return whether a mesh has any place among usable chips."""
        return any(not mask & ~usable for mask, _ in self.places[mesh])

    def find(self, mesh: str, free: int) -> tuple[int, tuple[int, ...]] | None:
        """Return the bits and chips of the free place that leaves most to larger meshes."""
        key = (mesh, free)
        if key not in self._found:
            places = [place for place in self.places[mesh] if not place[0] & ~free]
            # A ring is laid only where no rectangle is free: its mesh is not what the chips look like.
            plain = [place for place in places if place not in self._rings]
            self._found[key] = self._best(plain or places, free) if places else None
        return self._found[key]

    def soonest(self, mesh: str, usable: int, busy: list[tuple[int, float]]) -> int | None:
        """Return the bits of the usable place that is free first, given until when chips are busy."""

        def until_s(place: int) -> float:
            return max((until for mask, until in busy if mask & place), default=0.0)

        return min((mask for mask, _ in self.places[mesh] if not mask & ~usable), key=until_s, default=None)

    def _best(self, places: list[tuple[int, tuple[int, ...]]], free: int) -> tuple[int, tuple[int, ...]]:
        size = places[0][0].bit_count()
        larger = [(mask, mask.bit_count()) for mask in self._masks if not mask & ~free and mask.bit_count() > size]
        if not larger or len(places) == 1:
            return places[0]
        return min(places, key=lambda place: sum(weight for mask, weight in larger if mask & place[0]))

    def _of(self, shape: MeshShape) -> list[tuple[int, tuple[int, ...]]]:
        found = []
        for place in self._machine.places(shape):
            found.append((self.mask(self._machine.leased_with(place.chips)), place.chips))
            if place.kind == "ring":
                self._rings.add(found[-1])
        return found
