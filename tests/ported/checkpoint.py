"""Write the config.json that stands for a GPT-OSS checkpoint: sizes without weights."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["write_checkpoint"]

_CONFIG: dict[str, object] = {
    "architectures": ["GptOssForCausalLM"],
    "attention_bias": True,
    "experts_per_token": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2880,
    "initializer_range": 0.02,
    "intermediate_size": 2880,
    "max_position_embeddings": 131072,
    "model_type": "gpt_oss",
    "num_attention_heads": 64,
    "num_experts_per_tok": 4,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "rope_type": "yarn",
        "truncate": False,
    },
    "rope_theta": 150000.0,
    "sliding_window": 128,
    "swiglu_limit": 7.0,
    "tie_word_embeddings": False,
}
_LAYERS = 24


def write_checkpoint(directory: Path, *, experts: int, vocabulary: int) -> Path:
    """Write a model of gpt-oss-20b's widths and return its directory."""
    # tt-metal recognises a model by the name of its directory.
    model = directory / "gpt-oss-20b"
    model.mkdir(parents=True, exist_ok=True)
    kinds = ["sliding_attention", "full_attention"] * (_LAYERS // 2)
    config = _CONFIG | {"num_hidden_layers": _LAYERS, "layer_types": kinds}
    config |= {"num_local_experts": experts, "vocab_size": vocabulary}
    (model / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    return model
