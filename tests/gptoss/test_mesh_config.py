"""How a model is spread over a mesh, and what a mesh refuses."""

from __future__ import annotations

import re

import pytest

from gptoss.config import GptOssConfig
from gptoss.mesh_config import MeshConfig, MeshConfigError, Split
from gptoss.testing.bench import TINY


class FakeMesh:
    def __init__(self, rows, cols):
        self.shape = (rows, cols)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, 1), "MeshConfig(1x1)"),
        ((1, 8), "MeshConfig(1x8, tp=8)"),
        ((2, 4), "MeshConfig(2x4, tp=4, ep=2, sp=2)"),
        ((4, 8), "MeshConfig(4x8, tp=8, ep=4, sp=4)"),
    ],
)
def test_default_splits_are_printed(shape, text):
    config = MeshConfig.of(FakeMesh(*shape))

    assert str(config) == text
    assert config.dp == 1


def test_unsplit_rows_hold_copies():
    config = MeshConfig((2, 4), decode=Split(tp=4), prefill=Split(tp=4))

    assert config.dp == 2


@pytest.mark.parametrize(
    ("decode", "prefill", "message"),
    [
        ({"tp": 4}, {"tp": 8}, "mesh 2x8: decode tp=4; choose 1 or the 8 columns"),
        ({"tp": 8, "ep": 4}, {"tp": 8}, "mesh 2x8: decode ep=4; choose 1 or the 2 rows"),
        ({"tp": 8}, {"tp": 8, "sp": 8}, "mesh 2x8: prefill sp=8; choose 1 or the 2 rows"),
        ({"tp": 8, "sp": 2}, {"tp": 8}, "mesh 2x8: decode sp=2; decode has no sp, so 1"),
        ({"tp": 8}, {"tp": 8, "ep": 2}, "mesh 2x8: prefill ep=2; prefill has no ep, so 1"),
        ({"tp": 8}, {"tp": 1}, "mesh 2x8: decode tp=8 and prefill tp=1 differ"),
    ],
)
def test_impossible_split_is_explained(decode, prefill, message):
    with pytest.raises(MeshConfigError, match=re.escape(message)):
        MeshConfig.from_tables((2, 8), decode, prefill)


def test_every_size_that_does_not_divide_is_listed():
    config = GptOssConfig(
        **{**TINY, "num_attention_heads": 12, "intermediate_size": 100, "num_experts_per_tok": 3, "hidden_size": 100}
    )

    with pytest.raises(MeshConfigError) as caught:
        MeshConfig.of(FakeMesh(4, 8)).check(config)

    assert str(caught.value) == (
        "mesh 4x8: num_attention_heads=12 does not divide by tp=8; "
        "intermediate_size=100 does not divide by tp=8; "
        "num_experts_per_tok=3 does not divide by ep=4; "
        "num_attention_heads=12 does not divide by num_key_value_heads=8; "
        "hidden_size=100 does not divide by the tile width=32"
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 4), (1, 8), (2, 4), (4, 4), (4, 8)])
@pytest.mark.parametrize("experts", [32, 128])
def test_published_models_fit_every_mesh(shape, experts):
    MeshConfig.of(FakeMesh(*shape)).check(GptOssConfig(num_local_experts=experts))


def test_throughput_gives_rows_to_users():
    config = MeshConfig((4, 8), decode=Split(tp=8, ep=4), prefill=Split(tp=8, sp=4)).for_throughput()

    assert (config.user_rows, config.decode, config.prefill) == (4, Split(tp=8), Split(tp=8))
    assert str(config) == "MeshConfig(4x8, tp=8, throughput)"


def test_throughput_refuses_rows_that_split_something_else():
    with pytest.raises(MeshConfigError, match="throughput with decode ep=2 and prefill sp=1; rows hold users there"):
        MeshConfig((2, 4), decode=Split(tp=4, ep=2), prefill=Split(tp=4), throughput=True)


def test_throughput_needs_whole_experts_on_each_device():
    config = MeshConfig((4, 8), decode=Split(tp=8), prefill=Split(tp=8), throughput=True)

    with pytest.raises(MeshConfigError, match="num_local_experts=48 does not divide by devices=32"):
        config.check(GptOssConfig(num_local_experts=48))


@pytest.mark.parametrize(
    ("shape", "throughput", "users", "each"),
    [((1, 8), False, 32, 32), ((4, 8), False, 32, 32), ((4, 8), True, 128, 32), ((2, 4), True, 2, 1)],
)
def test_users_are_shared_out_over_rows(shape, throughput, users, each):
    config = MeshConfig(shape, decode=Split(tp=shape[1]), prefill=Split(tp=shape[1]))

    assert (config.for_throughput() if throughput else config).local_users(users) == each


@pytest.mark.parametrize(
    ("shape", "throughput", "users", "message"),
    [
        ((4, 8), True, 30, "mesh 4x8: users=30 does not divide by rows=4, which share them out"),
        ((4, 8), False, 0, "mesh 4x8: users=0 does not divide by rows=1, which share them out"),
        (
            (4, 8),
            False,
            128,
            (
                "mesh 4x8: users=128 over rows=1 leaves 128 for each device, which decodes 32 at most; "
                "the throughput layout shares them over the mesh's 4 rows"
            ),
        ),
        (
            (2, 4),
            True,
            128,
            (
                "mesh 2x4: users=128 over rows=2 leaves 64 for each device, which decodes 32 at most; "
                "use the throughput layout of a mesh of 4 rows or more"
            ),
        ),
    ],
)
def test_users_that_a_mesh_cannot_serve_are_refused(shape, throughput, users, message):
    config = MeshConfig(shape, decode=Split(tp=shape[1]), prefill=Split(tp=shape[1]))
    config = config.for_throughput() if throughput else config

    with pytest.raises(MeshConfigError, match=re.escape(message)):
        config.local_users(users)
