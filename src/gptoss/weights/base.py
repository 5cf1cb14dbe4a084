"""Name the tensors of a GPT-OSS state dict, and say what a lazy one offers.

Letters: L layers, H hidden, D head_dim, Nq and Nk heads, E experts, I intermediate, V vocabulary.
Linear weights are [out, in]; expert weights are [in, out] with gate and up columns interleaved.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from gptoss.config import GptOssConfig

if TYPE_CHECKING:
    from gptoss.weights.tensor_cache import TensorCache

__all__ = ["Shape", "Weights", "expert_tensor", "shapes", "table_rows"]

Shape = tuple[int, ...]


class Weights(Mapping[str, torch.Tensor]):
    """A lazy state dict that can hand out one expert of a stacked tensor."""

    cache: TensorCache | None = None
    """Where what the model makes of these weights is kept on disk, if it is."""

    @property
    def identity(self) -> Mapping[str, object] | None:
        """What tells these weights from all others, as JSON holds it; None where nothing does."""
        return None

    @property
    def source(self) -> str:
        """Where these weights come from, in a few words for a report."""
        return type(self).__name__

    @abstractmethod
    def expert(self, name: str, index: int) -> torch.Tensor:
        """Return ``self[name][index]`` without making the other experts."""

    def rows(self, name: str, indices: Sequence[int]) -> torch.Tensor:
        """Return ``self[name][indices]``, [N, ...]; a large table is better read by its rows alone."""
        return self[name][list(indices)]


def expert_tensor(state_dict: Mapping[str, torch.Tensor], name: str, index: int) -> torch.Tensor:
    """Return one expert's slice of a stacked tensor, lazily where the state dict can."""
    if isinstance(state_dict, Weights):
        return state_dict.expert(name, index)
    return state_dict[name][index]


def table_rows(state_dict: Mapping[str, torch.Tensor], name: str, indices: Sequence[int]) -> torch.Tensor:
    """Return the rows ``indices`` of a tensor, [N, ...], lazily where the state dict can."""
    if isinstance(state_dict, Weights):
        return state_dict.rows(name, indices)
    return state_dict[name][list(indices)]


def shapes(config: GptOssConfig) -> dict[str, Shape]:
    """Return the shape of every tensor of a model, by its published name."""
    hidden, vocab = config.hidden_size, config.vocab_size
    found: dict[str, Shape] = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(config.num_hidden_layers):
        prefix = f"model.layers.{layer}"
        found |= {f"{prefix}.{name}": shape for name, shape in _layer_shapes(config).items()}
    return found | {"model.norm.weight": (hidden,), "lm_head.weight": (vocab, hidden)}


def _layer_shapes(config: GptOssConfig) -> dict[str, Shape]:
    hidden, inner = config.hidden_size, config.intermediate_size
    experts = config.num_local_experts
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    attention: dict[str, Shape] = {}
    for name, out, into in (
        ("q_proj", queries, hidden),
        ("k_proj", keys, hidden),
        ("v_proj", keys, hidden),
        ("o_proj", hidden, queries),
    ):
        attention[f"self_attn.{name}.weight"] = (out, into)
        if config.attention_bias:
            attention[f"self_attn.{name}.bias"] = (out,)
    return {
        "input_layernorm.weight": (hidden,),
        **attention,
        "self_attn.sinks": (config.num_attention_heads,),
        "post_attention_layernorm.weight": (hidden,),
        "mlp.router.weight": (experts, hidden),
        "mlp.router.bias": (experts,),
        "mlp.experts.gate_up_proj": (experts, hidden, 2 * inner),
        "mlp.experts.gate_up_proj_bias": (experts, 2 * inner),
        "mlp.experts.down_proj": (experts, inner, hidden),
        "mlp.experts.down_proj_bias": (experts, hidden),
    }
