"""Account for the memory of a mesh's chips as ttnn's allocator does: first fit, in step on all banks and devices.

No value lies here: a claim is an address and a number of bytes in every bank of a region. Tensors and semaphores
are counted; what kernels hold besides, such as their tables and their circular buffers in L1, is not.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

from ttemu.cores import CoreCoord, divup
from ttemu.dtypes import ELEMENT_BYTES, DataType, Layout
from ttemu.formats import BLOCK, MAGNITUDE_BITS
from ttemu.machine import Chip
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, BufferType, MemoryConfig

__all__ = ["Allocator", "Claim", "MemoryView", "Region", "Reserved"]

_L1_PAGE_ALIGNMENT = 16
_TRACE_PAGE_BYTES = 8192
_TILE_ELEMENTS = TILE_SIZE * TILE_SIZE
_TILE_BYTES = {dtype: size * _TILE_ELEMENTS for dtype, size in ELEMENT_BYTES.items()} | {
    dtype: _TILE_ELEMENTS // BLOCK + _TILE_ELEMENTS * (bits + 1) // 8 for dtype, bits in MAGNITUDE_BITS.items()
}
_SMALL_HINT = " The L1_SMALL region is sized at device open; increase l1_small_size when opening the device."


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryView:
    """How full one kind of memory is; every bank of it is equally full."""

    num_banks: int
    total_bytes_per_bank: int
    total_bytes_allocated_per_bank: int
    total_bytes_free_per_bank: int
    largest_contiguous_bytes_free_per_bank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """What the opening of a mesh takes from the banks, in bytes; 0 is ttnn's own choice."""

    l1_small_size: int = 0
    trace_region_size: int = 0
    worker_l1_size: int = 0


class Claim:
    """Bytes that a buffer holds in every bank, until it is released or forgotten."""

    __slots__ = ("address", "end", "region")

    def __init__(self, region: Region, address: int, end: int) -> None:
        self.region: Region | None = region
        self.address = address
        self.end = end

    def release(self) -> None:
        """Give the bytes back; a second time does nothing."""
        if self.region is not None:
            self.region.returned.append((self.address, self.end))
            self.region = None

    __del__ = release


class Region:
    """Equal banks of one kind of memory, filled from their lower or their upper end."""

    def __init__(
        self, name: str, num_banks: int, base: int, end: int, *, alignment: int, downwards: bool = False
    ) -> None:
        self.name = name
        self._alignment = alignment
        self.num_banks = num_banks
        self.bank_bytes = end - base
        # Claims die whenever Python finds them dead, also amid a claim: they only queue here, and the holes
        # (starts and ends, by address) change at the next claim.
        self.returned: list[tuple[int, int]] = []
        self._starts, self._ends = [base], [end]
        self._downwards = downwards

    def claim(self, per_bank: int, num_banks: int | None = None, total: int | None = None) -> Claim:
        """Return ``per_bank`` bytes of every bank, for a buffer of ``total`` bytes on ``num_banks``."""
        if self.returned:
            self._take_back()
        starts, ends = self._starts, self._ends
        size = -(-per_bank // self._alignment) * self._alignment
        hole, step = (len(starts) - 1, -1) if self._downwards else (0, 1)
        while -1 < hole < len(starts) and ends[hole] - starts[hole] < size:
            hole += step
        if not -1 < hole < len(starts):
            raise self._refusal(per_bank, num_banks or self.num_banks, total or per_bank)
        if self._downwards:
            end = ends[hole]
            address = ends[hole] = end - size
        else:
            address = starts[hole]
            end = starts[hole] = address + size
        if starts[hole] == ends[hole]:
            del starts[hole], ends[hole]
        return Claim(self, address, end)

    def _take_back(self) -> None:
        """Turn what was returned into holes, joined with their neighbours."""
        starts, ends = self._starts, self._ends
        while self.returned:
            start, end = self.returned.pop()
            at = bisect_left(starts, start)
            if at < len(starts) and starts[at] == end:
                end = ends[at]
                del starts[at], ends[at]
            if at and ends[at - 1] == start:
                ends[at - 1] = end
            else:
                starts.insert(at, start)
                ends.insert(at, end)

    def view(self) -> MemoryView:
        """Return how full the banks are."""
        self._take_back()
        holes = [end - start for start, end in zip(self._starts, self._ends, strict=True)]
        return MemoryView(
            num_banks=self.num_banks,
            total_bytes_per_bank=self.bank_bytes,
            total_bytes_allocated_per_bank=self.bank_bytes - sum(holes),
            total_bytes_free_per_bank=sum(holes),
            largest_contiguous_bytes_free_per_bank=max(holes, default=0),
        )

    def _refusal(self, per_bank: int, num_banks: int, total: int) -> RuntimeError:
        view = self.view()
        return RuntimeError(
            f"Out of Memory: Not enough space to allocate {total} B {self.name} buffer across {num_banks} banks, "
            f"where each bank needs to store {per_bank} B, but bank size is {self.bank_bytes} B "
            f"(allocated: {view.total_bytes_allocated_per_bank} B, free: {view.total_bytes_free_per_bank} B, "
            f"largest free block: {view.largest_contiguous_bytes_free_per_bank} B)."
            + (_SMALL_HINT if self.name == BufferType.L1_SMALL.name else "")
        )


class Allocator:
    """The DRAM and L1 of a mesh's chips; all of them hold the same, a replicated tensor counts on each."""

    def __init__(self, chip: Chip, grid: CoreCoord, reserved: Reserved) -> None:
        self._alignment = chip.alignment
        self.regions = _dram(chip, reserved) | _l1(chip, grid.x * grid.y, reserved)
        # Bytes and pages by what a tensor is: the same few tensors are made again and again.
        self._sizes: dict[tuple[tuple[int, ...], DataType, Layout, BufferType], tuple[Region, int, int]] = {}

    def claim(
        self, extents: tuple[int, ...], dtype: DataType, layout: Layout, config: MemoryConfig | None
    ) -> Claim | None:
        """Return the memory of one device's shard, None for one without elements."""
        if config is None:
            config = DRAM_MEMORY_CONFIG
        if config.shard_spec is not None:
            return self._claim_shards(extents, dtype, layout, config)
        key = (extents, dtype, layout, config.buffer_type)
        found = self._sizes.get(key)
        if found is None:
            found = self._sizes[key] = self._interleaved(*key)
        region, per_bank, total = found
        return region.claim(per_bank, None, total) if per_bank else None

    def need_room(self, extents: tuple[int, ...], dtype: DataType, layout: Layout, config: MemoryConfig | None) -> None:
        """Refuse a shard that does not fit now, before its values exist."""
        self.claim(extents, dtype, layout, config)

    def claim_counter(self, kind: BufferType, num_cores: int) -> Claim:
        """Return the memory of a counter on some cores: the least that a bank gives."""
        return self.regions[kind].claim(self._alignment, num_cores)

    def _interleaved(
        self, extents: tuple[int, ...], dtype: DataType, layout: Layout, kind: BufferType
    ) -> tuple[Region, int, int]:
        """Return where and, per bank and in all, how many bytes: pages (tiles, or rows) are dealt to banks in turn."""
        if kind is BufferType.L1_SMALL:
            raise RuntimeError("L1_SMALL only supports sharded allocations")
        region = self.regions[kind]
        if layout is Layout.TILE:
            rows, cols = ((1, 1, *extents))[-2:]
            pages = math.prod(extents[:-2]) * divup(rows, TILE_SIZE) * divup(cols, TILE_SIZE)
        else:
            pages = math.prod(extents[:-1]) if 0 not in extents else 0
        page = self._page(region, dtype, layout, extents[-1] if extents else 1)
        return region, divup(pages, region.num_banks or 1) * page, pages * page

    def _claim_shards(
        self, extents: tuple[int, ...], dtype: DataType, layout: Layout, config: MemoryConfig
    ) -> Claim | None:
        """Claim one shard's bytes in every bank: the others stay in step with those that hold shards."""
        assert config.shard_spec is not None
        region = self.regions[config.buffer_type]
        height, width = config.shard_spec.shape
        tile = TILE_SIZE if layout is Layout.TILE else 1
        pages = divup(height, tile) * (divup(width, tile) if layout is Layout.TILE else 1)
        per_bank = pages * self._page(region, dtype, layout, width)
        rows, cols = ((1, 1, *extents))[-2:]
        banks = divup(math.prod(extents[:-2]) * _up(rows, tile), height) * divup(cols, width)
        return region.claim(per_bank, banks, per_bank * banks) if banks else None

    def _page(self, region: Region, dtype: DataType, layout: Layout, width: int) -> int:
        """Return the bytes from one page to the next."""
        if layout is Layout.TILE:
            return _TILE_BYTES[dtype]
        in_l1 = region.name.startswith(BufferType.L1.name)
        return _up(width * ELEMENT_BYTES[dtype], _L1_PAGE_ALIGNMENT if in_l1 else self._alignment)


def _dram(chip: Chip, reserved: Reserved) -> dict[BufferType, Region]:
    trace = divup(divup(reserved.trace_region_size, _TRACE_PAGE_BYTES), chip.dram_banks) * _TRACE_PAGE_BYTES
    if trace > chip.dram_bank_bytes:
        raise RuntimeError(
            f"open_mesh_device: trace_region_size {reserved.trace_region_size} exceeds the DRAM, "
            "the real library counts below zero here"
        )
    end = chip.dram_base + chip.dram_bank_bytes
    return {
        BufferType.DRAM: Region("DRAM", chip.dram_banks, chip.dram_base, end - trace, alignment=chip.alignment),
        BufferType.TRACE: Region("TRACE", chip.dram_banks, end - trace, end, alignment=chip.alignment),
    }


def _l1(chip: Chip, num_cores: int, reserved: Reserved) -> dict[BufferType, Region]:
    if reserved.worker_l1_size > chip.max_l1_bytes:
        raise RuntimeError(
            f"open_mesh_device: Worker L1 size {reserved.worker_l1_size} is larger than max size {chip.max_l1_bytes}"
        )
    worker = reserved.worker_l1_size // chip.alignment * chip.alignment or chip.l1_bytes
    small = _up(reserved.l1_small_size, chip.alignment)
    if small >= worker:
        raise RuntimeError(
            f"open_mesh_device: Reserved size must be less than bank size, l1_small_size is {small} B of {worker} B"
        )
    end, middle = chip.l1_end, chip.l1_end - small
    few = num_cores if small else 0
    return {
        BufferType.L1: Region("L1", num_cores, end - worker, middle, alignment=chip.alignment, downwards=True),
        BufferType.L1_SMALL: Region("L1_SMALL", few, middle, end, alignment=chip.alignment, downwards=True),
    }


def _up(size: int, unit: int) -> int:
    return divup(size, unit) * unit
