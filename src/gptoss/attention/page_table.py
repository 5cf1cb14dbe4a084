"""Hand blocks of a cache out to users as their sequences grow.

Rows of a mesh that hold users of their own have a pool of blocks each, numbered from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import ttnn

from gptoss.component import place
from gptoss.mesh_config import TILE, MeshConfig

__all__ = ["UNUSED", "PageTable"]

# A page without a block; the kernels skip it.
UNUSED = -1


class PageTable:
    """Which block holds which page (stretch of positions) of which user; all layers share one."""

    def __init__(
        self,
        mesh_device: Any,
        mesh_config: MeshConfig,
        *,
        length: int,
        users: int | None = None,
        block_size: int = 64,
        order: Sequence[int] | None = None,
    ) -> None:
        """Build an empty table for sequences of up to ``length`` tokens.

        ``order`` lists the blocks of each row's pool as they will be handed out; left out, there are enough for all.
        """
        if block_size < 1 or block_size % TILE:
            raise ValueError(f"block size {block_size} is not a multiple of the tile, {TILE}")
        self.mesh_device = mesh_device
        self.rows = mesh_config.user_rows
        self.users = self.rows if users is None else users
        self.local_users = mesh_config.local_users(self.users)
        self.block_size = block_size
        self.pages = -(-length // block_size)
        order = range(self.local_users * self.pages) if order is None else order
        if sorted(order) != list(range(len(order))):
            raise ValueError(
                f"order of blocks {list(order)} is no permutation of 0 to {len(order) - 1}; list each block once"
            )
        self.blocks = len(order)
        self._free = [list(order) for _ in range(self.rows)]
        self._table = torch.full((self.users, self.pages), UNUSED, dtype=torch.int32)
        self._placed: Any = None

    @property
    def length(self) -> int:
        """Positions that one user can have."""
        return self.pages * self.block_size

    def reserve(self, user: int, length: int) -> None:
        """Give a user of the mesh blocks for its first ``length`` positions, beside those that it has."""
        pages = self._table[user]
        held = int((pages != UNUSED).sum())
        missing, free = -(-length // self.block_size) - held, self._free[user // self.local_users]
        if missing <= 0:
            return
        if missing > len(free):
            raise ValueError(
                f"user {user} needs {missing} more blocks of {self.block_size} positions for {length} tokens, "
                f"{len(free)} of {self.blocks} are free; release a user or build a larger pool"
            )
        pages[held : held + missing] = torch.tensor([free.pop(0) for _ in range(missing)])
        self._placed = None

    def release(self, user: int) -> None:
        """Take a user's blocks back; they are handed out after those that are free now."""
        pages = self._table[user]
        self._free[user // self.local_users] += pages[pages != UNUSED].tolist()
        pages.fill_(UNUSED)
        self._placed = None

    def blocks_of(self, user: int) -> list[int]:
        """Return the blocks of a user of the mesh, first page first."""
        pages = self._table[user]
        return pages[pages != UNUSED].tolist()

    def placed(self) -> Any:
        """Return the table on the mesh as int32 [users of a device, pages]."""
        if self._placed is None:
            self._placed = self._send(self._table)
        return self._placed

    def pages_of(self, user: int, start: int = 0) -> Any:
        """Return the pages of user ``user`` of each row from position ``start`` on, as int32 [1, pages]."""
        if start % self.block_size:
            raise ValueError(
                f"prompt from position {start}: start it at a multiple of the block size {self.block_size}"
            )
        return self._send(self._table[user :: self.local_users, start // self.block_size :])

    def _send(self, host: torch.Tensor) -> Any:
        dims = (0, None) if self.rows > 1 else (None, None)
        return place(self.mesh_device, host, dtype=ttnn.int32, dims=dims, layout=ttnn.ROW_MAJOR_LAYOUT)
