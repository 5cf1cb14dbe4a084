"""Convert the same numbers with the real ``ttnn`` and with the emulator, and compare every bit that comes back.

Host conversions are the real library's own code even where no device is: nothing here is a tolerance.
"""

from __future__ import annotations

from tests.fidelity import conversions_casts, conversions_meshes, conversions_sources
from tests.fidelity.libraries import load
from tests.fidelity.tally import Row

__all__ = ["run"]


def run(elements: int = 10_000_000, seed: int = 0) -> list[Row]:
    """Compare at least ``elements`` numbers on their way into each dtype, and report one row per conversion."""
    libraries = load()
    return [
        *conversions_sources.run(libraries, elements, seed),
        *conversions_casts.run(libraries, elements // 4, seed),
        *conversions_meshes.run(libraries, seed),
    ]
