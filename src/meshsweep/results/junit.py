"""Render a ledger as JUnit: a suite per cell, a case per planned test.

The ledger holds all there is to say, captured output included, so that a run that was killed says as much.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from xml.sax.saxutils import quoteattr

from junitparser import Error, Failure, Properties, Property, Skipped
from junitparser.xunit2 import FlakyError, FlakyFailure, InterimResult, RerunError, RerunFailure, TestCase

from meshsweep.results.ledger import Attempt, Ledger, Result, Row

__all__ = ["key_of", "render"]

#: XML 1.0 cannot hold these, not even escaped: most control characters, halves of surrogate pairs.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: The element of an outcome; a test that passed has none.
_VERDICTS = {
    "failed": Failure,
    **dict.fromkeys(("hang", "crashed", "infra", "collateral", "not-run"), Error),
    **dict.fromkeys(("skipped", "xfailed", "quarantined"), Skipped),
}

#: Surefire's elements for an attempt that did not stand, by whether the test passed in the end.
_INTERIM: dict[tuple[bool, bool], type[InterimResult]] = {
    (True, True): FlakyFailure,
    (True, False): FlakyError,
    (False, True): RerunFailure,
    (False, False): RerunError,
}


def render(ledger: Ledger, rows: Sequence[Row]) -> str:
    """Return one document: a suite per cell, a case per planned test.

    Axes, PCC, seed and slot are properties of each case. A suite's time is its wall time,
    which is not the sum of its cases where workers ran side by side.
    """
    found: dict[tuple[str, str], list[Result]] = {}
    for result in ledger.results:
        found.setdefault((result.environment, result.cell), []).append(result)
    attributes = _counts([result.outcome for result in ledger.results], ledger.wall_s)
    suites = "".join(_suite(row, found.get((row.environment, row.cell), ())) for row in rows)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites name="meshsweep"{attributes}>\n{suites}</testsuites>\n'


def _suite(row: Row, results: Sequence[Result]) -> str:
    attributes = _counts([result.outcome for result in results], row.wall_s)
    fields = {"environment": row.environment, "busy_s": f"{row.busy_s:.3f}", "problem": row.problem}
    # Properties come first: the schema of Ant and Jenkins is a sequence.
    inner = _properties(fields) + "".join(_plain_case(r) if r.outcome == "passed" else _case(r) for r in results)
    return f"<testsuite name={_quoted(row.cell)}{attributes}>\n{inner}</testsuite>\n"


def _counts(outcomes: Sequence[str], wall_s: float) -> str:
    kinds = Counter(_VERDICTS.get(outcome) for outcome in outcomes)
    return (
        f' tests="{len(outcomes)}" failures="{kinds[Failure]}" errors="{kinds[Error]}" skipped="{kinds[Skipped]}"'
        f' time="{round(wall_s, 3)}"'
    )


def _plain_case(result: Result) -> str:
    """Return the text of a case that passed: most of them do, and building elements takes ten times as long."""
    classname, name = key_of(result.test)
    attributes = f'classname={_quoted(classname)} name={_quoted(name)} time="{round(result.duration_s, 3)}"'
    return f"<testcase {attributes}>\n{_properties(_fields(result))}</testcase>\n"


def _properties(fields: Mapping[str, object]) -> str:
    shown = ((name, str(value)) for name, value in fields.items() if value != "")
    rows = "".join(f"<property name={_quoted(name)} value={_quoted(value)}/>\n" for name, value in shown)
    return f"<properties>\n{rows}</properties>\n"


@lru_cache(maxsize=65_536)
def _quoted(text: str) -> str:
    return quoteattr(_printable(text))


def _case(result: Result) -> str:
    classname, name = key_of(result.test)
    case = TestCase(_printable(name), _printable(classname), round(result.duration_s, 3))
    properties = Properties()
    for field, value in _fields(result).items():
        if value != "":
            properties.append(Property(_printable(field), _printable(str(value))))
    case.append(properties)
    kind = _VERDICTS.get(result.outcome)
    if kind is not None:
        verdict = kind(_printable(result.message), result.outcome)
        if kind is not Skipped:
            verdict.text = _printable(result.text or result.message)
        case.result = [verdict]
    for attempt in result.earlier:
        interim = _interim(attempt, has_passed=result.outcome == "flaky")
        if interim is not None:
            case.add_interim_result(interim)
    for attribute, text in (("system_out", result.out), ("system_err", result.err)):
        if text.strip():
            setattr(case, attribute, _printable(text))
    return str(case.tostring().decode()) + "\n"


def _interim(attempt: Attempt, *, has_passed: bool) -> InterimResult | None:
    """Return the element of an attempt that did not stand, none for one that the test had no part in."""
    if attempt.outcome in ("infra", "collateral"):
        # Readers count what they find here as flakiness of the test.
        return None
    interim = _INTERIM[has_passed, attempt.outcome == "failed"](_printable(attempt.message), attempt.outcome)
    interim.stack_trace = _printable(attempt.text or attempt.message)
    if attempt.out.strip():
        interim.system_out = _printable(attempt.out)
    if attempt.err.strip():
        interim.system_err = _printable(attempt.err)
    return interim


def _fields(result: Result) -> dict[str, object]:
    """Return what becomes a property of a case, what is empty included."""
    return {
        "test": result.test,
        "outcome": result.outcome,
        "cell": result.cell,
        "environment": result.environment,
        "slot": result.slot,
        "worker": result.worker,
        "earlier_attempts": ", ".join(f"{before.outcome} on {before.slot or 'no slot'}" for before in result.earlier),
        "quarantine_owner": result.owner,
        "quarantine_expires": result.expires,
        **result.properties,
    }


def _printable(text: str) -> str:
    return _NOT_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def key_of(test: str) -> tuple[str, str]:
    """Return the (class, name) under which pytest writes a node id to JUnit."""
    path, _, rest = test.partition("::")
    head, bracket, parameters = rest.partition("[")
    *classes, name = head.split("::")
    module = path.removesuffix(".py").replace("/", ".")
    return ".".join([module, *classes]), name + bracket + parameters
