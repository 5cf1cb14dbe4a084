"""A model's sizes: published defaults, and errors for what does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gptoss.config import ConfigError, GptOssConfig
from gptoss.testing.bench import TINY

MATRIX = Path(__file__).parents[2] / "matrix"


def scales():
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
    return tomllib.loads((MATRIX / "scales.toml").read_text())


def test_defaults_are_the_published_20b():
    config = GptOssConfig()

    assert (config.hidden_size, config.num_hidden_layers, config.num_local_experts) == (2880, 24, 32)
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (64, 8, 64)
    assert (config.vocab_size, config.sliding_window, config.swiglu_limit) == (201088, 128, 7.0)


def test_fields_are_those_of_the_matrix():
    assert list(GptOssConfig().as_dict()) == list(scales()["fields"])


def test_unbound_bench_uses_the_tiny_scale():
    assert dict(TINY) == scales()["scales"]["tiny"]["config"]


@pytest.mark.parametrize("scale", ["tiny", "tiny-padded", "guide-20b", "gpt-oss-120b"])
def test_every_scale_is_a_config(scale):
    declared = scales()["scales"][scale]["config"]

    config = GptOssConfig(**declared)

    assert declared.items() <= config.as_dict().items()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_experts": 64}, "no field 'num_experts'; did you mean num_local_experts or num_experts_per_tok?"),
        ({"hidden": 64}, "no field 'hidden'; did you mean hidden_size?"),
        ({"colour": 1}, "no field 'colour'; choose one of hidden_size, num_hidden_layers,"),
        ({"hidden_size": "64"}, "GptOssConfig.hidden_size = '64'; expected a positive whole number"),
        ({"hidden_size": 0}, "GptOssConfig.hidden_size = 0; expected a positive whole number"),
        ({"hidden_size": True}, "GptOssConfig.hidden_size = True; expected a positive whole number"),
        ({"rope_theta": None}, "GptOssConfig.rope_theta = None; expected a number"),
        ({"attention_bias": 1}, "GptOssConfig.attention_bias = 1; expected true or false"),
    ],
)
def test_bad_field_is_named(change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        GptOssConfig(**change)
    config = GptOssConfig()
    ((name, value),) = change.items()
    with pytest.raises(ConfigError, match=re.escape(message)):
        setattr(config, name, value)


def test_replace_changes_a_copy():
    config = GptOssConfig()

    changed = config.replace(hidden_size=64)

    assert (config.hidden_size, changed.hidden_size, changed.head_dim) == (2880, 64, 64)


def test_whole_numbers_pass_for_numbers():
    assert GptOssConfig(rope_theta=10000).rope_theta == 10000.0
