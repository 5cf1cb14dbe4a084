"""Spoil one thing of a call: which fault, in which of its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.fidelity.draw import Draw

__all__ = ["TENSOR_FAULTS", "Fault", "pick"]

TENSOR_FAULTS = ("host", "dead", "kind", "layout", "dtype", "rank")
_DTYPES = ("B16", "B8", "F32", "U16", "U32", "I32")


@dataclass(frozen=True, slots=True)
class Fault:
    """The name of what is spoiled, empty for a good call, and the number of the tensor that it hits."""

    name: str
    at: int

    def __eq__(self, other: object) -> bool:
        return self.name == other

    __hash__ = None  # type: ignore[assignment]  # equal to its name, so no set may hold it

    def tensor(
        self, draw: Draw, number: int, shape: Sequence[int], *, dt: str = "B16", la: str = "TL", mc: str = ""
    ) -> str:
        """Return tensor ``number`` of the call, spoiled if it is the one."""
        name = self.name if number == self.at else ""
        if name == "kind":
            return draw.one(("2.0", "None"))
        if name == "rank":
            shape = list(shape[1:]) if len(shape) > 1 else [1, *shape]
        if name == "layout":
            la, mc = "RM" if la == "TL" else "TL", ""
        if name == "dtype":
            dt = draw.one([other for other in _DTYPES if other != dt])
        if la == "RM" and dt in {"B8", "B4"}:
            dt = "B16"
        if name == "host":
            return draw.tensor(shape, dtype=dt, layout=la, host=100)
        text = draw.tensor(shape, dtype=dt, layout=la, place=mc)
        return f"dead({text})" if name == "dead" else text


def pick(draw: Draw, faults: Sequence[str], tensors: int, percent: int = 28) -> Fault:
    """Return what is spoiled in this call: nothing in most."""
    name = draw.one(faults) if draw.chance(percent) else ""
    return Fault(name, draw.between(0, tensors - 1))
