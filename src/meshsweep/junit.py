"""Render a ledger as JUnit: a suite per cell, a case per planned test.

The ledger holds all there is to say, captured output included, so that a run that was killed says as much.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from junitparser import Error, Failure, JUnitXml, Properties, Property, Skipped
from junitparser.xunit2 import FlakyError, FlakyFailure, InterimResult, RerunError, RerunFailure, TestCase, TestSuite

from meshsweep.ledger import Attempt, Ledger, Result, Row

__all__ = ["document", "key_of", "render"]

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
    """Return the document as indented XML."""
    # junitparser's own way to indent needs minutes where this needs seconds.
    root = ET.fromstring(document(ledger, rows).tostring())  # noqa: S314  # our own text
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def document(ledger: Ledger, rows: Sequence[Row]) -> JUnitXml:
    """Return one document: a suite per cell, a case per planned test.

    Axes, PCC, seed and slot are properties of each case. A suite's time is its wall time,
    which is not the sum of its cases where workers ran side by side.
    """
    made = JUnitXml("meshsweep")
    found: dict[tuple[str, str], list[Result]] = {}
    for result in ledger.results:
        found.setdefault((result.environment, result.cell), []).append(result)
    for row in rows:
        suite = TestSuite(_printable(row.cell))
        # Properties come first: the schema of Ant and Jenkins is a sequence.
        suite.add_property("environment", row.environment)
        suite.add_property("busy_s", f"{row.busy_s:.3f}")
        if row.problem:
            suite.add_property("problem", row.problem)
        suite.add_testcases([_case(result) for result in found.get((row.environment, row.cell), ())])
        made.add_testsuite(suite)
    made.update_statistics()
    for element, row in zip(made, rows, strict=True):
        element.time = round(row.wall_s, 3)
    made.time = round(ledger.wall_s, 3)
    return made


def _case(result: Result) -> TestCase:
    classname, name = key_of(result.test)
    case = TestCase(_printable(name), classname, round(result.duration_s, 3))
    _add_properties(case, result)
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
    return case


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


def _add_properties(case: TestCase, result: Result) -> None:
    before = ", ".join(f"{attempt.outcome} on {attempt.slot or 'no slot'}" for attempt in result.earlier)
    fields = {
        "test": result.test,
        "outcome": result.outcome,
        "cell": result.cell,
        "environment": result.environment,
        "slot": result.slot,
        "worker": result.worker,
        "earlier_attempts": before,
        "quarantine_owner": result.owner,
        "quarantine_expires": result.expires,
        **result.properties,
    }
    properties = Properties()
    for name, value in fields.items():
        if value != "":
            properties.append(Property(_printable(str(name)), _printable(str(value))))
    case.append(properties)


def _printable(text: str) -> str:
    return _NOT_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def key_of(test: str) -> tuple[str, str]:
    """Return the (class, name) under which pytest writes a node id to JUnit."""
    path, _, rest = test.partition("::")
    head, bracket, parameters = rest.partition("[")
    *classes, name = head.split("::")
    module = path.removesuffix(".py").replace("/", ".")
    return ".".join([module, *classes]), name + bracket + parameters
