"""Stack norm, attention, norm and experts, each sum added to the stream.

Letters: S sequence, B users of one device, H hidden.
"""

from __future__ import annotations

from typing import Any

import ttnn

from gptoss.attention import Attention
from gptoss.attention.kv_cache import KVCache
from gptoss.attention.rope import PerUser, Rope
from gptoss.component import Component, flat, reshape_like
from gptoss.moe.expert_bank import RESIDENT_LIMIT_BYTES
from gptoss.moe.mlp import MLP
from gptoss.rms_norm import RMSNorm

__all__ = ["DecoderLayer"]


class DecoderLayer(Component):
    """One decoder layer."""

    def __init__(
        self, *args: Any, rope: Rope | None = None, limit_bytes: int = RESIDENT_LIMIT_BYTES, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.attention_norm = RMSNorm(*args, name="input_layernorm", **kwargs)
        self.attention = Attention(*args, rope=rope, **kwargs)
        self.mlp_norm = RMSNorm(*args, name="post_attention_layernorm", **kwargs)
        self.mlp = MLP(*args, limit_bytes=limit_bytes, **kwargs)

    def __call__(self, x: Any) -> Any:
        """Return [.., S, H] for a prompt [.., S, H]."""
        return reshape_like(self.prefill(flat(x)), x)

    def prefill(
        self,
        x: Any,
        *,
        cache: KVCache | None = None,
        rotation: tuple[Any, Any] | None = None,
        user: int = 0,
        start: int = 0,
    ) -> Any:
        """Return [1, 1, S, H] for a prompt [1, 1, S, H] or a chunk of one, as `Attention.prefill` does."""
        normed = self.attention_norm.prefill(x)
        attended = self.attention.prefill(normed, cache=cache, rotation=rotation, user=user, start=start)
        x = ttnn.add(x, attended)
        return ttnn.add(x, self.mlp.prefill(self.mlp_norm.prefill(x)))

    def decode(
        self,
        x: Any,
        positions: PerUser,
        cache: KVCache,
        *,
        rotation: tuple[Any, Any] | None = None,
    ) -> Any:
        """Return [1, 1, B, H] for a token of each user [1, 1, B, H], as `Attention.decode` does."""
        normed = self.attention_norm.prefill(x)
        attended = self.attention.decode(normed, positions, cache, rotation=rotation)
        x = ttnn.add(x, attended)
        return ttnn.add(x, self.mlp.decode(self.mlp_norm.prefill(x)))
