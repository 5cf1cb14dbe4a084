"""Chosen experts: the same sets, and near ties told apart from wrong choices."""

from __future__ import annotations

import pytest
import torch

from gptoss.testing.routing import compare_experts

SUBJECT = "router, bfloat16, 1x8, seed 0"
# Token 0: experts 3 and 1; token 1: 0 and 2, with 1 a bfloat16 rounding behind 2.
SCORES = torch.tensor([[0.0, 2.0, 1.0, 3.0], [4.0, 1.999, 2.0, -1.0]])


def weights(*chosen):
    """Return the weights of tokens whose experts are listed, [1, 1, T, 4]."""
    rows = torch.zeros(len(chosen), 4)
    for token, experts in enumerate(chosen):
        rows[token, list(experts)] = 0.5
    return rows[None, None]


def judge(routing, **options):
    devices = {(0, column): copy for column, copy in enumerate(routing)}
    return compare_experts(devices, SCORES, k=2, subject=SUBJECT, **options)


def test_same_sets_pass_in_any_order():
    verdict = judge([weights((1, 3), (2, 0))] * 2)

    assert verdict
    assert str(verdict) == f"0 of 2 tokens have other experts, 0 by a near tie (0 allowed); {SUBJECT}"


def test_near_tie_passes_where_it_is_allowed():
    routing = [weights((1, 3), (1, 0))] * 2

    assert not judge(routing)
    assert judge(routing, near_ties=1)
    assert str(judge(routing)) == (
        "1 of 2 tokens have other experts, 1 by a near tie (0 allowed); "
        "device (0, 0), token 1: chose expert 1, expected expert 2; scores 1.999 and 2, 0.001 apart: a near tie; "
        f"device (0, 1), token 1: chose expert 1, expected expert 2; scores 1.999 and 2, 0.001 apart: a near tie; "
        f"{SUBJECT}"
    )


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ((0, 3), "chose expert 0, expected expert 1; scores 0 and 2, 2 apart: no tie"),
        ((3,), "chose no expert, expected expert 1"),
        ((3, 1, 2), "chose expert 2, expected no expert"),
        ((0, 2), "chose expert 0, 2, expected expert 1, 3; scores 0 and 3, 3 apart: no tie"),
    ],
)
def test_wrong_choice_is_no_tie_whatever_is_allowed(chosen, message):
    verdict = judge([weights(chosen, (0, 2))], near_ties=2)

    assert not verdict
    assert f"device (0, 0), token 0: {message}" in str(verdict)


def test_tie_of_more_experts_than_are_due_is_no_tie():
    scores = torch.tensor([[4.0, 1.999, 2.0, 1.998]])

    verdict = compare_experts({(0, 0): weights((0, 1, 3))}, scores, k=2, subject=SUBJECT, near_ties=1)

    assert not verdict
    assert "chose expert 1, 3, expected expert 2; scores 1.998 and 2, 0.002 apart: no tie" in str(verdict)


def test_one_device_of_two_counts():
    verdict = judge([weights((1, 3), (0, 2)), weights((0, 3), (0, 2))])

    assert not verdict
    assert "1 of 2 tokens have other experts, 0 by a near tie (0 allowed); device (0, 1), token 0" in str(verdict)


def test_wrong_choices_are_named_before_near_ties():
    verdict = judge([weights((1, 3), (1, 0))] * 3 + [weights((0, 3), (0, 2))])

    assert "(0 allowed); device (0, 3), token 0: chose expert 0" in str(verdict)


def test_other_number_of_tokens_is_refused():
    with pytest.raises(ValueError, match=r"device \(0, 0\): weights of 1 tokens, scores of 2"):
        judge([weights((1, 3))])
