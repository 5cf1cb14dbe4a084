"""Generated tokens: what counts as agreement."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from gptoss.config import GptOssConfig
from gptoss.reference import Reference
from gptoss.testing.generation import NEW_TOKENS, compare_generation, greedy
from gptoss.weights import DummyWeights
from meshsweep import loader

ROOT = Path(__file__).parents[2]
TOKENS = torch.tensor([3, 1, 4])


def judge(*copies):
    return compare_generation(copies, TOKENS, least_top1=0.9, least_top5=1.0, subject="generation, 1x8")


def logits(*orders):
    """Return logits [N, 8] whose best tokens are listed, best first."""
    rows = torch.zeros(len(orders), 8)
    for row, order in zip(rows, orders, strict=True):
        for place, token in enumerate(order):
            row[token] = 10.0 - place
    return rows


RIGHT = logits([3], [1], [4])


def test_first_choices_that_agree_pass():
    verdict = judge(RIGHT, RIGHT)

    assert verdict
    assert str(verdict) == "top-1 1.0000 >= 0.9; top-5 1.0000 >= 1 of 3 tokens; generation, 1x8"


def test_token_among_the_first_five_counts_for_top5_alone():
    verdict = judge(logits([3], [0, 1], [4]))

    assert (verdict.top1, verdict.top5) == (pytest.approx(2 / 3), 1.0)
    assert not verdict
    assert re.search(r"top-1 0\.6667 < 0\.9; .*; copy 0, token 1: 1 expected, \[0, 1, ", str(verdict))


def test_token_beyond_the_first_five_counts_for_nothing():
    verdict = judge(logits([3], [0, 2, 3, 4, 5, 1], [4]))

    assert (verdict.top1, verdict.top5) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_worst_copy_counts():
    stale = logits([4, 3], [1], [3, 4])

    assert (judge(RIGHT, stale).top1, judge(RIGHT, stale).top5) == (pytest.approx(1 / 3), 1.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_row_with_a_value_that_is_no_number_chooses_nothing(bad):
    broken = RIGHT.clone()
    broken[0, 3] = bad

    assert judge(broken).top5 == pytest.approx(2 / 3)


def test_constant_row_chooses_nothing():
    # Its first five are tokens 0 to 4, which would hold all that is expected.
    assert (judge(torch.zeros(3, 8)).top1, judge(torch.zeros(3, 8)).top5) == (0.0, 0.0)


def test_other_number_of_rows_is_refused():
    with pytest.raises(ValueError, match="logits of 2 tokens; expected 3"):
        judge(RIGHT[:2])


@pytest.fixture(scope="module")
def tiny():
    return GptOssConfig(**loader.load(ROOT / "matrix").scales["tiny"].config)


def test_greedy_tokens_are_the_best_of_the_whole_text(tiny):
    reference = Reference(tiny, DummyWeights(tiny))
    prompt = torch.arange(20)

    new = greedy(reference, prompt, layers=2, count=4)

    logits = reference.model(torch.cat([prompt, new]), layers=2)
    assert new.tolist() == logits[19:23].argmax(dim=-1).tolist()


def test_generated_text_does_not_repeat_one_token(tiny):
    new = greedy(Reference(tiny, DummyWeights(tiny)), torch.arange(20), layers=2)

    # A model that always says the same would agree by chance.
    assert (len(new), len(set(new.tolist())) > NEW_TOKENS // 2) == (NEW_TOKENS, True)
