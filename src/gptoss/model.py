"""Turn token ids into logits: embedding, decoder layers, norm and a head split over the vocabulary.

Letters: S sequence, H hidden, V vocabulary (padded to whole tiles on every device).
"""

from __future__ import annotations

from typing import Any

import torch
import ttnn

from gptoss.attention.kv_cache import KVCache
from gptoss.attention.rope import Rope
from gptoss.component import Component, pad_last, place, precise, tile_up
from gptoss.layer import DecoderLayer
from gptoss.rms_norm import RMSNorm

__all__ = ["Model"]


class Model(Component):
    """A GPT-OSS model of one user, for prompts and single tokens."""

    def __init__(self, *args: Any, layers: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        count = self.config.num_hidden_layers if layers is None else layers
        self.rope = Rope(self.mesh_device, self.config)
        self.layers = [DecoderLayer(*args, rope=self.rope, layer=index, **kwargs) for index in range(count)]
        self.norm = RMSNorm(*args, name="model.norm", **kwargs)
        self.embedding = place(
            self.mesh_device,
            self.state_dict["model.embed_tokens.weight"],
            layout=ttnn.ROW_MAJOR_LAYOUT,
        )
        self.head = self._load_head()

    def new_caches(self, length: int) -> list[KVCache]:
        """Return one empty cache per layer."""
        return [layer.attention.new_cache(length) for layer in self.layers]

    def __call__(self, tokens: torch.Tensor) -> Any:
        """Return logits for a prompt of token ids [S], as `prefill` does."""
        return self.prefill(tokens)

    def prefill(self, tokens: torch.Tensor, caches: list[KVCache] | None = None) -> Any:
        """Return logits [1, 1, S, V], V split over columns, for token ids [S]."""
        x = self._embed(tokens)
        rotation = self.rope.rows(x.shape[2])
        for index, layer in enumerate(self.layers):
            cache = caches[index] if caches else None
            x = layer.prefill(x, cache=cache, rotation=rotation)
        return self._logits(x)

    def decode(self, token: int, position: int, caches: list[KVCache]) -> Any:
        """Return logits [1, 1, 1, V] for the token at ``position``, which the caches then hold."""
        x = self._embed(torch.tensor([token]))
        rotation = self.rope.row(position)
        for layer, cache in zip(self.layers, caches, strict=True):
            x = layer.decode(x, position, cache, rotation=rotation)
        return self._logits(x)

    def _embed(self, tokens: torch.Tensor) -> Any:
        ids = place(
            self.mesh_device,
            tokens.reshape(1, -1).to(torch.int32),
            dtype=ttnn.uint32,
            layout=ttnn.ROW_MAJOR_LAYOUT,
        )
        x = ttnn.embedding(ids, self.embedding, layout=ttnn.TILE_LAYOUT)
        return ttnn.reshape(x, (1, 1, tokens.numel(), self.config.hidden_size))

    def _logits(self, x: Any) -> Any:
        return ttnn.linear(self.norm.prefill(x), self.head, compute_kernel_config=precise())

    def _load_head(self) -> Any:
        """Load lm_head as [H, V]; padding comes first, so device c starts at c * V / columns."""
        weight, width = self.state_dict["lm_head.weight"].T, self.config.vocab_size
        if self.tp > 1:
            width = tile_up(-(-width // self.tp)) * self.tp
        return self.split(pad_last(weight, width)[None, None], -1, self.dtype)
