"""Run collectives along one axis of a mesh, with the semaphores that they need.

Letters: axis 0 is the rows of the mesh, axis 1 its columns; dim counts in the tensor.
Callers skip a collective whose axis has one device; the hardware has none for it.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import ttnn

__all__ = ["CCLManager"]


class CCLManager:
    """Collectives of one mesh device; semaphores are double-buffered and made at first use."""

    def __init__(self, mesh_device: Any, *, num_links: int = 1, topology: Any = None) -> None:
        self.mesh_device = mesh_device
        self.num_links = num_links
        self.topology = topology or ttnn.Topology.Linear
        self._reduce_scatter = cycle([self._semaphores(3), self._semaphores(3)])
        self._all_gather = cycle([self._semaphores(2), self._semaphores(2)])
        self._barrier = cycle([self._semaphores(1), self._semaphores(1)])

    def all_reduce(self, x: Any, axis: int) -> Any:
        """Return the sum of ``x`` along a mesh axis, on every device of it."""
        return ttnn.all_reduce(x, cluster_axis=axis, num_links=self.num_links, topology=self.topology)

    def reduce_scatter(self, x: Any, dim: int, axis: int) -> Any:
        """Return each device's share of the sum of ``x``, cut along ``dim``."""
        return ttnn.experimental.reduce_scatter_minimal_async(
            x,
            dim=dim,
            multi_device_global_semaphore=next(self._reduce_scatter),
            barrier_semaphore=next(self._barrier)[0],
            num_links=self.num_links,
            memory_config=ttnn.DRAM_MEMORY_CONFIG,
            topology=self.topology,
            cluster_axis=axis,
        )

    def all_gather(self, x: Any, dim: int, axis: int) -> Any:
        """Return the shards of ``x`` along a mesh axis, joined along ``dim``."""
        return ttnn.experimental.all_gather_async(
            x,
            dim=dim,
            multi_device_global_semaphore=next(self._all_gather),
            barrier_semaphore=next(self._barrier)[0],
            num_links=self.num_links,
            memory_config=ttnn.DRAM_MEMORY_CONFIG,
            topology=self.topology,
            cluster_axis=axis,
            mesh_device=self.mesh_device,
        )

    def partition(self, x: Any, dim: int, axis: int) -> Any:
        """Return each device's own slice of ``x`` along ``dim``: no device hears another."""
        # A slice that starts inside a tile is exact only in row-major layout.
        rows = ttnn.to_layout(x, ttnn.ROW_MAJOR_LAYOUT)
        return ttnn.to_layout(ttnn.mesh_partition(rows, dim=dim, cluster_axis=axis), ttnn.TILE_LAYOUT)

    def dispatch(self, tokens: Any, indices: Any, mapping: Any, axis: int) -> tuple[Any, Any]:
        """Return the tokens [1, 1, n T, H] of all n devices along an axis, and the experts [1, 1, n T, K] they chose.

        Given are each device's tokens [1, 1, T, H] and indices [1, 1, T, K], and which device holds which expert,
        [1, 1, E, D]; all in row-major layout. Tokens that chose no expert of a device arrive there as noise.
        """
        sent, chosen = ttnn.all_to_all_dispatch(
            tokens,
            indices,
            mapping,
            cluster_axis=axis,
            num_links=self.num_links,
            topology=self.topology,
            memory_config=ttnn.DRAM_MEMORY_CONFIG,
            output_concat_dim=2,
        )
        return sent, chosen

    def combine(self, answers: Any, chosen: Any, mapping: Any, axis: int) -> Any:
        """Return what the experts of an axis' devices made of each device's own tokens, [K, 1, T, H].

        Given are each device's answers [E / D, 1, n T, H] and what ``dispatch`` returned. Where a token's choice lies
        on no device of the axis there are zeros.
        """
        count, width = chosen.shape[2] // self.mesh_device.shape[axis], answers.shape[3]
        # The op leaves those places as they are.
        zeros = ttnn.zeros(
            [chosen.shape[3], 1, count, width],
            dtype=answers.dtype,
            layout=ttnn.ROW_MAJOR_LAYOUT,
            device=self.mesh_device,
            memory_config=ttnn.DRAM_MEMORY_CONFIG,
        )
        return ttnn.all_to_all_combine(
            answers,
            chosen,
            mapping,
            cluster_axis=axis,
            num_links=self.num_links,
            topology=self.topology,
            output_shard_dim=2,
            output_tensor=zeros,
        )

    def _semaphores(self, count: int) -> list[Any]:
        grid = self.mesh_device.compute_with_storage_grid_size()
        last = ttnn.CoreCoord(grid.x - 1, grid.y - 1)
        cores = ttnn.CoreRangeSet({ttnn.CoreRange(ttnn.CoreCoord(0, 0), last)})
        return [ttnn.create_global_semaphore(self.mesh_device, cores, 0) for _ in range(count)]
