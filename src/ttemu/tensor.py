"""Hold a tensor of all devices of a mesh as one torch tensor with two leading mesh dims."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any

import torch

from ttemu.allocator import Claim
from ttemu.configs import Tile
from ttemu.dtypes import ELEMENT_BYTES, DataType, Layout, StorageType, is_block_float
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig
from ttemu.mesh import MeshDevice
from ttemu.shapes import Shape

__all__ = ["Buffer", "Tensor", "padded_extents"]

RESHAPE_INTEGERS = 4
_OTHER_HANDLES = 3  # references that a Tensor's own buffer has while it is counted, plus one
_operators: dict[str, Callable[..., Any]] = {}


def bind_operators(functions: dict[str, Callable[..., Any]]) -> None:
    """Say which ops stand behind ``+``, ``[]``, ``.to`` and the like."""
    _operators.update(functions)


def padded_extents(shape: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    """Round the last two dims up to the tile; rank 0 and 1 become rank 2."""
    if layout is Layout.ROW_MAJOR:
        return shape or (1,)
    shape = (1,) * (2 - len(shape)) + shape
    return (*shape[:-2], *(-(-extent // TILE_SIZE) * TILE_SIZE for extent in shape[-2:]))


class Buffer:
    """Memory that one or several tensors name; ``data`` is None once it is deallocated.

    One device's part of a buffer dies with its ``whole``. A view has no memory of its own but that of its ``base``;
    as in ttnn it outlives the base, and takes it along when it is itself deallocated.
    """

    __slots__ = ("base", "borrowed", "claim", "data", "whole")

    def __init__(
        self,
        data: torch.Tensor,
        *,
        borrowed: bool = False,
        whole: Buffer | None = None,
        base: Buffer | None = None,
    ) -> None:
        self.data: torch.Tensor | None = data
        self.whole = whole
        self.base = base
        self.claim: Claim | None = None
        # True when another buffer's torch tensor may share the storage, so a writer must copy first.
        self.borrowed = borrowed

    def is_alive(self) -> bool:
        """Say whether the values still exist."""
        return self.data is not None and (self.whole is None or self.whole.data is not None)

    def owner(self) -> Buffer | None:
        """Return the buffer whose memory this one names, None if it is its own."""
        return self.whole or self.base

    def free(self) -> None:
        """Forget the values and give back the memory."""
        self.data = None
        owner = self.owner()
        if owner is not None:
            owner.free()
        elif self.claim is not None:
            self.claim.release()


class Tensor:
    """A tensor on host (``mesh`` None) or on every device of ``span`` rows and columns of a mesh.

    The buffer's data is ``[span rows or 1, span cols or 1, *logical shape of a shard]``.
    """

    __slots__ = ("_memory", "buffer", "dtype", "extents", "layout", "mesh", "span")

    def __init__(
        self,
        buffer: Buffer,
        dtype: DataType,
        layout: Layout,
        memory: MemoryConfig | None,
        mesh: MeshDevice | None,
        span: tuple[int, int],
    ) -> None:
        if buffer.data is None:
            raise RuntimeError("Tensor: buffer is not allocated")
        self.buffer = buffer
        self.dtype = dtype
        self.layout = layout
        self.mesh = mesh
        self.span = span
        self.extents: tuple[int, ...] = tuple(buffer.data.shape[2:])
        self._memory = memory
        if mesh is not None and buffer.claim is None and buffer.base is None and buffer.whole is None:
            buffer.claim = mesh.allocator.claim(self.extents, dtype, layout, memory)

    @property
    def shape(self) -> Shape:
        """Logical shape of one device's shard."""
        return Shape(self.extents)

    @property
    def padded(self) -> tuple[int, ...]:
        """Padded extents of one device's shard."""
        return padded_extents(self.extents, self.layout)

    @property
    def padded_shape(self) -> Shape:
        """Padded shape of one device's shard."""
        return Shape(self.padded)

    @property
    def tile(self) -> Tile:
        """Tile of the layout: 32x32."""
        return Tile()

    def get_layout(self) -> Layout:
        """Return the layout."""
        return self.layout

    def get_dtype(self) -> DataType:
        """Return the number format."""
        return self.dtype

    def device(self) -> MeshDevice | None:
        """Return the mesh, or None for a host tensor."""
        return self.mesh

    def storage_type(self) -> StorageType:
        """Return HOST or DEVICE."""
        return StorageType.HOST if self.mesh is None else StorageType.DEVICE

    def memory_config(self) -> MemoryConfig:
        """Return where the tensor lies."""
        return self._memory or DRAM_MEMORY_CONFIG

    def is_sharded(self) -> bool:
        """Say whether the tensor is sharded over cores."""
        return self.memory_config().is_sharded()

    def is_allocated(self) -> bool:
        """Say whether the values still exist."""
        return self.buffer.is_alive() and (self.mesh is None or self.mesh.is_open)

    def logical_volume(self) -> int:
        """Return the number of elements of a shard."""
        return math.prod(self.extents)

    def volume(self) -> int:
        """Return the number of elements of a shard with its padding, as ttnn does under this name."""
        return math.prod(self.padded)

    def element_size(self) -> int:
        """Return the bytes of an element; a block float has none."""
        if is_block_float(self.dtype):
            raise ValueError("datum for bfp2, bfp4, bfp8 is invalid")
        return ELEMENT_BYTES[self.dtype]

    def data(self, op: str) -> torch.Tensor:
        """Return what is stored, refusing a dead tensor in the name of ``op``."""
        data = self.buffer.data
        if data is None or not self.buffer.is_alive():
            raise RuntimeError(f"{op}: input tensor {self.shape} is not allocated, it was deallocated before")
        if self.mesh is not None and not self.mesh.is_open:
            raise RuntimeError(f"{op}: input tensor {self.shape} is not allocated, its mesh device is closed")
        return data

    def deallocate(self, force: bool = False) -> None:
        """Free the memory; with ``force`` also while other tensors name it."""
        if force or not self._is_shared():
            self.buffer.free()

    def _is_shared(self) -> bool:
        owner = self.buffer.owner()
        # ``owner`` is a reference of its own.
        shared = owner is not None and sys.getrefcount(owner) > _OTHER_HANDLES
        return shared or sys.getrefcount(self.buffer) >= _OTHER_HANDLES

    def buffer_address(self) -> int:
        """Return where the tensor's memory starts in every bank."""
        self.data("ttnn.Tensor.buffer_address")
        claim = (self.buffer.owner() or self.buffer).claim
        return 0 if claim is None else claim.address

    def cpu(self, blocking: bool = True, cq_id: int | None = None) -> Tensor:
        """Return a host copy."""
        return _call("from_device", self, blocking, queue_id=cq_id)

    def to(self, target: MeshDevice | Layout, memory_config: MemoryConfig | None = None) -> Tensor:
        """Return the tensor on a mesh device or in a layout."""
        if isinstance(target, MeshDevice):
            return _call("to_device", self, target, memory_config=memory_config)
        if not isinstance(target, Layout):
            raise TypeError(f"to(): incompatible function arguments {target!r}")
        return _call("to_layout", self, target)

    def reshape(self, *shape: int | Sequence[int] | Shape) -> Tensor:
        """Return the values in another shape, given as one sequence or as four integers."""
        if len(shape) not in {1, RESHAPE_INTEGERS}:
            raise TypeError(f"reshape(): incompatible function arguments {shape!r}")
        return _call("reshape", self, shape[0] if len(shape) == 1 else shape)

    def to_torch(self) -> torch.Tensor:
        """Return the values of a tensor with one shard."""
        result: torch.Tensor = _operators["to_torch"](self)
        return result

    def item(self) -> float:
        """Return the value of a tensor with one element."""
        return float(self.to_torch().item())

    def __getitem__(self, key: int | slice | EllipsisType | tuple[int | slice | EllipsisType, ...]) -> Tensor:
        return _call("getitem", self, key)

    def __add__(self, other: Tensor | float) -> Tensor:
        return _call("add", self, other)

    def __radd__(self, other: float) -> Tensor:
        return _call("add", self, other)

    def __sub__(self, other: Tensor | float) -> Tensor:
        return _call("subtract", self, other)

    def __rsub__(self, other: float) -> Tensor:
        return _call("rsub", self, other)

    def __mul__(self, other: Tensor | float) -> Tensor:
        return _call("multiply", self, other)

    def __rmul__(self, other: float) -> Tensor:
        return _call("multiply", self, other)

    def __truediv__(self, other: Tensor | float) -> Tensor:
        return _call("divide", self, other)

    def __rtruediv__(self, other: float) -> Tensor:
        return _call("rdiv", self, other)

    def __matmul__(self, other: Tensor) -> Tensor:
        return _call("matmul", self, other)

    def __eq__(self, other: Tensor | float) -> Tensor:  # type: ignore[override]  # elementwise, as in ttnn
        return _call("eq", self, other)

    def __ne__(self, other: Tensor | float) -> Tensor:  # type: ignore[override]  # elementwise, as in ttnn
        return _call("ne", self, other)

    def __lt__(self, other: Tensor | float) -> Tensor:
        return _call("lt", self, other)

    def __le__(self, other: Tensor | float) -> Tensor:
        return _call("le", self, other)

    def __gt__(self, other: Tensor | float) -> Tensor:
        return _call("gt", self, other)

    def __ge__(self, other: Tensor | float) -> Tensor:
        return _call("ge", self, other)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        place = "host" if self.mesh is None else f"{self.span[0]}x{self.span[1]} mesh"
        return f"ttnn.Tensor(shape={self.shape}, dtype={self.dtype}, layout={self.layout}, {place})"


def _call(name: str, *args: object, **kwargs: object) -> Tensor:
    result: Tensor = _operators[name](*args, **kwargs)
    return result
