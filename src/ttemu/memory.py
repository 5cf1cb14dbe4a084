"""Describe where and how sharded a tensor lies in a chip's memory, and check that it fits.

The emulator keeps no banks: a memory config is carried along, inferred, and checked, never acted upon.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ttemu.cores import CoreCoord, CoreGrid, CoreRange, CoreRangeSet, divup

__all__ = [
    "DRAM_MEMORY_CONFIG",
    "L1_BLOCK_SHARDED_MEMORY_CONFIG",
    "L1_HEIGHT_SHARDED_MEMORY_CONFIG",
    "L1_MEMORY_CONFIG",
    "L1_WIDTH_SHARDED_MEMORY_CONFIG",
    "BufferType",
    "MemoryConfig",
    "ShardOrientation",
    "ShardSpec",
    "ShardStrategy",
    "TensorMemoryLayout",
    "create_sharded_memory_config",
]

TILE_SIZE = 32


class BufferType(Enum):
    """A kind of memory of a chip."""

    # Enum's own hash goes through the member's name; every new tensor looks its memory up.
    __hash__ = object.__hash__

    DRAM = 0
    L1 = 1
    L1_SMALL = 3
    TRACE = 4


class TensorMemoryLayout(Enum):
    """How a tensor is spread over banks or cores."""

    INTERLEAVED = 0
    HEIGHT_SHARDED = 2
    WIDTH_SHARDED = 3
    BLOCK_SHARDED = 4
    ND_SHARDED = 5


class ShardOrientation(Enum):
    """In which order shards are dealt to cores."""

    ROW_MAJOR = 0
    COL_MAJOR = 1


class ShardStrategy(Enum):
    """How ``create_sharded_memory_config`` cuts a tensor."""

    HEIGHT = 1
    WIDTH = 2
    BLOCK = 3


@dataclass(frozen=True, slots=True, init=False)
class ShardSpec:
    """The cores that hold a tensor and the [height, width] that each of them holds."""

    grid: CoreRangeSet
    shape: Sequence[int]
    orientation: ShardOrientation

    def __init__(
        self,
        grid: CoreRangeSet,
        shard_shape: Sequence[int],
        shard_orientation: ShardOrientation = ShardOrientation.ROW_MAJOR,
    ) -> None:
        object.__setattr__(self, "grid", grid)
        object.__setattr__(self, "shape", list(shard_shape))
        object.__setattr__(self, "orientation", shard_orientation)

    def __hash__(self) -> int:
        return hash((self.grid, tuple(self.shape), self.orientation))

    def num_cores(self) -> int:
        """Return the number of cores."""
        return self.grid.num_cores()


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """Memory layout, kind of memory and, if sharded, the shards."""

    memory_layout: TensorMemoryLayout = TensorMemoryLayout.INTERLEAVED
    buffer_type: BufferType = BufferType.DRAM
    shard_spec: ShardSpec | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.memory_layout, TensorMemoryLayout) or not isinstance(self.buffer_type, BufferType):
            raise TypeError(f"MemoryConfig: incompatible function arguments ({self.memory_layout}, {self.buffer_type})")

    def is_sharded(self) -> bool:
        """Say whether the tensor is sharded over cores."""
        return self.memory_layout is not TensorMemoryLayout.INTERLEAVED


DRAM_MEMORY_CONFIG = MemoryConfig()
L1_MEMORY_CONFIG = MemoryConfig(TensorMemoryLayout.INTERLEAVED, BufferType.L1)
L1_HEIGHT_SHARDED_MEMORY_CONFIG = MemoryConfig(TensorMemoryLayout.HEIGHT_SHARDED, BufferType.L1)
L1_WIDTH_SHARDED_MEMORY_CONFIG = MemoryConfig(TensorMemoryLayout.WIDTH_SHARDED, BufferType.L1)
L1_BLOCK_SHARDED_MEMORY_CONFIG = MemoryConfig(TensorMemoryLayout.BLOCK_SHARDED, BufferType.L1)

_LAYOUTS = {
    ShardStrategy.HEIGHT: TensorMemoryLayout.HEIGHT_SHARDED,
    ShardStrategy.WIDTH: TensorMemoryLayout.WIDTH_SHARDED,
    ShardStrategy.BLOCK: TensorMemoryLayout.BLOCK_SHARDED,
}


def _as_range_set(core_grid: CoreGrid | CoreRangeSet) -> CoreRangeSet:
    if isinstance(core_grid, CoreGrid):
        return CoreRangeSet([CoreRange(CoreCoord(0, 0), CoreCoord(core_grid.x - 1, core_grid.y - 1))])
    return core_grid


def create_sharded_memory_config(
    shape: Sequence[int],
    core_grid: CoreGrid | CoreRangeSet,
    strategy: ShardStrategy,
    orientation: ShardOrientation | None = None,
    use_height_and_width_as_shard_shape: bool = False,
) -> MemoryConfig:
    """Return an L1 config that cuts a tensor of ``shape`` over ``core_grid``."""
    grid = _as_range_set(core_grid)
    order = orientation or ShardOrientation.ROW_MAJOR
    extents = list(shape)
    height, width = math.prod(extents[:-1]), extents[-1]
    if use_height_and_width_as_shard_shape:
        part = extents[-2:] if order is ShardOrientation.ROW_MAJOR else extents[:-3:-1]
        return MemoryConfig(_LAYOUTS[strategy], BufferType.L1, ShardSpec(grid, part, order))
    if isinstance(core_grid, CoreRangeSet):
        fact = "height and width must be shard shape with CoreRangeSet"
        raise RuntimeError(f"Invalid sharding: {fact}")  # noqa: TRY004 - ttnn's own class of error
    cores, box = grid.num_cores(), grid.bounding_box().grid_size()
    rows, cols = {
        ShardStrategy.HEIGHT: (cores, 1),
        ShardStrategy.WIDTH: (1, cores),
        ShardStrategy.BLOCK: (box.y, box.x) if order is ShardOrientation.ROW_MAJOR else (box.x, box.y),
    }[strategy]
    if height % rows or width % cols:
        raise RuntimeError(
            f"Invalid sharding: tensor [{height}, {width}] is not divisible over {rows} x {cols} cores "
            f"({strategy.name})"
        )
    return MemoryConfig(_LAYOUTS[strategy], BufferType.L1, ShardSpec(grid, (height // rows, width // cols), order))


def check_shards(op: str, config: MemoryConfig, padded: tuple[int, ...], grid: CoreCoord, *, tiled: bool) -> None:
    """Refuse a sharded ``config`` that does not cover a ``padded`` shape or whose shards leave the chip's ``grid``."""
    spec = config.shard_spec
    if spec is None:
        return
    height, width = spec.shape[0], spec.shape[1]
    if tiled and (height % TILE_SIZE or width % TILE_SIZE):
        raise RuntimeError(f"{op}: shard shape [{height}, {width}] must be a multiple of the 32x32 tile")
    last = padded[-1] if padded else 1
    counts = _check_cover(op, config.memory_layout, (math.prod(padded[:-1]), last), (height, width), spec)
    end = spec.grid.bounding_box().end
    if config.buffer_type is BufferType.DRAM or (end.x < grid.x and end.y < grid.y):
        return
    for core in _used_cores(config.memory_layout, spec, counts):
        if core.x >= grid.x or core.y >= grid.y:
            raise RuntimeError(f"{op}: invalid shard grid, core {core} has no L1 bank on a {grid.x}x{grid.y} grid")


def _used_cores(layout: TensorMemoryLayout, spec: ShardSpec, counts: tuple[int, int]) -> list[CoreCoord]:
    """Return the cores that hold shards: of a block the upper left part, else the first ones."""
    rows, cols = counts
    if layout is TensorMemoryLayout.BLOCK_SHARDED:
        box = spec.grid.bounding_box()
        tall, wide = (rows, cols) if spec.orientation is ShardOrientation.ROW_MAJOR else (cols, rows)
        return [CoreCoord(box.start.x + wide - 1, box.start.y + tall - 1)] if rows and cols else []
    cores = (
        CoreCoord(x, y)
        for item in spec.grid.ranges()
        for y in range(item.start.y, item.end.y + 1)
        for x in range(item.start.x, item.end.x + 1)
    )
    return list(itertools.islice(cores, rows * cols))


def _check_cover(
    op: str, layout: TensorMemoryLayout, tensor: tuple[int, int], shard: tuple[int, int], spec: ShardSpec
) -> tuple[int, int]:
    """Return how many shards there are down and across."""
    rows, cols = divup(tensor[0], shard[0]), divup(tensor[1], shard[1])
    cores = spec.num_cores()
    if layout is TensorMemoryLayout.HEIGHT_SHARDED and tensor[1] != shard[1]:
        raise RuntimeError(f"{op}: shard width {shard[1]} must match physical width {tensor[1]} for height sharded")
    if layout is TensorMemoryLayout.WIDTH_SHARDED and tensor[0] != shard[0]:
        raise RuntimeError(f"{op}: shard height {shard[0]} must match physical height {tensor[0]} for width sharded")
    if layout is TensorMemoryLayout.BLOCK_SHARDED:
        box = spec.grid.bounding_box().grid_size()
        tall, wide = (box.y, box.x) if spec.orientation is ShardOrientation.ROW_MAJOR else (box.x, box.y)
        if rows > tall or cols > wide:
            raise RuntimeError(f"{op}: number of shards {rows} x {cols} must not exceed the cores, {tall} x {wide}")
    if rows * cols > cores:
        raise RuntimeError(f"{op}: number of shards {rows * cols} must not exceed number of cores {cores}")
    return rows, cols
