"""Name the number formats and layouts of ttnn and say how each is held in torch."""

from __future__ import annotations

from enum import Enum

import torch

__all__ = [
    "DataType",
    "Layout",
    "StorageType",
    "bfloat2_b",
    "bfloat4_b",
    "bfloat8_b",
    "bfloat16",
    "float32",
    "fp8_e4m3",
    "int8",
    "int32",
    "is_block_float",
    "is_floating",
    "uint8",
    "uint16",
    "uint32",
]


class _PlainEnum(Enum):
    """An enum that prints as ttnn's do: ``DataType.BFLOAT16``."""

    # Enum's own hash goes through the member's name; dtypes are looked up several times per op.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return str(self)


class DataType(_PlainEnum):
    """A number format of ttnn."""

    BFLOAT16 = 0
    FLOAT32 = 1
    UINT32 = 2
    BFLOAT8_B = 3
    BFLOAT4_B = 4
    UINT8 = 5
    UINT16 = 6
    INT32 = 7
    FP8_E4M3 = 8
    INT8 = 9
    # ttnn's host code packs it, ttnn has no name for it: not public here either.
    BFLOAT2_B = 11


class Layout(_PlainEnum):
    """The order of a tensor's elements in memory."""

    ROW_MAJOR = 0
    TILE = 1


class StorageType(_PlainEnum):
    """Where a tensor lives."""

    HOST = 0
    DEVICE = 1


bfloat16 = DataType.BFLOAT16
float32 = DataType.FLOAT32
bfloat8_b = DataType.BFLOAT8_B
bfloat4_b = DataType.BFLOAT4_B
bfloat2_b = DataType.BFLOAT2_B
fp8_e4m3 = DataType.FP8_E4M3
uint8 = DataType.UINT8
uint16 = DataType.UINT16
uint32 = DataType.UINT32
int32 = DataType.INT32
int8 = DataType.INT8

BLOCK_FLOATS = frozenset({bfloat8_b, bfloat4_b, bfloat2_b})
FLOATS = frozenset({bfloat16, float32, fp8_e4m3}) | BLOCK_FLOATS
# Inclusive range of each integer format.
INTEGERS = {
    uint8: (0, 2**8 - 1),
    uint16: (0, 2**16 - 1),
    uint32: (0, 2**32 - 1),
    int8: (-(2**7), 2**7 - 1),
    int32: (-(2**31), 2**31 - 1),
}

ELEMENT_BYTES = {bfloat16: 2, float32: 4, fp8_e4m3: 1, uint8: 1, uint16: 2, uint32: 4, int8: 1, int32: 4}

# What to_torch returns.
TORCH_DTYPES = {
    bfloat16: torch.bfloat16,
    float32: torch.float32,
    bfloat8_b: torch.float32,
    bfloat4_b: torch.float32,
    bfloat2_b: torch.float32,
    uint8: torch.uint8,
    uint16: torch.uint16,
    uint32: torch.uint32,
    int8: torch.int8,
    int32: torch.int32,
}

# What from_torch makes of a torch dtype when it is given none.
DEFAULT_DTYPES = {
    torch.float32: float32,
    torch.bfloat16: bfloat16,
    torch.float16: bfloat16,
    torch.int64: uint32,
    torch.int32: int32,
    torch.int16: uint16,
    torch.int8: int8,
    torch.uint8: uint8,
    torch.uint16: uint16,
    torch.uint32: uint32,
    torch.bool: uint8,
}


def is_block_float(dtype: DataType) -> bool:
    """Say whether 16 elements of ``dtype`` share one exponent."""
    return dtype in BLOCK_FLOATS


def is_floating(dtype: DataType) -> bool:
    """Say whether ``dtype`` holds real numbers."""
    return dtype in FLOATS
