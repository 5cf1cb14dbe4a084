"""Keep the keys and values of past tokens on the devices, each device its own heads.

Letters: B batch, Nk kv heads, L longest sequence, D head_dim. Keys are stored after rotation.
"""

from __future__ import annotations

from typing import Any

import torch
import ttnn

from gptoss.component import place, tile_up
from gptoss.config import GptOssConfig
from gptoss.mesh_config import MeshConfig

__all__ = ["KVCache"]


class KVCache:
    """One layer's cache for one user: keys and values [1, Nk, L, D], heads split over columns."""

    def __init__(
        self,
        mesh_device: Any,
        config: GptOssConfig,
        mesh_config: MeshConfig,
        *,
        length: int,
        dtype: Any = ttnn.bfloat8_b,
    ) -> None:
        self.mesh_device = mesh_device
        self.length = tile_up(length)
        self.dtype = dtype
        shape = (1, config.num_key_value_heads, self.length, config.head_dim)
        dims = (None, 1) if mesh_config.tp > 1 else (None, None)
        zeros = torch.zeros(shape)
        self.keys = place(mesh_device, zeros, dtype=dtype, dims=dims)
        self.values = place(mesh_device, zeros, dtype=dtype, dims=dims)

    def fill(self, keys: Any, values: Any) -> tuple[Any, Any]:
        """Store a prompt [1, Nk, S, D] from position 0; return it in the cache's dtype."""
        if keys.shape[2] > self.length:
            raise ValueError(f"prompt of {keys.shape[2]} tokens exceeds cache of {self.length}")
        stored = tuple(ttnn.typecast(x, self.dtype) for x in (keys, values))
        ttnn.fill_cache(self.keys, stored[0], 0)
        ttnn.fill_cache(self.values, stored[1], 0)
        return stored[0], stored[1]

    def update(self, keys: Any, values: Any, position: Any) -> None:
        """Store one token's [1, 1, Nk, D] at ``position``, an int32 tensor [1]."""
        for cache, new in ((self.keys, keys), (self.values, values)):
            ttnn.experimental.paged_update_cache(cache, new, update_idxs_tensor=position)

    def position(self, index: int) -> Any:
        """Return a position as the int32 tensor [1] that the decode ops read."""
        if not 0 <= index < self.length:
            raise ValueError(f"position {index}: the cache ends at {self.length}")
        host = torch.tensor([index], dtype=torch.int32)
        return place(self.mesh_device, host, dtype=ttnn.int32, layout=ttnn.ROW_MAJOR_LAYOUT)
