"""What every part of the model has in common: where it runs, its sizes, weights and placement.

Letters: S sequence, H hidden. Inside the model every activation is [1, 1, S, H] in bfloat16;
callers may also hand over [1, S, H] in any dtype and get that shape back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
import ttnn

from gptoss.ccl import CCLManager
from gptoss.config import GptOssConfig
from gptoss.mesh_config import TILE, MeshConfig
from gptoss.weights import Weights
from gptoss.weights.tensor_cache import TensorCache, code_digest

__all__ = ["Component", "flat", "pad_last", "pad_rows", "place", "precise", "reshape_like", "tile_up"]


def tile_up(size: int) -> int:
    """Round a width up to whole tiles of 32."""
    return -(-size // TILE) * TILE


def pad_last(host: torch.Tensor, width: int) -> torch.Tensor:
    """Pad the last dim with zeros up to ``width``."""
    return torch.nn.functional.pad(host, (0, width - host.shape[-1]))


def pad_rows(host: torch.Tensor, height: int) -> torch.Tensor:
    """Pad a matrix [M, N] with rows of zeros up to ``height``; one that is as high is not copied."""
    return host if len(host) == height else torch.nn.functional.pad(host, (0, 0, 0, height - len(host)))


def precise() -> Any:
    """Return the matmul settings with fp32 accumulation and full fidelity."""
    return ttnn.WormholeComputeKernelConfig(
        math_fidelity=ttnn.MathFidelity.HiFi4,
        math_approx_mode=False,
        fp32_dest_acc_en=True,
        packer_l1_acc=True,
    )


def place(
    mesh_device: Any,
    host: torch.Tensor,
    *,
    dtype: Any = ttnn.bfloat16,
    dims: tuple[int | None, int | None] = (None, None),
    layout: Any = ttnn.TILE_LAYOUT,
    memory_config: Any = None,
) -> Any:
    """Return ``host`` on the mesh, its dim ``dims[axis]`` split along each mesh axis."""
    return ttnn.from_torch(
        host,
        dtype=dtype,
        layout=layout,
        device=mesh_device,
        mesh_mapper=_mapper(mesh_device, dims),
        memory_config=memory_config or ttnn.DRAM_MEMORY_CONFIG,
    )


def _mapper(mesh_device: Any, dims: tuple[int | None, int | None]) -> Any:
    if dims == (None, None):
        return ttnn.ReplicateTensorToMesh(mesh_device)
    shape = (mesh_device.shape[0], mesh_device.shape[1])
    return ttnn.ShardTensor2dMesh(mesh_device, mesh_shape=shape, dims=dims)


def flat(x: Any) -> Any:
    """Return one sequence [1, S, H] or [1, 1, S, H] as [1, 1, S, H] in bfloat16."""
    *batch, rows, width = list(x.shape)
    if any(size != 1 for size in batch):
        raise ValueError(f"input of shape {list(x.shape)} holds several sequences; pass one")
    if x.dtype != ttnn.bfloat16:
        x = ttnn.typecast(x, ttnn.bfloat16)
    return ttnn.reshape(x, (1, 1, rows, width))


def reshape_like(y: Any, x: Any) -> Any:
    """Return ``y`` with the rank of ``x``, keeping the last dim of ``y``."""
    return ttnn.reshape(y, (*list(x.shape)[:-1], y.shape[-1]))


class Component:
    """One part of the model, bound to a mesh, its weights and its place among the layers."""

    def __init__(
        self,
        mesh_device: Any,
        config: GptOssConfig,
        state_dict: Mapping[str, torch.Tensor],
        ccl_manager: CCLManager,
        *,
        mesh_config: MeshConfig | None = None,
        dtype: Any = ttnn.bfloat8_b,
        layer: int = 0,
    ) -> None:
        self.mesh_device = mesh_device
        self.config = config
        self.state_dict = state_dict
        self.ccl = ccl_manager
        self.mesh_config = mesh_config or MeshConfig.of(mesh_device)
        self.mesh_config.check(config)
        self.dtype = dtype
        self.layer = layer

    @property
    def tp(self) -> int:
        """Ways that widths and heads are split over columns."""
        return self.mesh_config.tp

    def weight(self, name: str) -> torch.Tensor:
        """Return this layer's tensor ``name`` on the host."""
        return self.state_dict[f"model.layers.{self.layer}.{name}"]

    def replicate(self, host: torch.Tensor, dtype: Any = ttnn.bfloat16) -> Any:
        """Return ``host`` copied to every device."""
        return place(self.mesh_device, host, dtype=dtype)

    def split(self, host: torch.Tensor, dim: int, dtype: Any = ttnn.bfloat16) -> Any:
        """Return ``host`` with ``dim`` split over the columns that share the tensor parallelism."""
        return place(self.mesh_device, host, dtype=dtype, dims=self.over_columns(dim))

    def over_columns(self, dim: int) -> tuple[int | None, int | None]:
        """Return the split of ``dim`` over the columns that share the tensor parallelism."""
        return (None, dim) if self.tp > 1 else (None, None)

    def cached(
        self,
        name: str,
        make: Callable[[], torch.Tensor],
        *,
        dims: tuple[int | None, int | None] = (None, None),
        dtype: Any = ttnn.bfloat16,
        layout: Any = ttnn.TILE_LAYOUT,
        **about: object,
    ) -> Any:
        """Return what ``make`` returns, on the mesh; where the weights have a cache that holds it, nothing is made.

        ``name`` and ``about`` tell the tensor from all others that this class makes for this layer.
        """
        if self._cache is None:
            return place(self.mesh_device, make(), dims=dims, dtype=dtype, layout=layout)

        def packed() -> Any:
            mapper = _mapper(self.mesh_device, dims)
            return ttnn.from_torch(make(), dtype=dtype, layout=layout, mesh_mapper=mapper)

        key = {"tensor": name, "dims": dims, "dtype": dtype.name, "layout": layout.name} | self._key() | about
        host = self._cache.get(key, packed)
        return ttnn.to_device(host, self.mesh_device, memory_config=ttnn.DRAM_MEMORY_CONFIG)

    @property
    def is_cached(self) -> bool:
        """Say whether tensors made of these weights are kept on disk."""
        return self._cache is not None

    @property
    def _cache(self) -> TensorCache | None:
        weights = self.state_dict
        return weights.cache if isinstance(weights, Weights) and weights.identity is not None else None

    def _key(self) -> dict[str, object]:
        """Return all that this component's tensors depend on beside their names."""
        return {
            "layer": self.layer,
            "component": type(self).__name__,
            "mesh": [self.mesh_device.shape[0], self.mesh_device.shape[1]],
            "mesh_config": asdict(self.mesh_config),
            "config": self.config.as_dict(),
            "component_dtype": self.dtype.name,
            "weights": getattr(self.state_dict, "identity", None),
            "code": code_digest(),
        }

    def bias_once(self, host: torch.Tensor) -> Any:
        """Return a bias that only column 0 adds, for partial sums that are reduced later."""
        zeros = torch.zeros_like(host)
        return self.split(torch.cat([host] + [zeros] * (self.tp - 1), dim=-1), -1)
