"""Collect the generators of calls and the calls that are written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fidelity.case import Case
from tests.fidelity.draw import Draw

__all__ = ["GENERATORS", "MESHES", "Generator", "generates", "written"]

MESHES = ("1x1", "1x8", "2x4", "4x8")
_WRITTEN = Path(__file__).with_name("written.txt")


@dataclass(frozen=True, slots=True)
class Generator:
    """How calls of one op are drawn: how many, on which meshes, and by which function of (draw, mesh)."""

    cases: int
    meshes: Sequence[str]
    call: Callable[[Draw, str], str]


GENERATORS: dict[str, Generator] = {}


def generates(
    *names: str, cases: int = 16, meshes: Sequence[str] = ("1x8",)
) -> Callable[[Callable[[Draw, str, str], str]], Callable[[Draw, str, str], str]]:
    """Register a function of (draw, mesh, name) that writes one call of each op in ``names``.

    A name is what stands behind ``ttnn.``; a mesh that is named twice is drawn twice as often.
    """

    def register(function: Callable[[Draw, str, str], str]) -> Callable[[Draw, str, str], str]:
        for name in names:
            if name in GENERATORS:
                raise ValueError(f"two generators for {name}")
            GENERATORS[name] = Generator(cases, meshes, lambda draw, mesh, name=name: function(draw, mesh, name))
        return function

    return register


def written() -> list[Case]:
    """Return the calls of ``written.txt``: a line each, under headings ``# op mesh``."""
    cases, op, mesh = [], "", ""
    for line in _WRITTEN.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            op, mesh = line[2:].split()
        elif line:
            cases.append(Case(op, mesh, line))
    return cases
