"""Compare what both libraries make of the same numbers, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from tests.fidelity.libraries import Libraries, bits, tensors
from tests.fidelity.tally import Tally

__all__ = ["BLOCK_FLOATS", "DTYPES", "RANGES", "UNDEFINED", "compare", "describe", "refuse"]

BLOCK_FLOATS = ("bfloat8_b", "bfloat4_b")
RANGES = {
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "int8": (-(2**7), 2**7 - 1),
    "int32": (-(2**31), 2**31 - 1),
}
"""Inclusive ranges of ttnn's integer dtypes."""
DTYPES = ("bfloat16", "float32", *BLOCK_FLOATS, "fp8_e4m3", *RANGES)
UNDEFINED = "a number beyond the integer's range: ttnn's result depends on its place in the tensor, ttemu refuses it"

Call = Callable[[ModuleType], Any]


def read(library: ModuleType, tensor: Any) -> torch.Tensor:
    """Return the numbers of a host tensor; fp8 comes back through float32, ttnn knows no other way."""
    if tensor.dtype == library.fp8_e4m3:
        tensor = library.to_dtype(tensor, library.float32)
    result: torch.Tensor = library.to_torch(tensor)
    return result


def describe(library: ModuleType, tensor: Any) -> list[Any]:
    """Return the numbers of a host tensor, and what it is."""
    kind = [str(tensor.dtype), str(tensor.layout), list(tensor.shape), list(tensor.padded_shape)]
    return [read(library, tensor), *kind]


def compare(libraries: Libraries, tally: Tally, text: str, elements: int, call: Call) -> None:
    """Count a case: the same bits in the same dtype and shape, or the same class of error."""
    real, emulated = libraries.outcomes(call)
    if isinstance(real, Exception) or isinstance(emulated, Exception):
        if type(real) is type(emulated):
            tally.agree(0)  # both refuse: no number was compared
        else:
            tally.differ(f"{text}: ttnn {_brief(real)}, ttemu {_brief(emulated)}", elements)
        return
    difference = _difference(tensors(real), tensors(emulated))
    if difference is None:
        tally.agree(elements)
    else:
        tally.differ(f"{text}: {difference}", elements)


def refuse(libraries: Libraries, tally: Tally, text: str, call: Call) -> None:
    """Count a case whose real result is not defined: the emulator must refuse it."""
    try:
        call(libraries.emulated)
    except RuntimeError:
        tally.excuse(UNDEFINED, 1)
    else:
        tally.differ(f"{text}: ttemu gives a result where ttnn's is not defined", 1)


def _brief(outcome: object) -> str:
    if isinstance(outcome, Exception):
        return f"raises {type(outcome).__name__} ({' '.join(str(outcome).split())[:160]})"
    return "gives a result"


def _difference(real: list[Any], emulated: list[Any]) -> str | None:
    if len(real) != len(emulated):
        return f"ttnn gives {len(real)} tensors, ttemu {len(emulated)}"
    for index, (left, right) in enumerate(zip(real, emulated, strict=True)):
        if not isinstance(left, torch.Tensor):
            if left != right:
                return f"ttnn gives {left}, ttemu {right}"
            continue
        if left.dtype is not right.dtype or left.shape != right.shape:
            return f"ttnn gives {left.dtype} {list(left.shape)}, ttemu {right.dtype} {list(right.shape)}"
        if torch.equal(bits(left), bits(right)):
            continue
        rows = left.element_size()
        wrong = (bits(left).view(-1, rows) != bits(right).view(-1, rows)).any(-1)
        place = int(wrong.nonzero()[0])
        pair = [_hex(tensor, place) for tensor in (left, right)]
        return (
            f"tensor {index}: {int(wrong.sum())} of {left.numel()} differ, at {place} ttnn {pair[0]}, ttemu {pair[1]}"
        )
    return None


def _hex(tensor: torch.Tensor, place: int) -> str:
    size = tensor.element_size()
    raw = bytes(bits(tensor)[place * size : (place + 1) * size].tolist())
    return f"{tensor.flatten()[place].item()!r} (0x{raw[::-1].hex()})"
