"""Turn token ids into logits: embedding, decoder layers, norm and a head split over the vocabulary.

Letters: S sequence, B users of one device, H hidden, V vocabulary (padded to whole tiles on every device).
In the throughput layout each row of the mesh has users of its own: R rows, R times B users.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import ttnn

from gptoss.attention import KVCache, PageTable, Rope
from gptoss.attention.rope import PerUser, listed
from gptoss.component import Component, pad_rows, place, precise, tile_up
from gptoss.layer import DecoderLayer
from gptoss.mesh_config import TILE
from gptoss.rms_norm import RMSNorm

__all__ = ["CHUNK", "Model"]

# Tokens of a prompt that go through the layers at once; a longer prompt goes chunk by chunk.
CHUNK = 4096


class Model(Component):
    """A GPT-OSS model, for prompts of one user (of each row) and single tokens of all users."""

    def __init__(self, *args: Any, layers: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        count = self.config.num_hidden_layers if layers is None else layers
        self.user_rows = self.mesh_config.user_rows
        self.rope = Rope(self.mesh_device, self.config, user_rows=self.user_rows)
        self.layers = [DecoderLayer(*args, rope=self.rope, layer=index, **kwargs) for index in range(count)]
        self.norm = RMSNorm(*args, name="model.norm", **kwargs)
        self.embedding = self.cached(
            "embed_tokens",
            lambda: self.state_dict["model.embed_tokens.weight"],
            layout=ttnn.ROW_MAJOR_LAYOUT,
        )
        self.head = self._load_head()

    def new_caches(self, length: int, *, users: int | None = None, block_size: int | None = None) -> list[KVCache]:
        """Return one empty cache per layer, for users of ``length`` tokens each, one a row if not said.

        With a block size they are paged, and share one table of pages.
        """
        attentions = [layer.attention for layer in self.layers]
        if block_size is None:
            return [attention.new_cache(length, users=users) for attention in attentions]
        table = PageTable(self.mesh_device, self.mesh_config, length=length, users=users, block_size=block_size)
        return [attention.new_paged_cache(table) for attention in attentions]

    def __call__(self, tokens: torch.Tensor) -> Any:
        """Return logits for a prompt of token ids, as `prefill` does."""
        return self.prefill(tokens)

    def prefill(
        self,
        tokens: torch.Tensor,
        caches: Sequence[KVCache] | None = None,
        *,
        user: int = 0,
        chunk: int = CHUNK,
    ) -> Any:
        """Return logits [1, 1, S, V], V split over columns, for token ids [S], and fill the caches if there are any.

        In the throughput layout the ids are [R, S], and each row answers for the prompt of its own user ``user``.
        """
        if chunk % TILE:
            raise ValueError(f"chunk of {chunk} tokens is not a multiple of the tile, {TILE}")
        prompts = self._prompts(tokens)
        length = prompts.shape[1]
        if length > chunk and caches is None:
            caches = self.new_caches(length)
        parts = [
            self._prefill_chunk(prompts[:, start : start + chunk], caches, user, start)
            for start in range(0, length, chunk)
        ]
        return ttnn.concat(parts, dim=2) if len(parts) > 1 else parts[0]

    def decode(self, tokens: PerUser, positions: PerUser, caches: Sequence[KVCache]) -> Any:
        """Return logits [1, 1, B, V] for one token of each user at its position, which the caches then hold.

        Ids and positions are those of all users of the mesh, R times B, or two numbers for one user; a user at
        position -1 has no token, and its logits mean nothing.
        """
        ids, at = listed(tokens), listed(positions)
        if len(ids) != len(at):
            raise ValueError(f"{len(ids)} tokens at {len(at)} positions; pass one of each for every user")
        self.mesh_config.local_users(len(ids))
        x = self._embed(torch.tensor(ids).reshape(self.user_rows, -1))
        rotation = self.rope.row(at)
        for layer, cache in zip(self.layers, caches, strict=True):
            x = layer.decode(x, at, cache, rotation=rotation)
        return self._logits(x)

    def _prompts(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the ids as [R, S], R = 1 where all rows have the same users."""
        wanted = "[S]" if self.user_rows == 1 else f"[{self.user_rows}, S]"
        prompts = tokens[None] if tokens.dim() == 1 else tokens
        if prompts.dim() != 2 or prompts.shape[0] != self.user_rows or not prompts.shape[1]:
            raise ValueError(f"token ids of shape {list(tokens.shape)}; {self.mesh_config} takes {wanted}")
        return prompts

    def _prefill_chunk(self, ids: torch.Tensor, caches: Sequence[KVCache] | None, user: int, start: int) -> Any:
        x = self._embed(ids)
        rotation = self.rope.rows(x.shape[2], start)
        for index, layer in enumerate(self.layers):
            cache = caches[index] if caches else None
            x = layer.prefill(x, cache=cache, rotation=rotation, user=user, start=start)
        return self._logits(x)

    def _embed(self, tokens: torch.Tensor) -> Any:
        """Return [1, 1, N, H] for token ids [R, N]."""
        ids = place(
            self.mesh_device,
            tokens.to(torch.int32),
            dtype=ttnn.uint32,
            dims=(0, None) if self.user_rows > 1 else (None, None),
            layout=ttnn.ROW_MAJOR_LAYOUT,
        )
        x = ttnn.embedding(ids, self.embedding, layout=ttnn.TILE_LAYOUT)
        return ttnn.reshape(x, (1, 1, tokens.shape[1], self.config.hidden_size))

    def _logits(self, x: Any) -> Any:
        return ttnn.linear(self.norm.prefill(x), self.head, compute_kernel_config=precise())

    def _load_head(self) -> Any:
        """Load lm_head as [H, V]; padding comes first, so device c starts at c * V / columns."""
        width = self.config.vocab_size
        if self.tp > 1:
            width = tile_up(-(-width // self.tp)) * self.tp
        return self.cached(
            "lm_head",
            lambda: pad_rows(self.state_dict["lm_head.weight"], width).T[None, None],
            dims=self.over_columns(-1),
            dtype=self.dtype,
        )
