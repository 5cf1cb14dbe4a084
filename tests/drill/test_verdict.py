"""A failed test is a catch, a refusal or a crash, and its words name no place of this machine."""

from __future__ import annotations

import json

import pytest

from tests.drill import runner
from tests.drill.verdict import BROKEN, CAUGHT, COMPARED, CRASHED, NEVER_REACHED, REFUSED, SURVIVED, Failure, Result


def failure(kind, test="test_it"):
    return Failure(test=test, kind=kind, evidence="")


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (Result(fault="f", calls=1, failures=(failure(COMPARED),)), CAUGHT),
        (Result(fault="f", calls=1, failures=(failure(CRASHED), failure(REFUSED))), CAUGHT),
        (Result(fault="f", calls=1, failures=(failure(CRASHED),)), BROKEN),
        (Result(fault="f", calls=1, passed=17), SURVIVED),
        (Result(fault="f", calls=0, failures=(failure(COMPARED),)), NEVER_REACHED),
        (Result(fault="f", calls=1, failures=(failure(COMPARED),), trouble="late"), BROKEN),
    ],
)
def test_verdict_follows_from_calls_and_failures(result, verdict):
    assert result.verdict == verdict


def raised(act):
    """Return the failure of a test that ends with what ``act`` raises."""
    try:
        act()
    except BaseException as error:  # noqa: BLE001  (pytest.fail raises one)
        return Failure.of("test_it", error)
    raise AssertionError("nothing was raised")


def refuse_by_library():
    import torch
    import ttnn

    ttnn.from_torch(torch.zeros(32, 32), dtype=ttnn.bfloat8_b, layout=ttnn.ROW_MAJOR_LAYOUT)


def refuse_by_model():
    from gptoss.config import GptOssConfig

    GptOssConfig(hidden_size=-1)


def trip_torch_in_the_model():
    import torch

    from gptoss.weights import mxfp4

    mxfp4.unpack(torch.zeros(2, 3, 16, dtype=torch.uint8), torch.zeros(5, 7, dtype=torch.uint8))


def trip_torch_in_the_library():
    import torch

    from ttemu import axes

    axes.spread(torch.zeros(2, 2, 32, 32), (3, 3))


def trip_the_judge():
    import torch

    from gptoss.testing.generation import compare_generation

    compare_generation([torch.zeros(2, 8)], torch.zeros(3), least_top1=1.0, least_top5=1.0, subject="")


def fail_a_comparison():
    text = (
        "assert device (0, 1) differs from (0, 0) by 2; PCC 0.9 < 0.99; max error 0.1 <= 0.2 (rope, bfloat16, seed 3)"
    )
    raise AssertionError(text + "\n +  where more is said")


@pytest.mark.parametrize(
    ("act", "kind", "evidence"),
    [
        (fail_a_comparison, COMPARED, "rope: device (0, 1) differs from (0, 0) by 2; PCC 0.9 < 0.99"),
        (lambda: pytest.fail("DID NOT RAISE"), COMPARED, "DID NOT RAISE"),
        (refuse_by_model, REFUSED, "GptOssConfig.hidden_size = -1; expected a positive whole number"),
        (lambda: int("x"), CRASHED, "invalid literal for int() with base 10: 'x'"),
        (trip_the_judge, CRASHED, "logits of 2 tokens; expected 3"),
        (refuse_by_library, REFUSED, "ttnn.from_torch: BFLOAT8_B needs TILE layout, got ROW_MAJOR"),
    ],
)
def test_failure_is_judged_by_its_error(act, kind, evidence):
    found = raised(act)

    assert (found.kind, found.evidence) == (kind, evidence)


@pytest.mark.parametrize("act", [trip_torch_in_the_model, trip_torch_in_the_library])
def test_error_of_torch_is_a_crash_wherever_it_leaves(act):
    found = raised(act)

    assert (found.kind, "size" in found.evidence) == (CRASHED, True)


def test_evidence_names_no_directory_and_no_address():
    def fail():
        raise AssertionError("/home/someone/pytest-3/model.bin at 0x7f12ab holds 3")

    assert raised(fail).evidence == ".../model.bin at ... holds 3"


def test_result_survives_json():
    result = Result(fault="f", calls=2, passed=3, failures=(failure(COMPARED),))
    text = json.dumps({"fault": "f", "calls": 2, "passed": 3, "trouble": ""} | {"failures": [vars_of(result)]})

    assert runner.from_json(json.loads(text)) == result


def vars_of(result):
    (first,) = result.failures
    return {"test": first.test, "kind": first.kind, "evidence": first.evidence}
