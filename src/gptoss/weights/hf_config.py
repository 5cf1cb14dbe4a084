"""Turn a Hugging Face directory's config.json into a GptOssConfig, and back.

Both styles of it are read: ``rope_theta`` and ``rope_scaling`` as published, ``rope_parameters`` as transformers 5
writes them. A model that ours cannot be (tied embeddings, other layers than sliding and full in turn) is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gptoss.config import ConfigError, GptOssConfig

__all__ = ["CONFIG", "differences", "from_json", "read", "to_json"]

CONFIG = "config.json"
# Ours by their published names; the model cannot be built without the required ones.
_REQUIRED = (
    "hidden_size",
    "num_hidden_layers",
    "num_local_experts",
    "num_experts_per_tok",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "sliding_window",
    "max_position_embeddings",
    "initial_context_length",
    "rope_theta",
    "rope_scaling_factor",
    "rope_beta_fast",
    "rope_beta_slow",
)
_OPTIONAL = ("rope_truncate", "swiglu_limit", "swiglu_alpha", "rms_norm_eps", "attention_bias")
_ROPE = {
    "rope_theta": "rope_theta",
    "rope_scaling_factor": "factor",
    "rope_beta_fast": "beta_fast",
    "rope_beta_slow": "beta_slow",
    "rope_truncate": "truncate",
    "initial_context_length": "original_max_position_embeddings",
}


def read(directory: Path) -> GptOssConfig:
    """Return the sizes in a directory's config.json, or raise a ConfigError with all that is wrong there."""
    path = directory / CONFIG
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; fetch it again") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON in UTF-8: {error}; fetch it again") from error
    return from_json(record, str(path))


def differences(directory: Path, config: GptOssConfig) -> list[str]:
    """Return a line for each size in which a directory's model is not ``config``."""
    expected, found = config.as_dict(), read(directory).as_dict()
    return [
        f"{directory / CONFIG}: {name} expected {value}, found {found[name]}"
        for name, value in expected.items()
        if found[name] != value
    ]


def from_json(record: Any, source: str = CONFIG) -> GptOssConfig:
    """Return the config that a config.json's ``record`` describes; ``source`` names it in errors."""
    if not isinstance(record, dict):
        raise ConfigError(f"{source}: holds {type(record).__name__}, expected a table")
    values = _flattened(record)
    faults = [f"{name} is missing" for name in _REQUIRED if name not in values]
    known = {name: values[name] for name in (*_REQUIRED, *_OPTIONAL) if name in values}
    for name, value in known.items():
        try:
            GptOssConfig(**{name: value})
        except ConfigError as error:
            faults.append(str(error))
    faults += _strange(record, values)
    if faults:
        raise ConfigError("\n".join(f"{source}: {fault}" for fault in faults))
    return GptOssConfig(**known)


def _flattened(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with RoPE's numbers under our names, whichever of two styles they stand in."""
    values = dict(record)
    if "experts_per_token" in record:
        values.setdefault("num_experts_per_tok", record["experts_per_token"])
    rope = _rope(record)
    return values | {ours: rope[theirs] for ours, theirs in _ROPE.items() if theirs in rope}


def _rope(record: Mapping[str, Any]) -> Mapping[str, Any]:
    rope = record.get("rope_parameters") or record.get("rope_scaling")
    return rope if isinstance(rope, dict) else {}


def _strange(record: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Return what the record asks for that the model cannot do."""
    rope = _rope(record)
    asked = {
        "model_type": (record.get("model_type"), "gpt_oss"),
        "tie_word_embeddings": (record.get("tie_word_embeddings", False), False),
        "hidden_act": (record.get("hidden_act", "silu"), "silu"),
        "rope_type": (rope.get("rope_type", rope.get("type")), "yarn"),
    }
    if isinstance(values.get("num_hidden_layers"), int):
        layer_types = _layer_types(values["num_hidden_layers"])
        asked["layer_types"] = (record.get("layer_types") or layer_types, layer_types)
    if _is_above_zero(rope.get("factor")):
        own = 0.1 * math.log(rope["factor"]) + 1.0
        asked["attention_factor"] = (rope.get("attention_factor") or own, own)
    strange = [f"{name} = {found!r}; expected {wanted!r}" for name, (found, wanted) in asked.items() if found != wanted]
    return strange + _disordered(values)


def _disordered(values: Mapping[str, Any]) -> list[str]:
    """Return the numbers that are each possible and not beside one another."""
    pairs = (("num_experts_per_tok", "num_local_experts"), ("rope_beta_slow", "rope_beta_fast"))
    found = [(low, high, values.get(low, 0), values.get(high, 0)) for low, high in pairs]
    return [
        f"{low} = {less!r}; expected at most {high} = {more!r}"
        for low, high, less, more in found
        if _is_above_zero(less) and _is_above_zero(more) and less > more
    ]


def _is_above_zero(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _layer_types(layers: int) -> list[str]:
    return [("sliding_attention", "full_attention")[layer % 2] for layer in range(layers)]


def to_json(config: GptOssConfig, *, packed: bool = False) -> dict[str, Any]:
    """Return what a published config.json says of ``config``; ``packed`` if its experts are MXFP4."""
    record: dict[str, Any] = {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "layer_types": _layer_types(config.num_hidden_layers),
        "experts_per_token": config.num_experts_per_tok,
    }
    record |= {name: value for name, value in config.as_dict().items() if name not in _ROPE}
    record |= {"rope_theta": config.rope_theta, "initial_context_length": config.initial_context_length}
    scaling = {theirs: getattr(config, ours) for ours, theirs in _ROPE.items() if ours != "rope_theta"}
    record["rope_scaling"] = {"rope_type": "yarn"} | scaling
    if packed:
        record["quantization_config"] = {
            "quant_method": "mxfp4",
            "modules_to_not_convert": [
                "model.layers.*.self_attn",
                "model.layers.*.mlp.router",
                "model.embed_tokens",
                "lm_head",
            ],
        }
    return record
