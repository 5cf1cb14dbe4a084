"""Keep the keys and values of past tokens on the devices, each device its own heads and users.

Letters: B users of a device, Nq and Nk heads of a device, L longest sequence, S prompt, D head_dim. Keys are stored
after rotation. In the throughput layout each row of the mesh holds other users, else every row holds all.
"""

from __future__ import annotations

from typing import Any

import torch
import ttnn

from gptoss.attention.rope import PerUser, listed
from gptoss.component import place, tile_up
from gptoss.config import GptOssConfig
from gptoss.mesh_config import TILE, MeshConfig

__all__ = ["KVCache"]


class KVCache:
    """One layer's cache with a stretch of L positions for each user: keys and values [B, Nk, L, D]."""

    def __init__(
        self,
        mesh_device: Any,
        config: GptOssConfig,
        mesh_config: MeshConfig,
        *,
        length: int,
        users: int | None = None,
        dtype: Any = ttnn.bfloat8_b,
    ) -> None:
        self.mesh_device = mesh_device
        self.rows = mesh_config.user_rows
        self.users = self.rows if users is None else users
        self.local_users = mesh_config.local_users(self.users)
        self.length = tile_up(length)
        self.dtype = dtype
        heads = config.num_key_value_heads // mesh_config.tp
        self.keys, self.values = (self._empty(heads, config.head_dim) for _ in range(2))

    def fill(self, keys: Any, values: Any, *, user: int = 0, start: int = 0) -> tuple[Any, Any]:
        """Store a prompt's [1, Nk, S, D] from position ``start`` on; return it in the cache's dtype.

        ``user`` counts the users of one row; each row stores the prompt that it was given.
        """
        self._check_place(keys.shape[2], user, start)
        stored = tuple(ttnn.typecast(x, self.dtype) for x in (keys, values))
        for cache, new in zip((self.keys, self.values), stored, strict=True):
            self._write(cache, new, user, start)
        return stored[0], stored[1]

    def update(self, keys: Any, values: Any, positions: Any) -> None:
        """Store one token of each user, [1, B, Nk, D], at ``positions``, an int32 tensor [B]."""
        for cache, new in ((self.keys, keys), (self.values, values)):
            ttnn.experimental.paged_update_cache(cache, new, update_idxs_tensor=positions)

    def positions(self, indices: PerUser) -> Any:
        """Return the position of each user of the mesh as the int32 tensor [B] that the decode ops read.

        A user at -1 has no token this time: nothing is stored, and its output means nothing.
        """
        wanted = listed(indices)
        if len(wanted) != self.users:
            raise ValueError(f"{len(wanted)} positions for a cache of {self.users} users; pass one each, -1 for none")
        beyond = [f"position {at} of user {user}" for user, at in enumerate(wanted) if not -1 <= at < self.length]
        if beyond:
            raise ValueError(f"{', '.join(beyond)}: the cache ends at {self.length}; build one of a greater length")
        return self._integers(torch.tensor(wanted))

    def attend(self, q: Any, positions: Any, **options: Any) -> Any:
        """Return [1, B, Nq, D]: each user's one query [1, B, Nq, D] on its tokens up to ``positions``."""
        return ttnn.transformer.scaled_dot_product_attention_decode(
            q, self.keys, self.values, cur_pos_tensor=positions, **options
        )

    def attend_prompt(self, q: Any, *, user: int, start: int, **options: Any) -> Any:
        """Return [1, Nq, S, D]: a prompt's queries from ``start`` on, on the user's tokens up to each."""
        # To the kernel this is a paged cache whose blocks are as long as the cache, one to each user.
        table = self._integers(torch.full((self.rows, 1), user))
        return ttnn.transformer.chunked_scaled_dot_product_attention(q, self.keys, self.values, table, start, **options)

    def _empty(self, heads: int, head_dim: int) -> Any:
        return self._zeros(self.local_users, heads, self.length, head_dim)

    def _write(self, cache: Any, new: Any, user: int, start: int) -> None:
        ttnn.fill_cache(cache, new, user, update_idx=start)

    def _zeros(self, *shape: int) -> Any:
        return ttnn.zeros(
            shape,
            dtype=self.dtype,
            layout=ttnn.TILE_LAYOUT,
            device=self.mesh_device,
            memory_config=ttnn.DRAM_MEMORY_CONFIG,
        )

    def _integers(self, host: torch.Tensor) -> Any:
        """Return whole numbers on the mesh, dim 0 shared out to the rows that hold users of their own."""
        dims = (0, None) if self.rows > 1 else (None, None)
        return place(self.mesh_device, host.to(torch.int32), dtype=ttnn.int32, dims=dims, layout=ttnn.ROW_MAJOR_LAYOUT)

    def _check_place(self, length: int, user: int, start: int) -> None:
        if not 0 <= user < self.local_users:
            raise ValueError(f"user {user}: the cache holds users 0 to {self.local_users - 1} of each device")
        if start % TILE:
            raise ValueError(f"prompt from position {start}: start it at a multiple of {TILE}")
        if start + length > self.length:
            raise ValueError(f"prompt of {start + length} tokens exceeds cache of {self.length}; build a longer one")
