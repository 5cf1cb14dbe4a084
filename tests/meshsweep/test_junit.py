"""The merged JUnit file."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from junitparser import JUnitXml, TestSuite

from meshsweep.results import junit
from meshsweep.results.ledger import OUTCOMES, Ledger, rows

from .test_ledger import CELL, OTHER, Log

TEST = "tests/unit/test_a.py::test_x[1x8-bfloat16-tiny]"


def merged(ledger: Ledger, tmp_path: Path) -> JUnitXml:
    """Return the merged document as a reader of its file sees it."""
    path = tmp_path / "summary.xml"
    path.write_text(junit.render(ledger, rows(ledger)), encoding="utf-8")
    return JUnitXml.fromfile(str(path))


def suites(document: JUnitXml) -> list[TestSuite]:
    """Return the suites of a document."""
    return [suite for suite in document if isinstance(suite, TestSuite)]


def test_every_cell_is_a_suite(tmp_path: Path) -> None:
    log = Log({"wave-0": [CELL, OTHER]}).collected("a.py::x", "a.py::y").collected("a.py::z", cell=OTHER)
    for test, outcome in (("x", "passed"), ("y", "failed"), ("z", "skipped")):
        log.reported(f"a.py::{test}", outcome, "because")
    first, second = suites(merged(log.ledger, tmp_path))

    assert (first.name, first.tests, first.failures, first.errors, first.skipped) == (CELL, 2, 1, 0, 0)
    assert (second.name, second.tests, second.failures, second.errors, second.skipped) == (OTHER, 1, 0, 0, 1)


def test_document_sums_its_suites(tmp_path: Path) -> None:
    log = Log().collected(*(f"a.py::{name}" for name in "abcdef"))
    for test, outcome in zip("abcde", ("passed", "failed", "crashed", "infra", "xfailed"), strict=True):
        log.reported(f"a.py::{test}", outcome, "because")
    merged(log.ledger, tmp_path)

    assert ET.parse(tmp_path / "summary.xml").getroot().attrib == {
        "name": "meshsweep",
        "tests": "6",
        "failures": "1",
        "errors": "3",
        "skipped": "1",
        "time": "6.0",
    }


def test_suite_time_is_wall_time(tmp_path: Path) -> None:
    """Two tests of half a second each, which ended a second apart."""
    document = merged(Log().collected("x", "y").reported("x").reported("y").ledger, tmp_path)
    (suite,) = suites(document)
    properties = {found.name: found.value for found in suite.properties()}

    assert (suite.time, properties["busy_s"], document.time) == (1.5, "1.000", 3.0)


def test_case_carries_axes_and_numbers(tmp_path: Path) -> None:
    log = Log().collected(TEST).sent(TEST)
    log.reported(TEST, mesh="1x8", dtype="bfloat16", scale="tiny", seed=7, **{"pcc.experts": 0.99})
    merged(log.ledger, tmp_path)
    case = ET.parse(tmp_path / "summary.xml").find(".//testcase")

    assert case is not None
    assert case.attrib == {"classname": "tests.unit.test_a", "name": "test_x[1x8-bfloat16-tiny]", "time": "0.5"}
    assert {found.get("name"): found.get("value") for found in case.iter("property")} == {
        "test": TEST,
        "outcome": "passed",
        "cell": CELL,
        "environment": "fake",
        "slot": "virtual.0",
        "worker": "gw0",
        "mesh": "1x8",
        "dtype": "bfloat16",
        "scale": "tiny",
        "seed": "7",
        "pcc.experts": "0.99",
    }


@pytest.mark.parametrize(
    ("outcome", "tag"),
    [
        ("failed", "failure"),
        ("hang", "error"),
        ("crashed", "error"),
        ("infra", "error"),
        ("collateral", "error"),
        ("not-run", "error"),
        ("skipped", "skipped"),
        ("xfailed", "skipped"),
        ("quarantined", "skipped"),
    ],
)
def test_outcome_decides_the_verdict(tmp_path: Path, outcome: str, tag: str) -> None:
    merged(Log().collected(TEST).reported(TEST, outcome, "because").ledger, tmp_path)
    found = ET.parse(tmp_path / "summary.xml").find(f".//testcase/{tag}")

    assert found is not None
    assert (found.get("message"), found.get("type")) == ("because", outcome)


def test_properties_precede_the_cases(tmp_path: Path) -> None:
    """Jenkins and Ant read a sequence."""
    merged(Log().collected(TEST).reported(TEST, "failed", "because", seed=1).ledger, tmp_path)
    suite = ET.parse(tmp_path / "summary.xml").find("testsuite")

    assert suite is not None
    assert [child.tag for child in suite] == ["properties", "testcase"]
    assert [child.tag for child in suite[1]] == ["properties", "failure"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bell \x07", "bell \\x07"),
        ("red \x1b[31m", "red \\x1b[31m"),
        ("nul \x00", "nul \\x00"),
        ("half \udc80", "half \\xdc80"),
        ("end \uffff", "end \\xffff"),
        ("<&>\"'", "<&>\"'"),
        ("\u00e9 \U0001f600", "\u00e9 \U0001f600"),
    ],
)
def test_text_survives_as_valid_xml(tmp_path: Path, text: str, shown: str) -> None:
    log = Log({"wave-0": [text]}).collected(TEST, cell=text).reported(TEST, "failed", text, **{text: text})
    (suite,) = suites(merged(log.ledger, tmp_path))
    (case,) = suite

    assert (suite.name, case.result[0].message, case.result[0].text) == (shown, shown, shown)


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        ({"out": "printed"}, ("printed", None)),
        ({"err": "warned \x07"}, (None, "warned \\x07")),
        ({"out": " \n", "err": ""}, (None, None)),
    ],
)
def test_captured_output_is_kept(tmp_path: Path, printed: dict[str, str], kept: tuple[str | None, str | None]) -> None:
    ledger = Log().collected(TEST).reported(TEST, "failed", "because", printed=printed).ledger
    ((case,),) = [list(suite) for suite in suites(merged(ledger, tmp_path))]

    assert (case.system_out, case.system_err) == kept


def interim(tmp_path: Path, *outcomes: str) -> list[tuple[str, str | None, str | None]]:
    """Return tag, type and stack trace of the elements of all but the last attempt."""
    merged(Log().collected(TEST).attempts(TEST, *outcomes).ledger, tmp_path)
    found = ET.parse(tmp_path / "summary.xml").findall(".//testcase/*")
    return [(e.tag, e.get("type"), e.findtext("stackTrace")) for e in found if e.find("stackTrace") is not None]


def test_flaky_attempts_are_surefires(tmp_path: Path) -> None:
    assert interim(tmp_path, "failed", "crashed", "passed") == [
        ("flakyFailure", "failed", "because 1"),
        ("flakyError", "crashed", "because 2"),
    ]
    assert (ET.parse(tmp_path / "summary.xml").getroot().attrib["failures"]) == "0"


def test_attempts_of_failure_are_reruns(tmp_path: Path) -> None:
    assert interim(tmp_path, "failed", "hang", "failed") == [
        ("rerunFailure", "failed", "because 1"),
        ("rerunError", "hang", "because 2"),
    ]


def test_what_devices_did_makes_nothing_flaky(tmp_path: Path) -> None:
    assert interim(tmp_path, "infra", "failed", "passed") == [("flakyFailure", "failed", "because 2")]
    assert interim(tmp_path, "infra", "collateral", "passed") == []
    properties = ET.parse(tmp_path / "summary.xml").findall(".//testcase/properties/property")
    assert ("earlier_attempts", "infra on virtual.1, collateral on virtual.2") in [
        (found.get("name"), found.get("value")) for found in properties
    ]


def test_crashed_test_is_present(tmp_path: Path) -> None:
    """pytest's own file calls a crash by another name, or lacks it."""
    ledger = Log().collected(TEST).sent(TEST).reported(TEST, "crashed", "worker gw0 died").ledger
    ((case,),) = [list(suite) for suite in suites(merged(ledger, tmp_path))]

    assert (case.name, case.result[0].message) == ("test_x[1x8-bfloat16-tiny]", "worker gw0 died")


def test_counts_are_what_junitparser_counts(tmp_path: Path) -> None:
    """Our own text for what passed; the times are wall times, which it does not know."""
    log = Log({"wave-0": [CELL, OTHER]}).collected(*(f"a.py::{o}" for o in OUTCOMES))
    log.collected(TEST, "b.py::<&\"'>\n", cell=OTHER).reported(TEST, "passed").reported("b.py::<&\"'>\n", "failed")
    for outcome in OUTCOMES:
        log.reported(f"a.py::{outcome}", outcome, "because")
    ours, theirs = merged(log.ledger, tmp_path), merged(log.ledger, tmp_path)
    theirs.update_statistics()

    for mine, other in zip([ours, *suites(ours)], [theirs, *suites(theirs)], strict=True):
        counts = [(found.tests, found.failures, found.errors, found.skipped) for found in (mine, other)]
        assert counts[0] == counts[1]


@pytest.mark.parametrize("outcome", ["passed", "xfailed"])
def test_plain_text_is_what_elements_give(tmp_path: Path, outcome: str) -> None:
    """What passed is written as text, all else by junitparser: both carry any name and value unchanged."""
    name, value = "a/b.py::test_x[<&\"'>\t\n-\u00e9]", "<&\"'>\t\n-\u00e9"
    merged(Log().collected(name).sent(name).reported(name, outcome, **{value: value}).ledger, tmp_path)
    (case,) = ET.parse(tmp_path / "summary.xml").iter("testcase")

    assert (case.get("classname"), case.get("name")) == ("a.b", "test_x[<&\"'>\t\n-\u00e9]")
    assert (value, value) in [(found.get("name"), found.get("value")) for found in case.iter("property")]


@pytest.mark.parametrize(
    ("test", "key"),
    [
        ("a/b.py::test_x", ("a.b", "test_x")),
        ("a/b.py::TestC::test_x[1-2]", ("a.b.TestC", "test_x[1-2]")),
        ("b.py::test_x[c::d/e.py]", ("b", "test_x[c::d/e.py]")),
    ],
)
def test_key_is_what_pytest_writes(test: str, key: tuple[str, str]) -> None:
    assert junit.key_of(test) == key
