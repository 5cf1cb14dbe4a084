"""Hold the settings that ops accept: program configs, kernel configs, topologies.

They change speed and placement on a chip, not values; the emulator reads only what a refusal depends on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ttemu.cores import CoreCoord, CoreRangeSet

__all__ = [
    "LayerNormDefaultProgramConfig",
    "LayerNormShardedMultiCoreProgramConfig",
    "MathFidelity",
    "MatmulMultiCoreReuseMultiCast1DProgramConfig",
    "MatmulMultiCoreReuseMultiCastDRAMShardedProgramConfig",
    "MatmulMultiCoreReuseMultiCastProgramConfig",
    "MatmulMultiCoreReuseProgramConfig",
    "MinimalMatmulConfig",
    "SDPAProgramConfig",
    "SoftmaxDefaultProgramConfig",
    "SoftmaxShardedMultiCoreProgramConfig",
    "Tile",
    "Topology",
    "UnaryOpType",
    "UnaryWithParam",
    "WormholeComputeKernelConfig",
    "init_device_compute_kernel_config",
]

Grid = CoreCoord | tuple[int, int]
_ONE_CORE = CoreCoord(1, 1)


class MathFidelity(Enum):
    """How many passes the multiplier makes."""

    LoFi = 0
    HiFi2 = 2
    HiFi3 = 3
    HiFi4 = 4
    Invalid = 255


class Topology(Enum):
    """The links that a collective uses."""

    Linear = 1
    Ring = 2
    Mesh = 3
    Torus = 4


class UnaryOpType(Enum):
    """An activation that an op can fuse."""

    RELU = 0
    GELU = 1
    SILU = 2
    SIGMOID = 3


@dataclass(frozen=True, slots=True)
class UnaryWithParam:
    """An activation with its parameter."""

    op_type: UnaryOpType
    param: float | None = None


class Tile:
    """Height and width of a tile."""

    __slots__ = ("tile_shape",)

    def __init__(self, tile_shape: Sequence[int] = (32, 32), transpose_tile: bool = False) -> None:
        # Transposing is a matter of storage: such a tile compares equal, and reads back as any other.
        del transpose_tile
        self.tile_shape = list(tile_shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tile) and self.tile_shape == other.tile_shape

    def __hash__(self) -> int:
        return hash(tuple(self.tile_shape))

    def __repr__(self) -> str:
        return f"Tile with shape: {self.tile_shape}"


@dataclass(slots=True, kw_only=True)
class WormholeComputeKernelConfig:
    """Precision settings of a kernel."""

    math_fidelity: MathFidelity = MathFidelity.LoFi
    math_approx_mode: bool = True
    fp32_dest_acc_en: bool = False
    packer_l1_acc: bool = False
    dst_full_sync_en: bool = False
    throttle_level: int = 0


def init_device_compute_kernel_config(
    arch: object,
    device_kernel_config: WormholeComputeKernelConfig | None = None,
    *,
    math_fidelity: MathFidelity = MathFidelity.LoFi,
    math_approx_mode: bool = True,
    fp32_dest_acc_en: bool = False,
    packer_l1_acc: bool = False,
    dst_full_sync_en: bool = False,
) -> WormholeComputeKernelConfig:
    """Return ``device_kernel_config``, or one made of the other arguments."""
    del arch
    return device_kernel_config or WormholeComputeKernelConfig(
        math_fidelity=math_fidelity,
        math_approx_mode=math_approx_mode,
        fp32_dest_acc_en=fp32_dest_acc_en,
        packer_l1_acc=packer_l1_acc,
        dst_full_sync_en=dst_full_sync_en,
    )


@dataclass(slots=True, kw_only=True)
class MatmulMultiCoreReuseProgramConfig:
    """A matmul of which each core makes a block."""

    compute_with_storage_grid_size: Grid
    in0_block_w: int
    out_subblock_h: int
    out_subblock_w: int
    per_core_M: int  # noqa: N815 - ttnn's own name
    per_core_N: int  # noqa: N815 - ttnn's own name


@dataclass(slots=True, kw_only=True)
class MatmulMultiCoreReuseMultiCastProgramConfig:
    """A matmul whose inputs are multicast over two directions of the grid."""

    compute_with_storage_grid_size: Grid
    in0_block_w: int
    out_subblock_h: int
    out_subblock_w: int
    per_core_M: int  # noqa: N815 - ttnn's own name
    per_core_N: int  # noqa: N815 - ttnn's own name
    transpose_mcast: bool
    fused_activation: UnaryWithParam | None = None
    out_block_h: int | None = None
    out_block_w: int | None = None
    fuse_batch: bool = True


@dataclass(slots=True, kw_only=True)
class MatmulMultiCoreReuseMultiCast1DProgramConfig:
    """A matmul one of whose inputs is multicast along the grid."""

    compute_with_storage_grid_size: Grid
    in0_block_w: int
    out_subblock_h: int
    out_subblock_w: int
    per_core_M: int  # noqa: N815 - ttnn's own name
    per_core_N: int  # noqa: N815 - ttnn's own name
    fuse_batch: bool
    fused_activation: UnaryWithParam | None = None
    mcast_in0: bool
    out_block_h: int | None = None
    out_block_w: int | None = None
    gather_in0: bool = False
    hop_cores: CoreRangeSet | None = None
    num_global_cb_receivers: int = 0
    untilize_out: bool = False


@dataclass(slots=True, kw_only=True)
class MatmulMultiCoreReuseMultiCastDRAMShardedProgramConfig:
    """A matmul whose weight is sharded over DRAM banks."""

    in0_block_w: int
    per_core_M: int  # noqa: N815 - ttnn's own name
    per_core_N: int  # noqa: N815 - ttnn's own name
    fused_activation: UnaryWithParam | None = None


@dataclass(slots=True, kw_only=True)
class MinimalMatmulConfig:
    """Block sizes of the minimal matmul, in tiles."""

    M_block_size: int = 1
    K_block_size: int = 1
    N_block_size: int = 1
    subblock_h: int = 1
    subblock_w: int = 1
    compute_with_storage_grid_size: Grid = _ONE_CORE


@dataclass(slots=True, kw_only=True)
class SDPAProgramConfig:
    """Chunk sizes and cores of an attention kernel."""

    compute_with_storage_grid_size: Grid
    sub_core_grids: CoreRangeSet | None = None
    q_chunk_size: int = 32
    k_chunk_size: int = 32
    exp_approx_mode: bool | None = None
    max_cores_per_head_batch: int = 16


@dataclass(slots=True, kw_only=True)
class LayerNormDefaultProgramConfig:
    """A norm over interleaved tensors."""

    legacy_reduction: bool = False
    legacy_rsqrt: bool = False
    use_welford: bool = False


@dataclass(slots=True, kw_only=True)
class LayerNormShardedMultiCoreProgramConfig:
    """A norm over sharded tensors."""

    compute_with_storage_grid_size: Grid
    subblock_w: int
    block_h: int
    block_w: int
    inplace: bool = False
    legacy_reduction: bool = False
    legacy_rsqrt: bool = False
    use_welford: bool = False


@dataclass(slots=True, kw_only=True)
class SoftmaxDefaultProgramConfig:
    """A softmax over interleaved tensors."""


@dataclass(slots=True, kw_only=True)
class SoftmaxShardedMultiCoreProgramConfig:
    """A softmax over sharded tensors."""

    compute_with_storage_grid_size: Grid
    subblock_w: int
    block_h: int
    block_w: int
