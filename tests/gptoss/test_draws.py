"""Inputs that are drawn leave no router in doubt."""

from __future__ import annotations

import pytest
import torch

from gptoss.config import GptOssConfig
from gptoss.reference import Reference
from gptoss.testing.bench import TINY
from gptoss.testing.draws import MARGIN, Draws
from gptoss.weights import DummyWeights


class Watched(Reference):
    """A reference that keeps every router's scores, [S, E] a layer."""

    def router_logits(self, x, layer):
        scores = super().router_logits(x, layer)
        self.__dict__.setdefault("scores", {})[layer] = scores
        return scores


@pytest.fixture
def reference():
    config = GptOssConfig(**TINY)
    return Watched(config, DummyWeights(config))


def gaps(scores):
    ranked = scores.sort(descending=True).values
    return ranked[:, 3] - ranked[:, 4]


def test_tokens_are_clear_in_every_layer(reference):
    tokens = Draws(reference).tokens(24, layers=2)

    reference.model(tokens, layers=2)

    assert tokens.shape == (24,)
    assert gaps(reference.scores[0]).min() > MARGIN - 1e-4
    assert gaps(reference.scores[1]).min() > 2 * MARGIN - 1e-4


def test_stream_is_clear_in_its_layer(reference):
    x = Draws(reference).stream(24, layer=1)

    reference.layer(x, 1)

    assert x.shape == (24, 256)
    assert gaps(reference.scores[1]).min() > MARGIN - 1e-4
    assert torch.equal(x, x.bfloat16().float())


def test_drawing_leaves_most_choices_open(reference):
    tokens = Draws(reference).tokens(64, layers=1)

    assert len(tokens.unique()) > 40
    routing = reference.routing(torch.randn(64, 256), 0)
    assert (routing != 0).any(dim=0).all()


def test_router_that_takes_every_expert_is_always_clear():
    config = GptOssConfig(**{**TINY, "num_local_experts": 4})
    draws = Draws(Reference(config, DummyWeights(config)))

    assert draws.is_clear(torch.randn(5, 256), layer=0).tolist() == [True] * 5


def test_same_seed_draws_the_same(reference):
    draws = Draws(reference)
    torch.manual_seed(3)
    first = draws.tokens(8, layers=2)
    torch.manual_seed(3)

    assert torch.equal(draws.tokens(8, layers=2), first)
