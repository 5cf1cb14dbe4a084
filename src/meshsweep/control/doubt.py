"""Remember which chips a hang or crash has just spoiled, until a test passes on them.

A probe shows that a mesh opens, not that a test can trust it: what fails next on such chips is not put on the test.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

__all__ = ["Doubts", "suspects"]

_SPOILING = frozenset({"hang", "crashed"})
_PROVING = frozenset({"passed", "xfailed"})


class Doubts:
    """Chips in doubt, and the tests that have failed on them since; virtual chips die with their worker.

    ``events`` are those of the run so far, for one that is resumed.
    """

    def __init__(self, events: Iterable[Mapping[str, Any]] = ()) -> None:
        self._excused: dict[int, set[str]] = {}
        chips: dict[str, Collection[int]] = {}
        for event in events:
            if event["event"] == "worker-started":
                chips[event["worker"]] = event.get("chips", ())
            elif event["event"] == "reported":
                for outcome in filter(None, (event.get("seen"), event["outcome"])):
                    self.learn(event["test"], chips.get(event["worker"], ()), outcome)

    def cover(self, test: str, chips: Collection[int]) -> bool:
        """Return whether a failure of a test on these chips may lie with them: once per test, for then it is proven."""
        doubted = [self._excused[chip] for chip in chips if chip in self._excused]
        return any(test not in excused for excused in doubted)

    def learn(self, test: str, chips: Collection[int], outcome: str) -> None:
        """Take in what became of an attempt on these chips."""
        for chip in chips:
            if outcome in _PROVING:
                self._excused.pop(chip, None)
            elif outcome in _SPOILING:
                self._excused[chip] = {test}
            elif outcome == "collateral" and chip in self._excused:
                self._excused[chip].add(test)


def suspects(events: Iterable[Mapping[str, Any]]) -> frozenset[int]:
    """Return the chips that were spoiled in a run, and those that nobody has looked at since a worker died on them."""
    found: set[int] = set()
    for event in events:
        if event["event"] == "examined":
            found.update(event["chips"])
        elif event["event"] == "judged":
            found.difference_update(event["chips"])
            found.update(event["spoiled"])
    return frozenset(found)
