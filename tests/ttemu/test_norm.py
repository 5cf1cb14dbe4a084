"""Softmax and the norms are computed in float32."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, put, shards

X = torch.randn(1, 1, 5, 64, generator=torch.Generator().manual_seed(9))
G, B = torch.rand(64) + 0.5, torch.randn(64)


def rms(values: torch.Tensor, epsilon: float = 1e-5) -> torch.Tensor:
    """Return x / sqrt(mean(x^2) + epsilon)."""
    return values / torch.sqrt((values * values).mean(-1, keepdim=True) + epsilon)


@pytest.mark.parametrize("dim", [-1, 2])
def test_softmax_equals_torch(single: ttnn.MeshDevice, dim: int) -> None:
    torch.testing.assert_close(get(ttnn.softmax(put(single, X), dim, numeric_stable=True)), X.softmax(dim))


def test_softmax_of_large_numbers_is_finite(single: ttnn.MeshDevice) -> None:
    assert get(ttnn.softmax(put(single, torch.tensor([[1e4, -1e4]])))).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("weight", "layout"),
    [((64,), ttnn.TILE_LAYOUT), ((1, 1, 1, 64), ttnn.TILE_LAYOUT), ((1, 1, 2, 32), ttnn.ROW_MAJOR_LAYOUT)],
)
def test_rms_norm_takes_each_form_of_weight(
    single: ttnn.MeshDevice, weight: tuple[int, ...], layout: ttnn.Layout
) -> None:
    result = ttnn.rms_norm(put(single, X), weight=put(single, G.view(weight), layout=layout), epsilon=1e-5)

    torch.testing.assert_close(get(result), rms(X) * G)


def test_rms_norm_of_a_padded_width_ignores_the_padding(single: ttnn.MeshDevice) -> None:
    narrow = X[..., :40]
    rows = torch.cat([G[:40], torch.full((24,), 9.0)]).view(1, 1, 2, 32)

    result = ttnn.rms_norm(put(single, narrow), weight=put(single, rows, layout=ttnn.ROW_MAJOR_LAYOUT), epsilon=1e-5)
    torch.testing.assert_close(get(result), rms(narrow) * G[:40])


def test_residual_is_added_before_the_norm(single: ttnn.MeshDevice) -> None:
    result = ttnn.rms_norm(
        put(single, X), residual_input_tensor=put(single, X * 0.5), bias=put(single, B), epsilon=1e-5
    )

    torch.testing.assert_close(get(result), rms(X * 1.5) + B)


def test_layer_norm_equals_torch(single: ttnn.MeshDevice) -> None:
    result = ttnn.layer_norm(put(single, X), weight=put(single, G), bias=put(single, B), epsilon=1e-5)

    torch.testing.assert_close(get(result), torch.nn.functional.layer_norm(X, (64,), G, B, 1e-5))


@pytest.mark.parametrize("shape", ["1x8", "2x4"])
def test_norm_over_shards_equals_the_whole_norm(shape: str, line: ttnn.MeshDevice, mesh: ttnn.MeshDevice) -> None:
    device = {"1x8": line, "2x4": mesh}[shape]
    part = put(device, X, dims=(None, 3))
    exact = ttnn.WormholeComputeKernelConfig(fp32_dest_acc_en=True)
    own = ttnn.rms_norm_pre_all_gather(part, dtype=ttnn.float32, compute_kernel_config=exact)
    stats = ttnn.all_gather(own, dim=3, cluster_axis=1)
    weight = put(device, G.view(1, 1, 1, 64), dims=(None, 3))
    result = ttnn.rms_norm_post_all_gather(part, stats, weight=weight, epsilon=1e-5, compute_kernel_config=exact)

    columns = shards(result)[: device.shape[1]]
    torch.testing.assert_close(torch.cat(columns, 3), rms(X) * G)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda mesh: ttnn.rms_norm(put(mesh, X, layout=ttnn.ROW_MAJOR_LAYOUT)), "must be in TILE layout"),
        (lambda mesh: ttnn.softmax(put(mesh, X, layout=ttnn.ROW_MAJOR_LAYOUT), 1), "inputs must be tilized"),
        (lambda mesh: ttnn.softmax(put(mesh, X, ttnn.bfloat4_b)), "by dtype, got BFLOAT4_B"),
        (lambda mesh: ttnn.rms_norm_pre_all_gather(put(mesh, X)), "requires fp32_dest_acc_en=True"),
        (
            lambda mesh: ttnn.rms_norm(
                put(mesh, X), weight=put(mesh, G), bias=put(mesh, G.view(2, 32), layout=ttnn.ROW_MAJOR_LAYOUT)
            ),
            "gamma and beta must have the same layout",
        ),
        (
            lambda mesh: ttnn.rms_norm(put(mesh, X), residual_input_tensor=put(mesh, X[..., :32])),
            "residual .* must match",
        ),
        (lambda mesh: ttnn.softmax(put(mesh, X), 4), "dim 4 is out of range"),
        (
            lambda mesh: ttnn.rms_norm(put(mesh, X), weight=put(mesh, G[:32])),
            "gamma's volume needs to align .* width 64",
        ),
        (
            lambda mesh: ttnn.rms_norm(put(mesh, X), weight=put(mesh, G, layout=ttnn.ROW_MAJOR_LAYOUT)),
            "gamma's volume needs",
        ),
        (lambda mesh: ttnn.rms_norm(put(mesh, X.int(), ttnn.int32)), "by dtype, got INT32"),
        (
            lambda mesh: ttnn.rms_norm_post_all_gather(
                put(mesh, X, ttnn.bfloat16), put(mesh, torch.zeros(1, 1, 64, 32), ttnn.bfloat16)
            ),
            "dims of stats .* must match",
        ),
    ],
)
def test_norm_refuses(single: ttnn.MeshDevice, call: object, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call(single)
