"""Write docs/layouts.md from runs: the error of every layout against the reference, mesh by mesh.

nox -s sweep -- --dtype bfloat16 tests/unit tests/layouts
python -m tests.layouts [RUN ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from meshsweep import loader
from meshsweep.numerics import samples
from meshsweep.numerics.measure import MEASURES, worst
from meshsweep.numerics.samples import Sample
from meshsweep.results.ledger import short_name

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "layouts.md"

# What each number of the page is of: the measures that a comparison records, in the order of their columns.
SHOWN = "max_error"

HEAD = """\
# How far each layout is from the reference
Every row is what one test compares with the float32 reference: a part of the model in one way of spreading it over a
mesh. The number is the largest error of any value on any device, as a share of the largest expected value: the worst
over the scales and seeds of the runs. A dash means that the mesh does not have that layout.
bfloat16 rounds by up to 1/512, bfloat8_b by 1/256 of the largest of 16 numbers, and a layer rounds some twenty times.

Written by `python -m tests.layouts RUN ...` from runs of `meshsweep run tests/unit tests/layouts`; not edited by hand.
"""


def rows(found: Iterable[Sample], dtype: str) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Yield each test, component and its worst error on each mesh, sorted."""
    listed = [sample for sample in found if sample.measure == SHOWN and sample.cell.dtype == dtype]
    for test, component in sorted({(_test(sample), sample.component) for sample in listed}):
        own = [sample for sample in listed if (_test(sample), sample.component) == (test, component)]
        meshes = {sample.cell.mesh for sample in own}
        yield test, component, {mesh: _worst(own, mesh) for mesh in meshes}


def _test(sample: Sample) -> str:
    return short_name(sample.test).removeprefix("test_")


def _worst(found: Iterable[Sample], mesh: str) -> float:
    return worst(MEASURES[SHOWN], [sample.value for sample in found if sample.cell.mesh == mesh])


def page(found: Iterable[Sample], meshes: Iterable[str]) -> str:
    """Return the page in Markdown: a table per dtype, a row per test and component, a column per mesh."""
    listed, columns = list(found), list(meshes)
    text = [HEAD]
    for dtype in sorted({sample.cell.dtype for sample in listed}):
        text += [f"## {dtype}", f"| test | part | {' | '.join(columns)} |", f"|---|---|{'---:|' * len(columns)}"]
        for test, component, errors in rows(listed, dtype):
            shown = [f"{errors[mesh]:.2g}" if mesh in errors else "-" for mesh in columns]
            text.append(f"| {test} | {component} | {' | '.join(shown)} |")
        text.append("")
    return "\n".join(text)


def main() -> None:
    """Read the runs that are named, or the latest, and write the page."""
    parser = argparse.ArgumentParser(prog="tests.layouts", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", metavar="RUN", help="run name or directory (default: the latest)")
    parser.add_argument("--home", metavar="DIR", default=str(ROOT / ".meshsweep"), help="where runs are kept")
    given = parser.parse_args()
    found = samples.collect(Path(given.home), given.runs)
    PAGE.write_text(page(found, loader.load(ROOT / "matrix").meshes), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} written from {samples.counts(found)['samples']} tests")


if __name__ == "__main__":
    main()
