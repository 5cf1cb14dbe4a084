"""Measure what the seventeen tests reach, and write the floors that follow from it.

    python -m tests.gptoss.measure_floors [--seeds N] [--meshes 1x8 ...] [--scales tiny ...] > matrix/floors.toml

A floor allows twice the measured distance from a perfect correlation and 1.5 times the measured error:
1 - 2 * (1 - PCC), rounded down; 1.5 * error, rounded up. Values are the worst over all meshes, seeds and tests.
"""

from __future__ import annotations

import argparse
import math
import sys
import zlib
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import ttemu
from meshsweep import loader
from tests.gptoss.conftest import opened

ROOT = Path(__file__).parents[2]
# The published sizes take minutes a cell; the small ones are what every change runs.
SCALES = ("tiny", "tiny-padded")
# A scale gets rows of its own where the rows for all scales would be this much looser than it needs.
LOOSER = 1.5
# Floors are written in steps of this; even exact values are correlated with rounding in the last bits.
STEP = 1e-5


class Worst:
    """The lowest correlation and the largest error of each (component, dtype, scale)."""

    def __init__(self):
        self.pcc = defaultdict(lambda: 1.0)
        self.error = defaultdict(float)

    def note(self, dtype, scale, name, value):
        kind, _, component = name.partition(".")
        if kind == "pcc":
            self.pcc[component, dtype, scale] = min(self.pcc[component, dtype, scale], value)
        if kind == "max_error":
            self.error[component, dtype, scale] = max(self.error[component, dtype, scale], value)


def tests_of_the_guide():
    from tests.unit import test_core_components, test_integration, test_utilities

    for module in (test_core_components, test_integration, test_utilities):
        yield from (function for name, function in vars(module).items() if name.startswith("test_"))


def measure(matrix, mesh, scale, seeds, worst):
    """Run every test on one mesh at one scale, in every dtype, with floors that nothing fails."""
    import torch

    from gptoss.testing.comparison import Floor
    from gptoss.testing.factory import Bench, bind

    declared, sizes = matrix.meshes[mesh], matrix.scales[scale]
    with opened(declared.shape.rows, declared.shape.cols) as device:
        for dtype in matrix.dtypes:
            bench = Bench(
                mesh=mesh,
                dtype=dtype,
                scale=scale,
                config=sizes.config,
                layers=sizes.layers,
                decode=asdict(declared.decode),
                prefill=asdict(declared.prefill),
                floor=lambda component: Floor(pcc=-1.0, max_error=math.inf),
                record=lambda name, value, dtype=dtype: worst.note(dtype, scale, name, value),
            )
            with bind(device, bench):
                for seed in range(seeds):
                    for test in tests_of_the_guide():
                        torch.manual_seed(zlib.crc32(f"{mesh}-{dtype}-{scale}-{test.__name__}-{seed}".encode()))
                        test(device, seed)


def rows(worst):
    """Yield (component, dtype, scale or None, PCC, error), scales apart only where it matters."""
    for component, dtype in sorted({key[:2] for key in worst.pcc}):
        found = {key[2]: (worst.pcc[key], worst.error[key]) for key in worst.pcc if key[:2] == (component, dtype)}
        pcc, error = min(p for p, _ in found.values()), max(e for _, e in found.values())
        yield component, dtype, None, pcc, error
        for scale, (own_pcc, own_error) in sorted(found.items()):
            if 1 - pcc > max(LOOSER * (1 - own_pcc), STEP) or error > LOOSER * own_error:
                yield component, dtype, scale, own_pcc, own_error


def write(measured, seeds, meshes, scales, out):
    """Write the rows as TOML."""
    print(HEADER.format(seeds=seeds, meshes=", ".join(meshes), scales=", ".join(scales)), file=out)
    for component, dtype, scale, pcc, error in measured:
        print(f'\n[[floor]]\ncomponent = "{component}"\ndtype = "{dtype}"', file=out)
        if scale:
            print(f'scale = "{scale}"', file=out)
        print(f"pcc = {floor_of(pcc)}\nmax_error = {ceiling_of(error)}", file=out)
        print(f"measured_pcc = {math.floor(pcc * 1e7) / 1e7:.7f}\nmeasured_max_error = {error:.3g}", file=out)


def floor_of(pcc):
    """Return 1 - 2 (1 - pcc), rounded down to five digits."""
    return round(min(math.floor((1 - 2 * (1 - pcc)) / STEP) * STEP, 1 - STEP), 5)


def ceiling_of(error):
    """Return 1.5 times the error, rounded up to three digits."""
    if error == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(1.5 * error)) - 2)
    return float(f"{math.ceil(1.5 * error / unit) * unit:.6g}")


HEADER = """\
# The least correlation (pcc) and the greatest error (max_error, over the largest expected value) of each component.
# Written by `python -m tests.gptoss.measure_floors`; not edited by hand.
#
# Measured on meshes {meshes}, scales {scales}, {seeds} seeds, over all of tests/unit; the worst counts.
# pcc = 1 - 2 * (1 - measured_pcc), rounded down; max_error = 1.5 * measured_max_error, rounded up.
# A row without a scale holds for every scale; the most specific row wins."""


def main():
    matrix = loader.load(ROOT / "matrix")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--meshes", nargs="+", default=list(matrix.meshes))
    parser.add_argument("--scales", nargs="+", default=list(SCALES))
    given = parser.parse_args()
    ttemu.install()
    worst = Worst()
    for mesh in given.meshes:
        for scale in given.scales:
            sys.stderr.write(f"{mesh} {scale}\n")
            measure(matrix, mesh, scale, given.seeds, worst)
    write(rows(worst), given.seeds, given.meshes, given.scales, sys.stdout)


if __name__ == "__main__":
    main()
