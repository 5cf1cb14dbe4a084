"""The reference agrees with Hugging Face's own implementation, where that is installed."""

from __future__ import annotations

import pytest
import torch

from gptoss.config import GptOssConfig
from gptoss.reference import Reference
from gptoss.weights import DummyWeights

transformers = pytest.importorskip("transformers", reason="install transformers>=5 to check the reference against it")

TINY = {
    "hidden_size": 96,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_local_experts": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 100,
    "sliding_window": 16,
    "initial_context_length": 64,
    "max_position_embeddings": 2048,
}
# Two float32 programs that sum in different orders; logits are about 2.
TOLERANCE = 2e-5


def build_oracle(config: GptOssConfig, weights: DummyWeights) -> torch.nn.Module:
    """Return transformers' model with our weights."""
    theirs = transformers.GptOssConfig(
        **{name: value for name, value in config.as_dict().items() if name in TINY},
        num_experts_per_tok=config.num_experts_per_tok,
        rms_norm_eps=config.rms_norm_eps,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": config.rope_theta,
            "factor": config.rope_scaling_factor,
            "beta_fast": config.rope_beta_fast,
            "beta_slow": config.rope_beta_slow,
            "truncate": config.rope_truncate,
            "original_max_position_embeddings": config.initial_context_length,
        },
    )
    theirs._attn_implementation = "eager"
    theirs._experts_implementation = "eager"
    model = transformers.GptOssForCausalLM(theirs).eval()
    model.load_state_dict({name: weights[name] for name in weights})
    return model


def test_reference_matches_hugging_face() -> None:
    config = GptOssConfig(**TINY)
    weights = DummyWeights(config)
    tokens = torch.randint(0, 100, (40,), generator=torch.Generator().manual_seed(5))

    with torch.no_grad():
        expected = build_oracle(config, weights)(tokens[None]).logits[0]

    actual = Reference(config, weights).model(tokens, layers=2)
    assert (actual - expected).abs().max() < TOLERANCE
