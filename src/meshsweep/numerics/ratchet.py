"""Raise floors to what runs have measured; lower none without a reason.

Everything here is a function from floors and samples to floors. A floor follows from the worst value of its cells, by
the margin of each measure, and rises only on as much data as it came from. Where a floor must fall, a narrower row
falls: that of the scale which was measured beyond it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from meshsweep.cell import Cell
from meshsweep.errors import UserError, nearest
from meshsweep.matrix import Floor
from meshsweep.numerics.floors import unexplained
from meshsweep.numerics.measure import FAMILIES, MEASURES, worst
from meshsweep.numerics.samples import Sample, counts
from meshsweep.words import count

__all__ = ["LOOSER_MESH", "LOOSER_SCALE", "Ratchet", "turn"]

#: A scale, or a mesh, gets a row of its own where the wider row would be this much looser than it needs.
LOOSER_SCALE = 1.5
LOOSER_MESH = 2.0

#: The worst of fewer samples than this says little about the next one.
_FEWEST = 6

#: Below this share of an error that counts, a row of its own would bound nothing but rounding.
_NEGLIGIBLE = 1e-4

#: Of a row that does not say what it was measured on.
_NOTHING = {"meshes": 0, "scales": 0, "samples": 0}

#: The measure that says whether a row of its own is worth it: it varies least from draw to draw.
_STEADIEST = ("rms_error", "max_error", "top5", "top1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratchet:
    """The floors after a turn, what changed, what was refused and why, and what could rise on more data."""

    floors: tuple[Floor, ...]
    changed: tuple[str, ...]
    refused: tuple[str, ...]
    waiting: tuple[str, ...]


def turn(
    floors: Sequence[Floor], samples: Sequence[Sample], *, lower: Collection[str] = (), reason: str | None = None
) -> Ratchet:
    """Return the floors that follow from samples: new rows, higher floors, and lower ones of components in ``lower``.

    Raises UserError for a component in ``lower`` that nothing was measured of.
    """
    measured = sorted({sample.component for sample in samples})
    unknown = [f"--lower {n}: not measured in these runs{nearest(n, measured)}" for n in lower if n not in measured]
    if unknown:
        raise UserError("\n".join(unknown))
    groups: dict[tuple[str, str], tuple[list[Floor], list[Sample]]] = {}
    for floor in floors:
        groups.setdefault((floor.component, floor.dtype), ([], []))[0].append(floor)
    for sample in samples:
        groups.setdefault((sample.component, sample.cell.dtype), ([], []))[1].append(sample)
    turned = [
        _Turn(rows, own, reason if component in lower else None) for (component, _), (rows, own) in groups.items()
    ]
    return Ratchet(
        floors=tuple(row for each in turned for row in each.rows),
        changed=tuple(line for each in turned for line in each.changed),
        refused=tuple(line for each in turned for line in each.refused),
        waiting=tuple(line for each in turned for line in each.waiting),
    )


class _Turn:
    """The rows of one component in one dtype, turned by its samples; ``reason`` allows to lower them."""

    def __init__(self, rows: Sequence[Floor], samples: Sequence[Sample], reason: str | None) -> None:
        self.rows = list(rows)
        self.changed: list[str] = []
        self.refused: list[str] = []
        self.waiting: list[str] = []
        self._samples = samples
        self._reason = reason
        self._is_new = not rows
        if samples:
            for row in rows:
                self._move(row)
            self._open([sample for sample in samples if self._row_of(sample) is None])
            self._split()

    def _row_of(self, sample: Sample) -> Floor | None:
        return _most_specific(self.rows, sample.component, sample.cell)

    def _of(self, row: Floor) -> list[Sample]:
        """Return the samples that a row bounds: those of its cells that no narrower row has."""
        return [sample for sample in self._samples if self._row_of(sample) is row]

    def _replace(self, row: Floor, by: Floor) -> None:
        self.rows[[each is row for each in self.rows].index(True)] = by

    def _move(self, row: Floor) -> None:
        """Raise what can rise; say what cannot, and what is beyond the row."""
        own = self._of(row)
        beyond = [s for s in own if s.measure in row.bounds and not _holds(row, s)]
        if beyond:
            self._lower(row, own, beyond)
            return
        bounds, measured = _follow(own)
        rising = {n for n, bound in bounds.items() if n not in row.bounds or _is_tighter(n, bound, row.bounds[n])}
        if not rising:
            return
        if not _is_enough(own, row):
            had, have = _said(row.measured_on), _said(counts(own))
            self.waiting.append(f"{_name(row)} was measured on {had}, and now on {have}")
            return
        self.changed += [_change(row, name, bounds[name]) for name in bounds if name in rising]
        risen: dict[str, Any] = {name: bounds[name] for name in rising}
        merged = {**row.measured} | {name: measured[name] for name in rising}
        # A reason stays for as long as a bound needs it.
        reason = row.reason if set(row.bounds) - rising else None
        ordered = {name: merged[name] for name in MEASURES if name in merged}
        self._replace(row, replace(row, **risen, measured=ordered, measured_on=counts(own), reason=reason))

    def _lower(self, row: Floor, own: Sequence[Sample], beyond: Sequence[Sample]) -> None:
        """Give each scale that lies beyond a row one of its own, if there is a reason."""
        if self._reason is None:
            self.refused.append(_too_low(row, beyond))
            return
        for scale in sorted({sample.cell.scale for sample in beyond}):
            found = _floor(row, scale, row.mesh, [s for s in own if s.cell.scale == scale], reason=self._reason)
            floor = _bounded(found, row, but={s.measure for s in beyond if s.cell.scale == scale})
            self.changed.append(f"{_name(floor)}: lowered to {_listed(floor.bounds)}")
            if row.scale == scale:
                self._replace(row, floor)
            else:
                self.rows.append(floor)

    def _open(self, own: Sequence[Sample]) -> None:
        """Add the row of a component that has none."""
        if not own:
            return
        floor = _floor(own[0], None, None, own)
        least = next(unexplained(floor), None)
        failed = sorted({sample.test for sample in own if not sample.has_passed})
        if failed:
            self.refused.append(f"{_name(floor)}: no floor is made of tests that failed: {failed[0]}")
        elif missing := _unmeasured(floor):
            self.refused.append(
                f"{_name(floor)}: no test recorded its {', '.join(missing)}; a floor bounds all of them"
            )
        elif least and self._reason is None:
            found = f"{MEASURES[least[0]].title} {floor.measured[least[0]]:.5f} is no rounding"
            self.refused.append(f"{_name(floor)}: {found}; find the defect, or {_remedy(floor.component)}")
        else:
            self.rows.append(replace(floor, reason=self._reason if least else None))
            self.changed.append(f"{_name(floor)}: new, {_listed(floor.bounds)}")

    def _split(self) -> None:
        """Give scales, then meshes, rows of their own where a wider row is much looser than they need."""
        scales = sorted({sample.cell.scale for sample in self._samples})
        meshes = sorted({sample.cell.mesh for sample in self._samples})
        for scale, mesh in [*product(scales, [None]), *product(scales, meshes)]:
            for wide in list(self.rows):
                own = [s for s in self._of(wide) if s.cell.scale == scale and mesh in (None, s.cell.mesh)]
                if own and (wide.scale, wide.mesh) != (scale, mesh) and self._is_enough_for(own, wide, mesh):
                    self._narrow(wide, _floor(wide, scale, mesh, own))

    def _is_enough_for(self, own: Sequence[Sample], wide: Floor, mesh: str | None) -> bool:
        """Return whether samples say enough for a row of their own.

        A row that stands came from more than is at hand: it is parted only by as much, cell for cell.
        """
        have, had = counts(own), {**_NOTHING, **wide.measured_on}
        if have["samples"] < _FEWEST:
            return False
        if self._is_new:
            return mesh is not None or have["meshes"] >= min(had["meshes"], 2)
        parts = had["scales"] * (1 if mesh is None else had["meshes"])
        return have["samples"] * parts >= had["samples"] and (mesh is not None or have["meshes"] >= had["meshes"])

    def _narrow(self, wide: Floor, floor: Floor) -> None:
        name = next((name for name in _STEADIEST if name in floor.bounds and name in wide.bounds), None)
        looser = LOOSER_SCALE if floor.mesh is None else LOOSER_MESH
        if name is None:
            return
        needed, allowed = (MEASURES[name].distance(row.bounds[name]) for row in (floor, wide))
        if not looser * needed < allowed > _NEGLIGIBLE:
            return
        floor = _bounded(floor, wide)
        self.rows.append(floor)
        self.changed.append(f"{_name(floor)}: a row of its own, {_listed(floor.bounds)}")
        left = self._of(wide)
        if left:
            self._replace(wide, replace(wide, measured_on=counts(left)))


def _most_specific(rows: Iterable[Floor], component: str, cell: Cell) -> Floor | None:
    covering = [row for row in rows if row.covers(component, cell)]
    return max(covering, key=lambda row: (row.mesh is not None, row.scale is not None), default=None)


def _follow(own: Iterable[Sample]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the bounds that follow from samples, and the worst values themselves."""
    values: dict[str, list[float]] = {}
    for sample in own:
        values.setdefault(sample.measure, []).append(sample.value)
    measured = {n: MEASURES[n].kept(worst(MEASURES[n], values[n])) for n in MEASURES if n in values}
    return {name: MEASURES[name].bound(value) for name, value in measured.items()}, measured


def _floor(
    like: Floor | Sample, scale: str | None, mesh: str | None, own: Sequence[Sample], *, reason: str | None = None
) -> Floor:
    """Return the row that follows from samples of one component and dtype."""
    bounds, measured = _follow(own)
    return Floor(
        component=like.component,
        dtype=own[0].cell.dtype,
        scale=scale,
        mesh=mesh,
        **bounds,
        measured=measured,
        measured_on=counts(own),
        reason=reason,
    )


def _bounded(floor: Floor, wide: Floor, *, but: Collection[str] = ()) -> Floor:
    """Return a row with the bounds of the wider one where those are tighter: asking for one loosens no other.

    What ``but`` names is to be looser. The wider row's reason comes along where one is needed.
    """
    kept: dict[str, Any] = {
        name: bound
        for name, bound in wide.bounds.items()
        if name not in floor.bounds or (name not in but and _is_tighter(name, bound, floor.bounds[name]))
    }
    measured = {**wide.measured, **floor.measured}
    ordered = {name: measured[name] for name in MEASURES if name in measured}
    found = replace(floor, **kept, measured=ordered)
    return replace(found, reason=floor.reason or (wide.reason if any(unexplained(found)) else None))


def _unmeasured(floor: Floor) -> list[str]:
    family = next(family for family in FAMILIES if floor.bounds.keys() & set(family))
    return [MEASURES[name].title for name in family if name not in floor.bounds]


def _holds(row: Floor, sample: Sample) -> bool:
    return MEASURES[sample.measure].holds(sample.value, row.bounds[sample.measure])


def _is_tighter(name: str, bound: float, than: float) -> bool:
    return MEASURES[name].distance(bound) < MEASURES[name].distance(than)


def _is_enough(own: Iterable[Sample], floor: Floor) -> bool:
    have = counts(own)
    return all(have[name] >= number for name, number in floor.measured_on.items())


def _too_low(row: Floor, beyond: Sequence[Sample]) -> str:
    said = []
    for name in sorted({sample.measure for sample in beyond}):
        value = worst(MEASURES[name], [sample.value for sample in beyond if sample.measure == name])
        said.append(f"{MEASURES[name].title} {value:.6g} beyond {row.bounds[name]:g}")
    return f"{_name(row)}: {', '.join(said)}; find the defect, or {_remedy(row.component)}"


def _remedy(component: str) -> str:
    return f"`meshsweep thresholds --write --lower {component} --reason TEXT`"


def _change(row: Floor, name: str, bound: float) -> str:
    before = row.bounds.get(name)
    return f"{_name(row)}: {MEASURES[name].title} {'none' if before is None else f'{before:g}'} -> {bound:g}"


def _name(floor: Floor) -> str:
    return " ".join(part for part in (floor.component, "in", floor.dtype, floor.scale, floor.mesh) if part)


def _listed(bounds: Mapping[str, float]) -> str:
    return ", ".join(f"{MEASURES[name].title} {bound:g}" for name, bound in bounds.items())


def _said(measured_on: Mapping[str, int]) -> str:
    nouns = {"meshes": "mesh", "scales": "scale", "samples": "sample"}
    said = [count(number, nouns[name], name) for name, number in measured_on.items()]
    return ", ".join(said) or "an unknown number of samples"
