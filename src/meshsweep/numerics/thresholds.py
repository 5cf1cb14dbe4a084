"""Show what runs have measured beside the floors: a line per component, dtype and scale.

A mesh with a floor of its own gets a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from meshsweep.errors import UserError
from meshsweep.matrix import Floor, Matrix
from meshsweep.numerics.measure import FAMILIES, MEASURES
from meshsweep.numerics.ratchet import Ratchet
from meshsweep.numerics.samples import Sample, counts
from meshsweep.results.ledger import short_name
from meshsweep.words import count

__all__ = ["Line", "check", "lines", "show", "show_turn", "unmeasured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The worst samples of a component in a dtype at a scale, one per measure, and the floor that holds there."""

    component: str
    dtype: str
    scale: str
    mesh: str | None
    floor: Floor | None
    worst: dict[str, Sample]
    samples: int

    @property
    def closest(self) -> Sample:
        """The sample that used the most of its margin."""
        return max(self.worst.values(), key=self.used)

    def used(self, sample: Sample) -> float:
        """Return the share of its margin that a sample used; infinite without a floor."""
        bound = self.floor.bounds.get(sample.measure) if self.floor else None
        return float("inf") if bound is None else MEASURES[sample.measure].used(sample.value, bound)

    @property
    def is_held(self) -> bool:
        """Whether every measure has a bound and is within it."""
        bounds = self.floor.bounds if self.floor else {}
        return all(n in bounds and MEASURES[n].holds(s.value, bounds[n]) for n, s in self.worst.items())


def check(runs: Sequence[str], *, everything: bool, write: bool, lower: Sequence[str], reason: str | None) -> None:
    """Raise UserError with every option that stands without, or against, another one."""
    mistakes = []
    if everything and runs:
        mistakes.append(f"--all and {', '.join(runs)}: choose one")
    if lower and not (reason and write):
        mistakes.append("--lower: expected --write and a --reason with it")
    if reason and not lower:
        mistakes.append("--reason: expected --lower COMPONENT with it")
    if mistakes:
        raise UserError("\n".join(mistakes))


def lines(matrix: Matrix, samples: Iterable[Sample]) -> tuple[Line, ...]:
    """Return the lines of samples, sorted."""
    groups: dict[tuple[str, str, str, str], tuple[Floor | None, list[Sample]]] = {}
    for sample in samples:
        floor = matrix.find_floor(sample.component, sample.cell)
        mesh = floor.mesh if floor and floor.mesh else ""
        key = (sample.component, sample.cell.dtype, sample.cell.scale, mesh)
        groups.setdefault(key, (floor, []))[1].append(sample)
    return tuple(_line(key, *groups[key]) for key in sorted(groups))


def _line(key: tuple[str, str, str, str], floor: Floor | None, own: Sequence[Sample]) -> Line:
    component, dtype, scale, mesh = key
    listed = {name: [sample for sample in own if sample.measure == name] for name in MEASURES}
    worst = {
        name: max(found, key=lambda sample: (MEASURES[sample.measure].distance(sample.value), sample.test, sample.seed))
        for name, found in listed.items()
        if found
    }
    return Line(
        component=component,
        dtype=dtype,
        scale=scale,
        mesh=mesh or None,
        floor=floor,
        worst=worst,
        samples=counts(own)["samples"],
    )


def unmeasured(matrix: Matrix, samples: Iterable[Sample]) -> tuple[str, ...]:
    """Return the components that have floors, and that nothing measured."""
    return tuple(sorted({row.component for row in matrix.floors} - {sample.component for sample in samples}))


def show(found: Sequence[Line], missing: Sequence[str], console: Console) -> None:
    """Print a table for each family of measures, and what was not measured."""
    for family in FAMILIES:
        own = [line for line in found if line.worst.keys() & set(family)]
        if own:
            console.print(_table(family, own))
    if missing:
        console.print(Text(f"not measured here: {', '.join(missing)}", style="dim"), soft_wrap=True)


def show_turn(turned: Ratchet, console: Console, *, has_written: bool) -> None:
    """Print which floors moved or could move, and which could not, and why."""
    for refused in turned.refused:
        console.print(Text(refused, style="yellow"), soft_wrap=True)
    if turned.waiting:
        text = f"{count(len(turned.waiting), 'floor')} could rise on as much data as it came from: {turned.waiting[0]}"
        console.print(Text(text, style="dim"), soft_wrap=True)
    if has_written:
        for changed in turned.changed:
            console.print(Text(changed, style="green"), soft_wrap=True)
    said = count(len(turned.changed), "floor")
    if has_written:
        console.print(f"{said} written" if turned.changed else "every floor stands")
    elif turned.changed:
        console.print(f"{said} could be written: `meshsweep thresholds --write`")


def _table(family: Sequence[str], found: Sequence[Line]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for title in ("component", "dtype", "scale"):
        table.add_column(title, no_wrap=True)
    for name in family:
        table.add_column(MEASURES[name].title.replace(" ", "\n"), justify="right", no_wrap=True)
        table.add_column("floor" if MEASURES[name].perfect else "at most", justify="right", no_wrap=True)
    for title in ("n", "margin\nused"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("by", "in", "on", "seed"):
        table.add_column(title, no_wrap=title != "in", overflow="fold")
    for line in found:
        table.add_row(*_cells(line, family), style=None if line.is_held else "red")
    return table


def _cells(line: Line, family: Sequence[str]) -> list[str]:
    bounds = line.floor.bounds if line.floor else {}
    numbers = [
        text
        for name in family
        for text in (
            _value(name, line.worst[name].value) if name in line.worst else "-",
            _value(name, bounds[name]) if name in bounds else "none",
        )
    ]
    closest = line.closest
    used = line.used(closest)
    return [
        line.component,
        line.dtype,
        f"{line.scale} {line.mesh}" if line.mesh else line.scale,
        *numbers,
        str(line.samples),
        f"{used:.0%}" if used < 100 else "all",
        MEASURES[closest.measure].title.removesuffix(" error"),
        short_name(closest.test).removeprefix("test_"),
        closest.cell.mesh,
        closest.seed,
    ]


def _value(name: str, value: float) -> str:
    return f"{value:.5f}" if MEASURES[name].perfect else f"{value:.3g}"
