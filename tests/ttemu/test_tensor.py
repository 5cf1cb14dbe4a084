"""A tensor knows its shapes, its memory and whether it is alive."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, put, shards


def test_tile_layout_pads_the_last_two_dims(single: ttnn.MeshDevice) -> None:
    padded = {shape: put(single, torch.ones(shape)).padded_shape for shape in [(), (5,), (33, 40), (2, 1, 64)]}

    assert padded == {(): (32, 32), (5,): (32, 32), (33, 40): (64, 64), (2, 1, 64): (2, 32, 64)}


def test_volume_counts_padding_and_logical_volume_does_not(single: ttnn.MeshDevice) -> None:
    tensor = put(single, torch.ones(2, 64))

    assert (tensor.volume(), tensor.logical_volume()) == (2048, 128)


def test_dead_tensor_is_named_by_the_op(single: ttnn.MeshDevice) -> None:
    tensor = put(single, torch.ones(2, 64))
    tensor.deallocate(force=True)
    tensor.deallocate(force=True)

    assert not tensor.is_allocated()
    with pytest.raises(
        RuntimeError, match=r"ttnn.silu: input tensor Shape\(\[2, 64\]\) is not allocated, it was deallocated"
    ):
        ttnn.silu(tensor)


def test_unforced_deallocation_spares_other_handles(single: ttnn.MeshDevice) -> None:
    tensor = put(single, torch.ones(2, 64))
    handle = ttnn.to_layout(tensor, ttnn.TILE_LAYOUT)
    tensor.deallocate()
    assert handle.is_allocated()

    del tensor
    handle.deallocate()
    assert not handle.is_allocated()


def test_shard_dies_with_its_tensor(mesh: ttnn.MeshDevice) -> None:
    tensor = put(mesh, torch.ones(2, 64))
    shard = ttnn.get_device_tensors(tensor)[3]
    tensor.deallocate(force=True)

    with pytest.raises(RuntimeError, match="is not allocated"):
        ttnn.to_torch(shard)


def test_op_on_one_shard_of_a_mesh_is_refused(mesh: ttnn.MeshDevice) -> None:
    shard = ttnn.get_device_tensors(put(mesh, torch.ones(2, 64)))[0]

    with pytest.raises(
        RuntimeError, match=r"tensor covers 1x1 devices of MeshDevice\(2x4 .* the real library crashes here"
    ):
        ttnn.silu(shard)


def test_operators_compute(single: ttnn.MeshDevice) -> None:
    two = put(single, torch.full((32, 32), 2.0))
    results = [two + 1, 1 + two, two - 1, 1 - two, two * 3, 3 * two, two / 4, 4 / two, two @ two, two == 2.0, two < 2.0]

    assert [get(result)[0, 0].item() for result in results] == [3, 3, 1, -1, 6, 6, 0.5, 2, 128, 1, 0]


def test_in_place_operators_make_new_tensors(single: ttnn.MeshDevice) -> None:
    first = tensor = put(single, torch.ones(2, 2))
    tensor += 1
    tensor *= 3

    assert (get(first)[0, 0], get(tensor)[0, 0]) == (1, 6)


@pytest.mark.parametrize("operation", [lambda x: -x, lambda x: x**2])
def test_minus_and_power_are_type_errors(single: ttnn.MeshDevice, operation: object) -> None:
    with pytest.raises(TypeError):
        operation(put(single, torch.ones(2, 2)))


def test_tensors_can_be_set_members_although_equality_is_elementwise(single: ttnn.MeshDevice) -> None:
    tensor = put(single, torch.ones(2, 2))

    assert len({tensor, tensor}) == 1


def test_device_less_tensor_is_on_host() -> None:
    tensor = ttnn.from_torch(torch.ones(2, 2))

    assert tensor.device() is None
    assert tensor.storage_type() is ttnn.StorageType.HOST
    assert not ttnn.is_tensor_storage_on_device(tensor)


def test_host_tensor_in_an_op_is_refused(single: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match=r"ttnn.add: operands must be on device, but tensor .* is on host"):
        ttnn.add(put(single, torch.ones(2, 2)), ttnn.from_torch(torch.ones(2, 2)))


def test_item_is_the_only_element(single: ttnn.MeshDevice) -> None:
    assert ttnn.sum(put(single, torch.ones(4, 4))).item() == 16.0


def test_views_keep_their_values_when_the_source_is_overwritten(single: ttnn.MeshDevice) -> None:
    source = put(single, torch.zeros(1, 2, 32, 32))
    ttnn.fill_cache(source, put(single, torch.ones(1, 2, 32, 32)), 0)
    turned = ttnn.transpose(source, 2, 3)
    ttnn.fill_cache(source, put(single, torch.zeros(1, 2, 32, 32)), 0)

    assert not get(source).any()
    assert bool((get(turned) == 1).all())


def test_accessors_of_tt_metal_style_agree_with_the_attributes(single: ttnn.MeshDevice) -> None:
    tensor = put(single, torch.ones(2, 64), ttnn.bfloat16)

    assert tensor.get_layout() is tensor.layout
    assert tensor.get_dtype() is tensor.dtype
    assert (tensor.tile, tensor.element_size()) == (ttnn.Tile([32, 32]), 2)
    assert tensor.reshape(1, 1, 64, 2).shape == (1, 1, 64, 2)
    assert get(tensor != 1.0).sum() == get(tensor <= 0.0).sum() == 0
    assert get(tensor >= 1.0).sum() == get(tensor > 0.0).sum() == 128


def test_values_can_not_be_made_of_dead_memory(single: ttnn.MeshDevice) -> None:
    tensor = put(single, torch.ones(2, 2))
    tensor.deallocate(force=True)

    with pytest.raises(RuntimeError, match="is not allocated"):
        ttnn.to_layout(tensor, ttnn.TILE_LAYOUT)


def test_repr_tells_shape_dtype_and_place(mesh: ttnn.MeshDevice) -> None:
    text = repr(put(mesh, torch.ones(2, 64), dims=(None, 1)))

    assert text == "ttnn.Tensor(shape=Shape([2, 16]), dtype=DataType.FLOAT32, layout=Layout.TILE, 2x4 mesh)"


def test_replicated_compute_happens_once(mesh: ttnn.MeshDevice) -> None:
    result = ttnn.silu(put(mesh, torch.ones(32, 32))) + 1.0

    assert result.data("test").shape == (1, 1, 32, 32)
    assert len(shards(result)) == 8
