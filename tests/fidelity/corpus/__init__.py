"""Generate the calls: each module here holds the generators of a family of ops."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from tests.fidelity.case import Case
from tests.fidelity.corpus.registry import GENERATORS, written
from tests.fidelity.draw import Draw

__all__ = ["SEED", "corpus"]

SEED = 3
#: Draws that may repeat earlier calls before an op counts as exhausted.
_PATIENCE = 20

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def corpus(seed: int = SEED, *, scale: float = 1.0, ops: Iterable[str] | None = None) -> list[Case]:
    """Return the cases of a seed, written ones first; ``scale`` makes each op's share larger or smaller."""
    chosen = None if ops is None else set(ops)
    cases = [case for case in written() if chosen is None or case.op in chosen]
    for name, generator in sorted(GENERATORS.items()):
        if chosen is None or name in chosen:
            cases += _draw(name, seed, max(1, round(generator.cases * scale)))
    return list(dict.fromkeys(cases))


def _draw(name: str, seed: int, count: int) -> list[Case]:
    generator, draw = GENERATORS[name], Draw(f"{seed}:{name}")
    found: dict[Case, None] = {}
    for _ in range(count * _PATIENCE):
        if len(found) == count:
            break
        mesh = draw.one(generator.meshes)
        found[Case(name, mesh, generator.call(draw, mesh))] = None
    return list(found)
