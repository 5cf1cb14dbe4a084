"""Hold the sizes of one GPT-OSS model; defaults are those of gpt-oss-20b as published.

Fields may be set after construction, as tests do to scale a model, but only fields that exist.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

__all__ = ["ConfigError", "GptOssConfig"]


class ConfigError(ValueError, AttributeError):
    """A field that does not exist, or a value of the wrong kind."""


@dataclass(init=False, slots=True)
class GptOssConfig:
    """Sizes and constants of one model, named as in the Hugging Face configuration."""

    hidden_size: int = 2880
    num_hidden_layers: int = 24
    num_local_experts: int = 32
    num_experts_per_tok: int = 4
    intermediate_size: int = 2880
    num_attention_heads: int = 64
    num_key_value_heads: int = 8
    head_dim: int = 64
    vocab_size: int = 201088
    sliding_window: int = 128
    max_position_embeddings: int = 131072
    initial_context_length: int = 4096
    rope_theta: float = 150000.0
    rope_scaling_factor: float = 32.0
    rope_beta_fast: float = 32.0
    rope_beta_slow: float = 1.0
    rope_truncate: bool = False
    swiglu_limit: float = 7.0
    swiglu_alpha: float = 1.702
    rms_norm_eps: float = 1e-5
    attention_bias: bool = True

    def __init__(self, **values: float) -> None:
        for name in values:
            _check_name(name)
        for field in fields(self):
            setattr(self, field.name, values.get(field.name, field.default))

    def __setattr__(self, name: str, value: object) -> None:
        _check_name(name)
        object.__setattr__(self, name, _checked(name, value))

    def as_dict(self) -> dict[str, float]:
        """Return every field by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def replace(self, **values: float) -> GptOssConfig:
        """Return a copy with the given fields changed."""
        return GptOssConfig(**(self.as_dict() | values))


_POSITIVE: tuple[str, Callable[[float], bool]] = ("above 0", lambda value: 0 < value < math.inf)
# RoPE divides by the logarithm of the one; YaRN stretches by the other, and never compresses.
_BOUNDS: Mapping[str, tuple[str, Callable[[float], bool]]] = {
    "rope_theta": ("above 1", lambda value: 1 < value < math.inf),
    "rope_scaling_factor": ("of 1 or more", lambda value: 1 <= value < math.inf),
}
_KINDS: Mapping[str, str] = {field.name: str(field.type) for field in fields(GptOssConfig)}


def _check_name(name: str) -> None:
    if name in _KINDS:
        return
    near = difflib.get_close_matches(name, _KINDS, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(_KINDS)}"
    raise ConfigError(f"GptOssConfig has no field {name!r}; {hint}")


def _checked(name: str, value: object) -> object:
    kind = _KINDS[name]
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    bound, holds = _BOUNDS.get(name, _POSITIVE)
    if kind == "float" and isinstance(value, int | float) and value is not True and holds(value):
        return float(value)
    wanted = {"bool": "true or false", "int": "a positive whole number", "float": f"a number {bound}"}[kind]
    raise ConfigError(f"GptOssConfig.{name} = {value!r}; expected {wanted}")
