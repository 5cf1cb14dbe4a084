"""Settings that change speed only are carried as ttnn's are."""

from __future__ import annotations

import pytest

import ttemu as ttnn


def test_kernel_config_of_a_device_is_the_given_one_or_made() -> None:
    given = ttnn.WormholeComputeKernelConfig(math_fidelity=ttnn.MathFidelity.HiFi4, fp32_dest_acc_en=True)
    made = ttnn.init_device_compute_kernel_config(
        ttnn.get_arch_name(), math_fidelity=ttnn.MathFidelity.HiFi4, fp32_dest_acc_en=True
    )

    assert ttnn.init_device_compute_kernel_config(None, given) is given
    assert made == given


def test_tiles_compare_by_shape() -> None:
    assert ttnn.Tile([32, 32]) == ttnn.Tile()
    assert ttnn.Tile([16, 32]) != ttnn.Tile()
    assert len({ttnn.Tile(), ttnn.Tile((32, 32))}) == 1
    assert str(ttnn.Tile([16, 32])) == "Tile with shape: [16, 32]"


def test_transposed_tile_is_as_any_other() -> None:
    assert ttnn.Tile(transpose_tile=True) == ttnn.Tile()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ttnn.SDPAProgramConfig(compute_with_storage_grid_size=ttnn.CoreCoord(8, 8), q_chunk_size=64),
        lambda: ttnn.LayerNormShardedMultiCoreProgramConfig(
            compute_with_storage_grid_size=[8, 1], subblock_w=1, block_h=1, block_w=2, inplace=False
        ),
        lambda: ttnn.MinimalMatmulConfig(M_block_size=2),
    ],
)
def test_program_configs_take_keywords_only(make: object) -> None:
    assert make() == make()
    with pytest.raises(TypeError):
        type(make())(ttnn.CoreCoord(8, 8))


def test_enums_have_the_numbers_of_ttnn() -> None:
    assert (ttnn.Topology.Linear.value, ttnn.Topology.Ring.value) == (1, 2)
    assert (ttnn.bfloat16.value, ttnn.bfloat8_b.value, ttnn.bfloat4_b.value, ttnn.int32.value) == (0, 3, 4, 7)
    assert repr(ttnn.bfloat8_b) == str(ttnn.bfloat8_b) == "DataType.BFLOAT8_B"
