"""Describe a cluster of Tenstorrent chips in the YAML that ttnn reads in place of hardware.

The layout follows what ttnn 0.81.1 accepts: every chip has PCIe and neighbours are joined by
four Ethernet links, two on Blackhole. With 32 chips ttnn takes the cluster for a Galaxy and matches trays and
positions against the real one, so that size has its arrangement: 8 rows of 4, in four trays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshsweep.shape import MeshShape

__all__ = ["ARCHITECTURES", "describe"]

#: Rows of Tensix cores that are switched off, and other harvesting, as real boards have it.
ARCHITECTURES: Mapping[str, Mapping[str, int]] = {
    "wormhole_b0": {"harvest_mask": 65, "eth_harvesting_mask": 0, "pcie_harvesting_mask": 0},
    "blackhole": {"harvest_mask": 192, "eth_harvesting_mask": 288, "pcie_harvesting_mask": 2},
}

_GALAXY = MeshShape(rows=8, cols=4)
#: Chips of the largest cluster that ttnn takes as it is described; above it only a Galaxy is known.
_BIGGEST = {"wormhole_b0": 16, "blackhole": 8}
#: Part numbers, which ttnn reads the board type from: bits 36 and up of a board id.
_BOARDS = {"n150": 0x18, "p150": 0x40, "ubb": 0x35, "ubb_blackhole": 0x47}
#: Wormhole boards with fewer rows switched off than the two of N300 and T3K.
_WHOLE = {"n150": 64, "galaxy": 0}
#: Ethernet channels by side of the chip: down, up, right, left. Blackhole keeps 12 of its 14.
_CHANNELS = {
    "wormhole_b0": ((8, 9, 10, 11), (4, 5, 6, 7), (12, 13, 14, 15), (0, 1, 2, 3)),
    "blackhole": ((8, 9), (4, 5), (10, 11), (0, 1)),
}


def describe(shape: MeshShape, *, arch: str = "wormhole_b0") -> str:
    """Return the YAML of a cluster in which a mesh of ``shape`` can be opened."""
    grid = _GALAXY if shape.devices > _BIGGEST[arch] else shape
    chips = range(grid.devices)
    return "\n".join(
        [
            *("arch:", *(f"  {chip}: {arch}" for chip in chips)),
            "chips: {}",
            *("chip_unique_ids:", *(f"  {chip}: {1000 + chip}" for chip in chips)),
            *_connections(grid, arch),
            "ethernet_connections_to_remote_devices: []",
            *("chips_with_mmio:", *(f"  - {chip}: {chip}" for chip in chips)),
            *("harvesting:", *(line for chip in chips for line in _harvesting(chip, _masks(grid, arch)))),
            *("chip_to_bus_id:", *(f'  {chip}: "0x{bus:04x}"' for chip, bus in enumerate(_bus_ids(grid, arch)))),
            "boards:",
            *(line for number, group in enumerate(_boards(grid, arch)) for line in _board(number, *group)),
            "",
        ]
    )


def _connections(grid: MeshShape, arch: str) -> list[str]:
    pairs = list(_links(grid, arch))
    if not pairs:
        return ["ethernet_connections: []"]
    lines = ["ethernet_connections:"]
    for (chip, channel), (other, other_channel) in pairs:
        lines += ["  -", f"    - {{chip: {chip}, chan: {channel}}}", f"    - {{chip: {other}, chan: {other_channel}}}"]
    return lines


def _links(grid: MeshShape, arch: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    down, up, right, left = _CHANNELS[arch]
    for row in range(grid.rows):
        for col in range(grid.cols):
            chip = row * grid.cols + col
            if row + 1 < grid.rows:
                yield from (((chip, a), (chip + grid.cols, b)) for a, b in zip(down, up, strict=True))
            if col + 1 < grid.cols:
                yield from (((chip, a), (chip + 1, b)) for a, b in zip(right, left, strict=True))


def _masks(grid: MeshShape, arch: str) -> Mapping[str, int]:
    """Return the harvesting of the board that has this many chips; it decides the grid of worker cores."""
    board = "n150" if grid.devices == 1 else "galaxy" if grid == _GALAXY else ""
    rows = _WHOLE.get(board) if arch == "wormhole_b0" else None
    return ARCHITECTURES[arch] if rows is None else {**ARCHITECTURES[arch], "harvest_mask": rows}


def _harvesting(chip: int, masks: Mapping[str, int]) -> list[str]:
    return [
        f"  {chip}:",
        "    noc_translation: true",
        "    dram_harvesting_mask: 0",
        *(f"    {name}: {mask}" for name, mask in masks.items()),
    ]


def _boards(grid: MeshShape, arch: str) -> list[tuple[str, list[int]]]:
    """Return the type and the chips of each board."""
    chips = list(range(grid.devices))
    if arch == "blackhole" and grid != _GALAXY:
        return [("p150", [chip]) for chip in chips]
    if grid.devices == 1:
        return [("n150", chips)]
    return [("ubb" if arch == "wormhole_b0" else "ubb_blackhole", chips)]


def _board(number: int, kind: str, chips: list[int]) -> list[str]:
    head = ["  -", f"    - board_id: {(_BOARDS[kind] << 36) + number}", f"    - board_type: {kind}", "    - chips:"]
    return [*head, *(f"        - {chip}" for chip in chips)]


def _bus_ids(grid: MeshShape, arch: str) -> list[int]:
    """Return tray (high nibble) and location (low nibble) of each chip, row-major."""
    if grid != _GALAXY:
        # Boards stand in trays of their own, a Wormhole grid in one.
        return [chip * 0x20 + 1 if arch == "blackhole" else chip + 1 for chip in range(grid.devices)]
    trays = ((0xC0, 0x00), (0x40, 0x80))
    ids = []
    for row in range(grid.rows):
        for col in range(grid.cols):
            # Counted from the grid's nearest corner: rows first.
            inner_row = min(row, grid.rows - 1 - row)
            inner_col = min(col, grid.cols - 1 - col)
            ids.append(trays[row // 4][col // 2] + 1 + inner_row + 4 * inner_col)
    return ids
