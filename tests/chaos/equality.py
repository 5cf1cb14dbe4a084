"""Compare two summaries: all that a test is and was, apart from times and places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos.host import Sweep
from tests.chaos.judge import attempts, by_design

__all__ = ["Reference", "differences"]

#: What two runs of the same plan may differ in.
_TIMES_AND_PLACES = {"duration_s", "started", "worker", "slot", "mesh_open_s"}

#: Numbers of workers, processes and addresses in messages and texts, what a stopped process was doing, and how a
#: worker ended, which nobody can tell while the process that it was forked from is stopped.
_VARIES = re.compile(
    r"\bgw\d+|0x[0-9a-f]+|chips=\([\d, ]*\)|\d+\.\d s\b.*|was killed by \w+|ended with exit code \d+|\bdied\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a sweep has come to: each result, and what the run as a whole says of itself."""

    results: Mapping[str, Any]
    whole: Mapping[str, Any]
    #: Tests one of whose attempts ended otherwise than by design: chaos, a spoiled neighbour or a slow host.
    odd: frozenset[str]

    @classmethod
    def of(cls, sweep: Sweep) -> Reference:
        """Return it from the summary of a sweep."""
        tried = attempts(sweep)
        summary = sweep.summary()
        run = summary["runs"][0]
        varies = {"event", "t", "run", "pid", "root", "matrix", "today", "platform"}
        return cls(
            results={result["test"]: _essence(result) for result in summary["results"]},
            whole={
                "cells": [cell["cell"] for cell in summary["cells"]],
                "planned": {cell["cell"]: cell["planned"] for cell in summary["cells"]},
                "included": summary["included"],
                "excluded": summary["excluded"],
                "order": [result["test"] for result in summary["results"]],
                "run": {key: value for key, value in run.items() if key not in varies},
                "warnings": summary["warnings"],
            },
            odd=frozenset(
                design.test
                for design in sweep.designs
                if [one.outcome for one in tried.get(design.test, ()) if one.outcome]
                != list(by_design(design, sweep.reruns))
            ),
        )


def differences(expected: Reference, found: Reference) -> list[str]:
    """Return in what two runs differ; of odd tests only what chaos cannot have changed is compared."""
    lines = [
        f"summary differs: {key}: {expected.whole[key]!r}, now {found.whole[key]!r}"
        for key in expected.whole
        if expected.whole[key] != found.whole[key]
    ]
    for test, before in expected.results.items():
        now = found.results.get(test, {})
        keys = ("test", "cell", "wave", "environment") if test in expected.odd | found.odd else before
        lines += [
            f"{test} differs: {key}: {before.get(key)!r}, now {now.get(key)!r}"
            for key in keys
            if before.get(key) != now.get(key)
        ]
    return lines


def _essence(value: Any) -> Any:
    if isinstance(value, dict):
        # The stack of a process that hung or crashed, and what it had printed, depend on the moment and the place.
        texts = {"text", "out", "err"} if value.get("outcome") in ("hang", "crashed") else set()
        return {key: _essence(item) for key, item in value.items() if key not in _TIMES_AND_PLACES | texts}
    if isinstance(value, str):
        return _VARIES.sub("...", value)
    return [_essence(item) for item in value] if isinstance(value, list) else value
