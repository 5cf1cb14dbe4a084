"""Keep the keys and values of past tokens in blocks that users share out among themselves.

Letters: B users of a device, Nq and Nk heads of a device, P blocks of a device, S prompt, D head_dim.
"""

from __future__ import annotations

from typing import Any

import ttnn

from gptoss.attention.kv_cache import KVCache
from gptoss.attention.page_table import PageTable
from gptoss.attention.rope import PerUser, listed
from gptoss.config import GptOssConfig
from gptoss.mesh_config import MeshConfig

__all__ = ["PagedKVCache"]


class PagedKVCache(KVCache):
    """One layer's cache of blocks: keys and values [P, Nk, block size, D]; the table says whose they are."""

    def __init__(
        self,
        mesh_device: Any,
        config: GptOssConfig,
        mesh_config: MeshConfig,
        *,
        table: PageTable,
        dtype: Any = ttnn.bfloat8_b,
    ) -> None:
        self.table = table
        super().__init__(mesh_device, config, mesh_config, length=table.length, users=table.users, dtype=dtype)

    def fill(self, keys: Any, values: Any, *, user: int = 0, start: int = 0) -> tuple[Any, Any]:
        """Store a prompt as `KVCache.fill` does, in blocks that are reserved for it."""
        self._check_place(keys.shape[2], user, start)
        for each in range(user, self.users, self.local_users):
            self.table.reserve(each, start + keys.shape[2])
        return super().fill(keys, values, user=user, start=start)

    def update(self, keys: Any, values: Any, positions: Any) -> None:
        """Store one token of each user, [1, B, Nk, D], at ``positions`` as `positions` returned them."""
        table = self.table.placed()
        for cache, new in ((self.keys, keys), (self.values, values)):
            ttnn.experimental.paged_update_cache(cache, new, update_idxs_tensor=positions, page_table=table)

    def positions(self, indices: PerUser) -> Any:
        """Return the users' positions as `KVCache.positions` does, with blocks reserved up to them."""
        placed = super().positions(indices)
        for user, position in enumerate(listed(indices)):
            self.table.reserve(user, position + 1)
        return placed

    def attend(self, q: Any, positions: Any, **options: Any) -> Any:
        """Return [1, B, Nq, D]: each user's one query [1, B, Nq, D] on its tokens up to ``positions``."""
        return ttnn.transformer.paged_scaled_dot_product_attention_decode(
            q, self.keys, self.values, self.table.placed(), cur_pos_tensor=positions, **options
        )

    def attend_prompt(self, q: Any, *, user: int, start: int, **options: Any) -> Any:
        """Return [1, Nq, S, D]: a prompt's queries from ``start`` on, on the user's tokens up to each."""
        return ttnn.transformer.chunked_scaled_dot_product_attention(
            q, self.keys, self.values, self.table.pages_of(user), start, **options
        )

    def _empty(self, heads: int, head_dim: int) -> Any:
        return self._zeros(self.table.blocks, heads, self.table.block_size, head_dim)

    def _write(self, cache: Any, new: Any, user: int, start: int) -> None:
        ttnn.experimental.paged_fill_cache(cache, new, self.table.pages_of(user, start), batch_idx=0)
