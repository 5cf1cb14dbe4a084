"""config.json in both of its styles, and what is said about one that cannot be ours."""

from __future__ import annotations

import json
import re

import pytest

from gptoss.config import ConfigError, GptOssConfig
from gptoss.weights import hf_config

# The sizes of gpt-oss-20b in the words of its own config.json.
PUBLISHED = {
    "model_type": "gpt_oss",
    "attention_bias": True,
    "experts_per_token": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2880,
    "initial_context_length": 4096,
    "intermediate_size": 2880,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
    "max_position_embeddings": 131072,
    "num_attention_heads": 64,
    "num_hidden_layers": 24,
    "num_key_value_heads": 8,
    "num_local_experts": 32,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "rope_type": "yarn",
        "truncate": False,
    },
    "rope_theta": 150000,
    "router_aux_loss_coef": 0.9,
    "sliding_window": 128,
    "swiglu_limit": 7.0,
    "tie_word_embeddings": False,
    "vocab_size": 201088,
}


def newer(record):
    """Return the record as transformers 5 writes it."""
    record = dict(record)
    rope = record.pop("rope_scaling") | {"rope_theta": record.pop("rope_theta")}
    return record | {"rope_parameters": rope, "num_experts_per_tok": record.pop("experts_per_token")}


@pytest.mark.parametrize("style", [dict, newer])
def test_both_styles_give_the_published_model(style):
    assert hf_config.from_json(style(PUBLISHED)) == GptOssConfig()


@pytest.mark.parametrize("style", [dict, newer])
def test_every_number_of_rope_is_read(style):
    rope = {"beta_fast": 16.0, "beta_slow": 2.0, "factor": 8.0, "original_max_position_embeddings": 512}
    record = PUBLISHED | {"rope_theta": 1e4, "rope_scaling": PUBLISHED["rope_scaling"] | rope | {"truncate": True}}

    config = hf_config.from_json(style(record))

    assert config == GptOssConfig(
        rope_theta=1e4,
        rope_beta_fast=16.0,
        rope_beta_slow=2.0,
        rope_scaling_factor=8.0,
        initial_context_length=512,
        rope_truncate=True,
    )


def test_what_is_written_is_read_back():
    config = GptOssConfig(
        hidden_size=64, swiglu_alpha=1.5, rope_beta_fast=16.0, num_experts_per_tok=2, rms_norm_eps=1e-6
    )

    assert hf_config.from_json(hf_config.to_json(config)) == config


ROPE = PUBLISHED["rope_scaling"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"model_type": "mixtral"}, "model_type = 'mixtral'; expected 'gpt_oss'"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings = True; expected False"),
        ({"layer_types": ["full_attention"]}, "layer_types = ['full_attention']; expected ['sliding_attention', 'full"),
        ({"rope_scaling": {"rope_type": "linear"}}, "rope_type = 'linear'; expected 'yarn'"),
        ({"rope_scaling": {"factor": 32.0, "attention_factor": 2.0}}, "attention_factor = 2.0; expected 1.3465"),
        *[
            (
                {"rope_scaling": ROPE | {"factor": value}},
                f"GptOssConfig.rope_scaling_factor = {value!r}; expected a number of 1 or more",
            )
            for value in (0, -32.0, 0.5, "32", True, float("inf"))
        ],
        ({"rope_scaling": ROPE | {"beta_fast": 0}}, "GptOssConfig.rope_beta_fast = 0; expected a number above 0"),
        ({"rope_scaling": ROPE | {"beta_slow": "1"}}, "GptOssConfig.rope_beta_slow = '1'; expected a number above 0"),
        ({"rope_scaling": ROPE | {"beta_slow": 64.0}}, "rope_beta_slow = 64.0; expected at most rope_beta_fast = 32.0"),
        ({"rope_scaling": "yarn"}, "rope_scaling_factor is missing"),
        ({"rope_theta": 1.0}, "GptOssConfig.rope_theta = 1.0; expected a number above 1"),
        ({"rope_theta": float("nan")}, "GptOssConfig.rope_theta = nan; expected a number above 1"),
        ({"rms_norm_eps": 0}, "GptOssConfig.rms_norm_eps = 0; expected a number above 0"),
        ({"rms_norm_eps": -1e-5}, "GptOssConfig.rms_norm_eps = -1e-05; expected a number above 0"),
        ({"swiglu_limit": None}, "GptOssConfig.swiglu_limit = None; expected a number above 0"),
        ({"num_hidden_layers": -1}, "GptOssConfig.num_hidden_layers = -1; expected a positive whole number"),
        ({"num_hidden_layers": 0}, "GptOssConfig.num_hidden_layers = 0; expected a positive whole number"),
        ({"vocab_size": 2.5}, "GptOssConfig.vocab_size = 2.5; expected a positive whole number"),
        ({"experts_per_token": 33}, "num_experts_per_tok = 33; expected at most num_local_experts = 32"),
        ({"hidden_size": "2880"}, "GptOssConfig.hidden_size = '2880'; expected a positive whole number"),
    ],
)
def test_model_that_ours_cannot_be_is_refused(change, fault):
    record = PUBLISHED | change

    with pytest.raises(ConfigError) as caught:
        hf_config.from_json(record)

    assert any(line.startswith(f"config.json: {fault}") for line in str(caught.value).splitlines()), caught.value


def test_all_that_is_missing_is_listed():
    record = {name: value for name, value in PUBLISHED.items() if name not in {"vocab_size", "rope_scaling"}}

    with pytest.raises(ConfigError) as caught:
        hf_config.from_json(record)

    assert str(caught.value).splitlines() == [
        "config.json: vocab_size is missing",
        "config.json: rope_scaling_factor is missing",
        "config.json: rope_beta_fast is missing",
        "config.json: rope_beta_slow is missing",
        "config.json: rope_type = None; expected 'yarn'",
    ]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (None, "config.json: cannot be read: No such file or directory; fetch it again"),
        (b"", "config.json: not JSON in UTF-8: Expecting value: line 1 column 1 (char 0); fetch it again"),
        (b"\xff", "config.json: not JSON in UTF-8: 'utf-8' codec"),
        (b"[1]", "config.json: holds list, expected a table"),
    ],
)
def test_unreadable_file_is_named(tmp_path, data, fault):
    if data is not None:
        (tmp_path / "config.json").write_bytes(data)

    with pytest.raises(ConfigError, match=re.escape(fault)):
        hf_config.read(tmp_path)


def test_differences_name_field_expected_and_found(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED))

    assert hf_config.differences(tmp_path, GptOssConfig()) == []
    assert hf_config.differences(tmp_path, GptOssConfig(hidden_size=256, rope_truncate=True)) == [
        f"{tmp_path}/config.json: hidden_size expected 256, found 2880",
        f"{tmp_path}/config.json: rope_truncate expected True, found False",
    ]
