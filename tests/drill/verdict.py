"""Tell what a failed test says about a fault: caught it, or broke for a reason of its own.

A catch is a comparison that refuses (AssertionError, pytest.fail), or an error that ttnn or the model raises about
what it was given. Everything else, such as an AttributeError from a clumsy fault, is a crash and proves nothing.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = [
    "BROKEN",
    "CAUGHT",
    "COMPARED",
    "CRASHED",
    "NEVER_REACHED",
    "REFUSED",
    "SURVIVED",
    "Failure",
    "Result",
    "names",
]

COMPARED, REFUSED, CRASHED = "compared", "refused", "crashed"
CAUGHT, SURVIVED, NEVER_REACHED, BROKEN = "caught", "survived", "never reached", "broken"

_REFUSING = ("gptoss", "ttemu")
# What the tests judge by refuses nothing: an error of its own is a crash.
_JUDGES = {("gptoss", "reference"), ("gptoss", "testing")}
_LONGEST = 110
# What differs from run to run: addresses and directories.
_PLACES = re.compile(r"0x[0-9a-f]+|(?:/[\w.-]+){2,}(?=/)")
_ANSWERS = {answer: f"a condition is {answer}" for answer in ("True", "False", "None")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One test that failed with the fault in the code: how, and in which words."""

    test: str
    kind: str
    evidence: str

    @classmethod
    def of(cls, test: str, error: BaseException) -> Failure:
        """Judge an error that left a test."""
        return cls(test=test, kind=_kind(error), evidence=_evidence(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run of the suite with one fault gave."""

    fault: str
    calls: int = 0
    passed: int = 0
    failures: tuple[Failure, ...] = ()
    trouble: str = ""
    took_s: float = 0.0

    @property
    def catches(self) -> tuple[Failure, ...]:
        """Return the first catch of each test."""
        return tuple({f.test: f for f in reversed(self.failures) if f.kind != CRASHED}.values())[::-1]

    @property
    def verdict(self) -> str:
        """Return whether the suite caught the fault, or why that cannot be said."""
        if self.trouble:
            return BROKEN
        if not self.calls:
            return NEVER_REACHED
        if self.catches:
            return CAUGHT
        return BROKEN if self.failures else SURVIVED

    def why(self) -> str:
        """Return what a reader needs to know of a fault that was not caught."""
        if self.trouble:
            return self.trouble
        crashes = "; ".join(f"{failure.test}: {failure.evidence}" for failure in self.failures[:1])
        return {
            SURVIVED: f"{self.passed} tests passed",
            NEVER_REACHED: "nothing called what it replaces",
            BROKEN: f"the tests crashed, which proves nothing: {crashes}",
            CAUGHT: "",
        }[self.verdict]


def _kind(error: BaseException) -> str:
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return COMPARED
    told = isinstance(error, RuntimeError | ValueError) and not isinstance(error, NotImplementedError | UnicodeError)
    return REFUSED if told and _is_refused(error) else CRASHED


def _is_refused(error: BaseException) -> bool:
    """Say whether the library or the model raised the error itself; torch's, which merely leaves them, is a crash."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not (frames[-1].line or "").startswith("raise"):
        return False
    folders = Path(frames[-1].filename).with_suffix("").parts
    package = next((at for at in reversed(range(len(folders))) if folders[at] in _REFUSING), None)
    return package is not None and folders[package : package + 2] not in _JUDGES


def _evidence(error: BaseException) -> str:
    """Return the telling part of a message: a comparison's numbers, or the first line."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0].removeprefix("assert ").removeprefix("not ")
    # pytest may have cut the middle out of a long one.
    compared = re.fullmatch(r"(?P<parts>.*(?:PCC|error) .*) \((?P<component>\w+)[,)].*", line)
    if compared:
        telling = _telling(compared["parts"].split("; ")) or ["within bounds, where a refusal was expected"]
        line = f"{compared['component']}: {'; '.join(telling)}"
    line = _PLACES.sub("...", _ANSWERS.get(line, line))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def _telling(parts: Sequence[str]) -> list[str]:
    """Return the parts of a verdict that lie out of bounds, at most two."""
    return [part for part in parts if " >= " not in part and " <= " not in part][:2]


def names(failures: Iterable[Failure], shown: int = 3) -> str:
    """Return the first tests and how many there are."""
    listed = [failure.test.removeprefix("test_") for failure in failures]
    more = f" + {len(listed) - shown}" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more
