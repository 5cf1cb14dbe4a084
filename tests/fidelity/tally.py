"""Count how often two libraries agree, and keep the first few differences in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Row", "Tally"]

KEPT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a comparison came to; every case agreed, is an exception with a reason, or differs."""

    name: str
    cases: int
    elements: int
    agreed: int
    exceptions: tuple[tuple[str, int], ...] = ()
    differing: int = 0
    differences: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        excepted = sum(count for _, count in self.exceptions)
        if self.cases != self.agreed + excepted + self.differing:
            raise ValueError(
                f"{self.name}: {self.cases} cases are not {self.agreed} agreed + {excepted} excepted + "
                f"{self.differing} differing"
            )


@dataclass(slots=True)
class Tally:
    """A row in the making."""

    name: str
    elements: int = 0
    agreed: int = 0
    exceptions: Counter[str] = field(default_factory=Counter)
    differing: int = 0
    differences: list[str] = field(default_factory=list)

    def agree(self, elements: int) -> None:
        """Count a case in which both gave the same."""
        self.agreed += 1
        self.elements += elements

    def excuse(self, reason: str, elements: int) -> None:
        """Count a case in which they need not give the same."""
        self.exceptions[reason] += 1
        self.elements += elements

    def differ(self, text: str, elements: int) -> None:
        """Count a case in which they should have given the same, and did not."""
        self.differing += 1
        self.elements += elements
        if len(self.differences) < KEPT:
            self.differences.append(text)

    def row(self) -> Row:
        """Return the counts."""
        return Row(
            name=self.name,
            cases=self.agreed + self.exceptions.total() + self.differing,
            elements=self.elements,
            agreed=self.agreed,
            exceptions=tuple(sorted(self.exceptions.items())),
            differing=self.differing,
            differences=tuple(self.differences),
        )
