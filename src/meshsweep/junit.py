"""Merge the JUnit files of a run's waves into one, a suite per cell.

The ledger decides what exists and what became of it; pytest's own files add the captured
output of tests that failed. A damaged or missing file loses nothing but that output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from junitparser import (
    Error,
    Failure,
    JUnitXml,
    JUnitXmlError,
    Properties,
    Property,
    Skipped,
    TestCase,
    TestSuite,
)

from meshsweep.ledger import BAD, Ledger, Result, Row

__all__ = ["Key", "key_of", "merge", "read_cases"]

Key = tuple[str, str]

#: XML 1.0 cannot hold these, not even escaped: most control characters, halves of surrogate pairs.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_HEADING = re.compile("^-+ Captured (Log|Out|Err) -+$", re.MULTILINE)


def read_cases(paths: Iterable[Path]) -> tuple[dict[Key, TestCase], tuple[str, ...]]:
    """Return test cases by (class, name), and a line for each file that cannot be read."""
    cases: dict[Key, TestCase] = {}
    damaged = []
    for path in paths:
        try:
            parsed = JUnitXml.fromfile(str(path))
        except FileNotFoundError:
            damaged.append(f"{path.name}: missing; captured output is lost")
        except (JUnitXmlError, SyntaxError, OSError) as error:
            damaged.append(f"{path.name}: damaged ({error}); captured output is lost")
        else:
            cases.update({(str(case.classname), str(case.name)): case for case in _all_cases(parsed)})
    return cases, tuple(damaged)


def _all_cases(parsed: JUnitXml) -> Iterable[TestCase]:
    for suite in parsed:
        yield from suite if isinstance(suite, TestSuite) else ()


def merge(ledger: Ledger, rows: Sequence[Row], cases: Mapping[Key, TestCase]) -> JUnitXml:
    """Return one document: a suite per cell, a case per planned test.

    Axes, PCC, seed and slot are properties of each case. A suite's time is its wall time,
    which is not the sum of its cases where workers ran side by side.
    """
    document = JUnitXml("meshsweep")
    for row in rows:
        found = [r for r in ledger.results if (r.environment, r.cell) == (row.environment, row.cell)]
        suite = TestSuite(_printable(row.cell))
        # Properties come first: the schema of Ant and Jenkins is a sequence.
        suite.add_property("environment", row.environment)
        suite.add_property("busy_s", f"{row.busy_s:.3f}")
        if row.problem:
            suite.add_property("problem", row.problem)
        suite.add_testcases([_case(result, cases) for result in found])
        document.add_testsuite(suite)
    document.update_statistics()
    for suite, row in zip(document, rows, strict=True):
        suite.time = round(row.wall_s, 3)
    document.time = round(ledger.wall_s, 3)
    return document


def _case(result: Result, cases: Mapping[Key, TestCase]) -> TestCase:
    classname, name = key_of(result.test)
    case = TestCase(_printable(name), classname, round(result.duration_s, 3))
    _add_properties(case, result)
    verdict = _verdict(result)
    if verdict is not None:
        case.result = [verdict]
    original = cases.get((classname, name))
    if original is not None and result.outcome in BAD:
        _add_output(case, original)
    return case


def _add_output(case: TestCase, original: TestCase) -> None:
    # pytest writes its headings even where nothing was printed below them.
    if _HEADING.sub("", original.system_out or "").strip():
        case.system_out = original.system_out
    if _HEADING.sub("", original.system_err or "").strip():
        case.system_err = original.system_err


def _verdict(result: Result) -> Failure | Error | Skipped | None:
    if result.outcome == "passed":
        return None
    message = _printable(result.message)
    if result.outcome in ("skipped", "xfailed"):
        return Skipped(message, result.outcome)
    kind = Failure if result.outcome == "failed" else Error
    verdict = kind(message, result.outcome)
    verdict.text = _printable(result.text or result.message)
    return verdict


def _add_properties(case: TestCase, result: Result) -> None:
    fields = {
        "test": result.test,
        "outcome": result.outcome,
        "cell": result.cell,
        "environment": result.environment,
        "slot": result.slot,
        "worker": result.worker,
        **result.properties,
    }
    properties = Properties()
    for name, value in fields.items():
        if value != "":
            properties.append(Property(_printable(str(name)), _printable(str(value))))
    case.append(properties)


def _printable(text: str) -> str:
    return _NOT_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def key_of(test: str) -> Key:
    """Return the (class, name) under which pytest writes a node id to JUnit."""
    path, _, rest = test.partition("::")
    head, bracket, parameters = rest.partition("[")
    *classes, name = head.split("::")
    module = path.removesuffix(".py").replace("/", ".")
    return ".".join([module, *classes]), name + bracket + parameters
