"""Tensors made from a shape hold one value or a sequence."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, put


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (lambda m: ttnn.zeros((2, 3), ttnn.bfloat16, ttnn.TILE_LAYOUT, m), torch.zeros(2, 3)),
        (lambda m: ttnn.ones([2, 3], device=m), torch.ones(2, 3)),
        (lambda m: ttnn.full(ttnn.Shape([2, 3]), 2.5, device=m), torch.full((2, 3), 2.5)),
        (lambda m: ttnn.moreh_full([2, 3], 2.5, m), torch.full((2, 3), 2.5)),
        (lambda m: ttnn.empty((2, 3), ttnn.bfloat8_b, ttnn.TILE_LAYOUT, m), torch.zeros(2, 3)),
        (
            lambda m: ttnn.allocate_tensor_on_device(ttnn.Shape([2, 3]), ttnn.bfloat16, ttnn.TILE_LAYOUT, m),
            torch.zeros(2, 3),
        ),
        (lambda m: ttnn.zeros_like(put(m, torch.ones(2, 3))), torch.zeros(2, 3)),
        (lambda m: ttnn.ones_like(put(m, torch.zeros(2, 3))), torch.ones(2, 3)),
        (lambda m: ttnn.full_like(put(m, torch.zeros(2, 3)), 4.0), torch.full((2, 3), 4.0)),
        (lambda m: ttnn.empty_like(put(m, torch.ones(2, 3))), torch.zeros(2, 3)),
        (lambda m: ttnn.arange(0, 6, 2, device=m), torch.tensor([0.0, 2.0, 4.0])),
        (lambda m: ttnn.arange(3, device=m), torch.tensor([0.0, 1.0, 2.0])),
    ],
)
def test_values_are_as_asked(single: ttnn.MeshDevice, tensor: object, expected: torch.Tensor) -> None:
    assert torch.equal(get(tensor(single)).float(), expected)


def test_made_tensor_is_replicated_and_stored_once(mesh: ttnn.MeshDevice) -> None:
    assert ttnn.zeros((4, 4), device=mesh).data("test").shape == (1, 1, 4, 4)


def test_without_a_device_the_tensor_is_on_host() -> None:
    assert ttnn.full((2, 2), 1.0).device() is None
    assert ttnn.arange(4).device() is None
    with pytest.raises(TypeError, match=r"ttnn.empty: incompatible function arguments, device is needed"):
        ttnn.empty((2, 2))


def test_like_follows_dtype_layout_and_place(single: ttnn.MeshDevice) -> None:
    source = ttnn.to_memory_config(put(single, torch.ones(2, 2), ttnn.bfloat8_b), ttnn.L1_MEMORY_CONFIG)
    made = ttnn.zeros_like(source)

    assert (made.dtype, made.layout, made.memory_config()) == (ttnn.bfloat8_b, ttnn.TILE_LAYOUT, ttnn.L1_MEMORY_CONFIG)
