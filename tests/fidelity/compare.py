"""Compare what the real library and the emulator gave, and account for the allowed exceptions."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.fidelity.case import Case
from tests.fidelity.causes import UNKNOWN

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Comparison", "Exempt", "compare", "exemptions"]

_FILE = Path(__file__).with_name("exceptions.toml")


@dataclass(frozen=True, slots=True)
class Exempt:
    """Differences that are allowed: of calls that match ``call``, between outcomes that match ``real`` and ``ours``.

    ``both`` is searched for in ``<real> => <ours>``, where a group can say that they have something in common.
    """

    reason: str
    call: str = ""
    real: str = ""
    ours: str = ""
    both: str = ""

    def covers(self, case: Case, real: str, ours: str) -> bool:
        """Say whether a difference is one of these."""
        pairs = ((self.call, case.call), (self.real, real), (self.ours, ours), (self.both, f"{real} => {ours}"))
        return all(re.search(pattern, text) for pattern, text in pairs)


def exemptions() -> list[Exempt]:
    """Return the allowed exceptions."""
    return [Exempt(**row) for row in tomllib.loads(_FILE.read_text(encoding="utf-8")).get("exception", [])]


@dataclass(slots=True)
class Comparison:
    """Counts by op, the differences that nothing allows, and how often each exception was used."""

    cases: Counter[str] = field(default_factory=Counter)
    agreed: Counter[str] = field(default_factory=Counter)
    exempt: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[Case, str, str]] = field(default_factory=list)


def compare(real: Mapping[Case, str], ours: Mapping[Case, str], allowed: list[Exempt]) -> Comparison:
    """Compare the outcomes of the same cases."""
    result = Comparison()
    for case, expected in real.items():
        result.cases[case.op] += 1
        if expected == ours[case] and not expected.endswith(f": {UNKNOWN}"):
            result.agreed[case.op] += 1
        elif rule := next((rule for rule in allowed if rule.covers(case, expected, ours[case])), None):
            result.exempt[case.op] += 1
            result.reasons[rule.reason] += 1
        else:
            result.differences.append((case, expected, ours[case]))
    return result
