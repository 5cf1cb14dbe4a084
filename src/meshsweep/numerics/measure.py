"""Say what is measured of a component: which way is worse, and how far its floor lies from it.

A floor leaves a margin for other inputs, not for defects: twice the distance of a correlation from 1, one and a half
times an error or the share of tokens missed, and at least one token more. Bounds are rounded to what is looser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

__all__ = ["FAMILIES", "MEASURES", "Measure", "worst"]

#: Correlations are bounded in steps of this: exact values are correlated with rounding in the last bits.
_STEP = 1e-5

#: One more of the thirty generated tokens may always differ: a near tie is no defect.
_ONE_TOKEN = 1 / 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number of a component; ``perfect`` is what an exact result has.

    ``low`` and ``high`` are what a floor may say, ``margin`` tells the bound that a measured value gives. A bound below
    ``least`` is no rounding of any dtype: it needs a reason.
    """

    name: str
    title: str
    perfect: float
    low: float
    high: float
    margin: Callable[[float], float]
    kept: Callable[[float], float]
    least: float = -math.inf

    def distance(self, value: float) -> float:
        """Return how far a value lies from perfect; infinite for one that is no number."""
        return math.inf if math.isnan(value) else max((self.perfect - value) * (1 if self.perfect else -1), 0.0)

    def holds(self, value: float, bound: float) -> bool:
        """Return whether a value is within a bound."""
        return value >= bound if self.perfect else value <= bound

    def bound(self, measured: float) -> float:
        """Return the floor that follows from the worst measured value."""
        return self.margin(self.kept(measured))

    def is_looser(self, bound: float, measured: float) -> bool:
        """Return whether a bound lets more pass than the measured value explains, rounding aside."""
        return self.distance(bound) > 1.01 * self.distance(self.bound(measured)) + _STEP

    def used(self, value: float, bound: float) -> float:
        """Return the share of the allowed distance that a value takes; above 1 it fails."""
        distance, allowed = self.distance(value), self.distance(bound)
        return distance / allowed if allowed else math.inf if distance else 0.0


def worst(measure: Measure, values: Iterable[float]) -> float:
    """Return the value that lies furthest from perfect."""
    return max(values, key=measure.distance)


def _pcc_floor(measured: float) -> float:
    return min(max(_cut(1 - 2 * (1 - measured), digits=5), 0.0), round(1 - _STEP, 5))


def _share_floor(measured: float) -> float:
    missed = 1 - measured
    return max(_cut(1 - max(1.5 * missed, missed + _ONE_TOKEN), digits=4), 0.0)


def _error_ceiling(measured: float) -> float:
    return _up(1.5 * measured, digits=3)


def _up(value: float, *, digits: int) -> float:
    if value == 0 or not math.isfinite(value):
        return value
    unit = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return float(f"{math.ceil(round(value / unit, 6)) * unit:.{digits}g}")


def _cut(value: float, *, digits: int) -> float:
    # 0.98 / 1e-5 is 97999.99999999999: of the same number written in another way, no step less.
    return value if math.isnan(value) else math.floor(round(value * 10**digits, 4)) / 10**digits


def _down(value: float) -> float:
    return _cut(value, digits=7)


def _error(name: str, title: str) -> Measure:
    kept: Callable[[float], float] = lambda value: _up(value, digits=4)  # noqa: E731
    return Measure(name=name, title=title, perfect=0.0, low=0.0, high=10.0, margin=_error_ceiling, kept=kept)


def _likeness(name: str, title: str, margin: Callable[[float], float], *, least: float) -> Measure:
    return Measure(name=name, title=title, perfect=1.0, low=0.0, high=1.0, margin=margin, kept=_down, least=least)


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        _likeness("pcc", "PCC", _pcc_floor, least=0.8),
        _error("max_error", "max error"),
        _error("rms_error", "rms error"),
        _error("slope_error", "slope error"),
        # Half of the tokens by luck, or one that is often the sixth, is another model.
        _likeness("top1", "top-1", _share_floor, least=0.5),
        _likeness("top5", "top-5", _share_floor, least=0.7),
    )
}

#: What is measured together: values against a reference, generated tokens against a reference's.
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("pcc", "max_error", "rms_error", "slope_error"),
    ("top1", "top5"),
)
