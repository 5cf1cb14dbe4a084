"""Read ``matrix/floors.toml`` into floors, refusing rows that hide defects, and write it again.

A row holds what its bounds were measured at, so that anybody can see whether they are as tight as they should be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from meshsweep.errors import InfraError
from meshsweep.matrix import Floor
from meshsweep.numerics.measure import FAMILIES, MEASURES
from meshsweep.toml import Known, Table

__all__ = ["read", "render", "unexplained", "write"]

_COUNTS = ("meshes", "scales", "samples")

_HEADER = """\
# What each component may differ by: pcc is the least correlation with the reference, max_error the greatest
# |actual - expected| over the largest |expected|, rms_error |actual - expected| over |expected|, both as vectors,
# slope_error the factor that all values share, less 1, and four standard errors of it; top1 and top5 are the least
# shares of generated tokens that are the model's first choice, or among its first five.
#
# Written by `meshsweep thresholds --write`, which raises floors and never lowers one; `--lower COMPONENT --reason TEXT`
# does. measured_* is the worst value over measured_on: so many meshes, scales, and tests times seeds.
#     pcc = 1 - 2 (1 - measured)    errors = 1.5 measured    shares = 1 - 1.5 (1 - measured), or one token of 30 less
# A row without a scale or mesh holds for all of them; the most specific row wins. A bound that is looser than these
# rules allow, or a pcc below 0.8, a top1 below 0.5 or a top5 below 0.7, needs a reason.
"""


def read(top: Table, *, dtypes: Known, scales: Known, meshes: Known) -> tuple[Floor, ...]:
    """Return the floors of a file, noting every mistake of every row."""
    found = []
    for row in top.rows("floor"):
        axes = {
            "component": row.text("component"),
            "dtype": row.name("dtype", dtypes),
            "scale": row.name("scale", scales, None),
            "mesh": row.name("mesh", meshes, None),
        }
        bounds = {name: row.number(name, None, low=m.low, high=m.high) for name, m in MEASURES.items()}
        measured = {name: row.number(f"measured_{name}", None, low=-1, high=1e6) for name in MEASURES}
        floor = Floor(
            **axes,
            **bounds,
            measured={name: value for name, value in measured.items() if value is not None},
            measured_on=_counts(row),
            reason=row.text("reason", None),
        )
        _check(row, floor)
        row.close()
        found.append(floor)
    _check_once(top, found)
    return tuple(found)


def _counts(row: Table) -> Mapping[str, int]:
    table = row.table("measured_on", {})
    if "measured_on" not in row:
        return {}
    counts = {name: table.count(name) for name in _COUNTS}
    table.close()
    return counts


def _check(row: Table, floor: Floor) -> None:
    """Note bounds that are missing, that nothing was measured for, or that are looser than what was."""
    if not any(all(name in row for name in family) for family in FAMILIES):
        row.mistake(None, f"bounds too little; expected all of {', or of '.join(map(', '.join, FAMILIES))}")
    if floor.reason is None:
        if "measured_on" not in row:
            row.mistake("measured_on", "missing; expected on how many meshes, scales and samples, or a reason")
        for name, mistake in unexplained(floor):
            row.mistake(name, mistake)


def unexplained(floor: Floor) -> Iterator[tuple[str, str]]:
    """Yield the bounds of a row that only a reason would allow, and why."""
    for name, bound in floor.bounds.items():
        measured, measure = floor.measured.get(name), MEASURES[name]
        if measured is None:
            yield name, f"is {bound:g}; expected measured_{name} beside it, or a reason"
        elif measure.is_looser(bound, measured):
            follows = measure.bound(measured)
            yield name, f"is {bound:g}, looser than {follows:g}, which follows from {measured:g}; give a reason"
        if bound < measure.least:
            yield name, f"is {bound:g}; so low a floor hides defects: expected {measure.least:g} or a reason"


def _check_once(top: Table, floors: Iterable[Floor]) -> None:
    seen: dict[tuple[str | None, ...], int] = {}
    for number, floor in enumerate(floors, 1):
        first = seen.setdefault((floor.component, floor.dtype, floor.scale, floor.mesh), number)
        if first != number:
            top.mistake(f"[[floor]] {number}", f"is the same component, dtype, scale and mesh as row {first}; keep one")


def render(floors: Iterable[Floor]) -> str:
    """Return the file: a header that tells the rules, then the rows, sorted."""
    ordered = sorted(floors, key=lambda row: (row.component, row.dtype, row.scale or "", row.mesh or ""))
    return "\n".join([_HEADER, *map(_row, ordered)])


def _row(floor: Floor) -> str:
    axes = {"component": floor.component, "dtype": floor.dtype, "scale": floor.scale, "mesh": floor.mesh}
    lines = ["[[floor]]", *(f"{key} = {json.dumps(value)}" for key, value in axes.items() if value is not None)]
    lines += [f"{name} = {_number(bound)}" for name, bound in floor.bounds.items()]
    lines += [f"measured_{name} = {_number(value)}" for name, value in floor.measured.items()]
    if floor.measured_on:
        lines.append(f"measured_on = {{ {', '.join(f'{key} = {n}' for key, n in floor.measured_on.items())} }}")
    if floor.reason is not None:
        lines.append(f"reason = {json.dumps(floor.reason, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    # 1e-05 is a float of TOML too.
    return repr(float(value))


def write(path: Path, floors: Iterable[Floor]) -> None:
    """Replace the file in one step; raises InfraError where the disk refuses, leaving it as it was."""
    part = path.with_suffix(f".{os.getpid()}")
    try:
        part.write_text(render(floors), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise InfraError(f"{path}: cannot write the floors: {error.strerror}") from error
