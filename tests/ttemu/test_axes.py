"""Mesh dims are cut from and folded into tensor dims without moving anything twice."""

from __future__ import annotations

import pytest
import torch

from ttemu import axes


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_split_gives_device_i_the_ith_chunk(axis: int, dim: int) -> None:
    values = torch.arange(4 * 8 * 12.0).view(4, 8, 12)
    cut = axes.split(values[None, None], axis, dim, 4)

    assert cut.shape[axis] == 4
    for index, chunk in enumerate(values.chunk(4, dim)):
        assert torch.equal(cut.select(axis, index).squeeze(0), chunk)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_join_undoes_split(axis: int, dim: int) -> None:
    values = torch.randn(1, 1, 4, 8, 12)

    assert torch.equal(axes.join(axes.split(values, axis, dim, 4), axis, dim), values)


def test_copies_cost_nothing() -> None:
    values = torch.randn(1, 1, 1000)

    assert axes.copies(values, 1, 8).stride(1) == 0
    assert axes.spread(values, (4, 8)).shape == (4, 8, 1000)
    assert axes.spread(values, (4, 8)).data_ptr() == values.data_ptr()


def test_mesh_of_several_is_what_they_broadcast_to() -> None:
    assert axes.mesh_of(torch.ones(1, 8, 3), torch.ones(4, 1, 2, 2)) == (4, 8)


def test_cut_makes_several_dims_of_one() -> None:
    values = torch.arange(24).view(2, 12)

    assert torch.equal(axes.cut(values, -1, (3, -1)), values.view(2, 3, 4))
