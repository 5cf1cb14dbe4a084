"""Mappers lay host tensors over meshes, composers put them together, in row-major order."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import put, shards

VALUES = torch.arange(8 * 16.0).view(8, 16)


def chunks(values: torch.Tensor, parts: int, dim: int | None) -> list[torch.Tensor]:
    """Return the pieces along a dim, or as many copies."""
    return [values] * parts if dim is None else list(values.chunk(parts, dim))


@pytest.mark.parametrize(
    ("row_dim", "col_dim"),
    [(None, None), (None, 0), (None, 1), (0, None), (1, None), (0, 1), (1, 0), (-1, -2), (-2, None)],
)
def test_rows_and_columns_cut_their_dims(mesh: ttnn.MeshDevice, row_dim: int | None, col_dim: int | None) -> None:
    expected = [part for row in chunks(VALUES, 2, row_dim) for part in chunks(row, 4, col_dim)]

    assert all(map(torch.equal, shards(put(mesh, VALUES, dims=(row_dim, col_dim))), expected))


def test_replicated_tensor_is_stored_once(mesh: ttnn.MeshDevice) -> None:
    tensor = ttnn.from_torch(VALUES, device=mesh, mesh_mapper=ttnn.ReplicateTensorToMesh(mesh))

    assert tensor.data("test").shape == (1, 1, 8, 16)
    assert all(torch.equal(part, VALUES) for part in shards(tensor))
    assert len(shards(tensor)) == 8


def test_flat_mapper_deals_row_major(mesh: ttnn.MeshDevice) -> None:
    tensor = ttnn.from_torch(VALUES, device=mesh, mesh_mapper=ttnn.ShardTensorToMesh(mesh, dim=0))

    assert all(map(torch.equal, shards(tensor), VALUES.chunk(8, 0)))


def test_flat_mapper_with_fewer_chunks_fills_fewer_devices(mesh: ttnn.MeshDevice) -> None:
    tensor = ttnn.from_torch(VALUES[:3], device=mesh, mesh_mapper=ttnn.ShardTensorToMesh(mesh, dim=0))

    assert [part.tolist() for part in shards(tensor)] == [VALUES[row : row + 1].tolist() for row in range(3)]


def test_dims_beyond_the_axes_are_ignored(mesh: ttnn.MeshDevice) -> None:
    mapper = ttnn.ShardTensor2dMesh(mesh, (2, 4), dims=(None, 1, 0))

    assert torch.equal(shards(ttnn.from_torch(VALUES, device=mesh, mesh_mapper=mapper))[5], VALUES.chunk(4, 1)[1])


def test_mapper_dims_must_be_integers(mesh: ttnn.MeshDevice) -> None:
    with pytest.raises(TypeError, match=r"dims \('a', 0\)"):
        ttnn.ShardTensor2dMesh(mesh, (2, 4), dims=("a", 0))


def test_composer_of_one_shard_for_many_is_refused(mesh: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match=r"mesh shape \[2, 4\] lies outside the 1 shards"):
        ttnn.to_torch(ttnn.from_torch(VALUES), mesh_composer=ttnn.ConcatMesh2dToTensor(mesh, (2, 4), (0, 1)))


def test_turned_mesh_shape_is_dealt_row_major(mesh: ttnn.MeshDevice) -> None:
    tensor = ttnn.from_torch(VALUES, device=mesh, mesh_mapper=ttnn.ShardTensor2dMesh(mesh, (1, 8), dims=(None, 1)))

    assert all(map(torch.equal, shards(tensor), VALUES.chunk(8, 1)))


@pytest.mark.parametrize(
    ("size", "dims", "message"),
    [
        (
            7,
            (0, None),
            r"Shard shape mismatch: dim 0 of size 7 gives chunks of 4 and a last one of 3; pad it to a multiple of 2",
        ),
        (3, (None, 0), r"expected number of chunks 3 to match 4 \(dim 0 of size 3\)"),
        (1, (0, None), r"expected number of chunks 1 to match 2"),
        (8, (0, 0), r"dims must be unique, got \[0, 0\]"),
        (8, (2, None), "dim 2 is out of range for a tensor of rank 2"),
    ],
)
def test_cut_that_is_not_even_is_refused(
    mesh: ttnn.MeshDevice, size: int, dims: tuple[int | None, int | None], message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        put(mesh, torch.ones(size, 16), dims=dims)


def test_cut_over_a_row_of_one_works_for_any_size() -> None:
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 4))

    assert put(mesh, torch.ones(1, 16), dims=(0, None)).shape == (1, 16)


@pytest.mark.parametrize("kind", [ttnn.ShardTensor2dMesh, ttnn.ConcatMesh2dToTensor])
def test_mesh_shape_larger_than_the_mesh_is_refused(mesh: ttnn.MeshDevice, kind: type) -> None:
    with pytest.raises(RuntimeError, match=r"mesh shape \[4, 8\] does not match the device shape size"):
        kind(mesh, (4, 8), dims=(0, 1))


def test_composer_concatenates_rows_and_columns(mesh: ttnn.MeshDevice) -> None:
    composer = ttnn.ConcatMesh2dToTensor(mesh, mesh_shape=(2, 4), dims=(0, 1))

    assert torch.equal(ttnn.to_torch(put(mesh, VALUES, dims=(0, 1)), mesh_composer=composer), VALUES)


def test_composer_concatenates_replicas_too(mesh: ttnn.MeshDevice) -> None:
    composer = ttnn.ConcatMesh2dToTensor(mesh, mesh_shape=(2, 4), dims=(0, 1))

    assert torch.equal(ttnn.to_torch(put(mesh, VALUES, dims=(None, 1)), mesh_composer=composer), VALUES.repeat(2, 1))


def test_composer_of_a_smaller_mesh_takes_the_first_devices(mesh: ttnn.MeshDevice) -> None:
    composer = ttnn.ConcatMesh2dToTensor(mesh, mesh_shape=(1, 2), dims=(0, 1))

    assert torch.equal(ttnn.to_torch(put(mesh, VALUES, dims=(0, 1)), mesh_composer=composer), VALUES[:4, :8])


def test_flat_composer_concatenates_row_major(mesh: ttnn.MeshDevice) -> None:
    composer = ttnn.ConcatMeshToTensor(mesh, dim=0)
    tensor = ttnn.from_torch(VALUES, device=mesh, mesh_mapper=ttnn.ShardTensorToMesh(mesh, dim=0))

    assert torch.equal(ttnn.to_torch(tensor, mesh_composer=composer), VALUES)


def test_composer_of_the_same_dim_twice_is_refused(mesh: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match=r"dims must be unique, got \[1, -1\]"):
        ttnn.to_torch(put(mesh, VALUES), mesh_composer=ttnn.ConcatMesh2dToTensor(mesh, (2, 4), (1, -1)))


def test_composer_dims_must_be_integers(mesh: ttnn.MeshDevice) -> None:
    with pytest.raises(TypeError, match=r"dims \(0, None\) must be integers"):
        ttnn.ConcatMesh2dToTensor(mesh, (2, 4), (0, None))


def test_composer_of_more_devices_than_shards_is_refused(mesh: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match=r"mesh .* lies outside the 1 shards"):
        ttnn.to_torch(ttnn.from_torch(VALUES), mesh_composer=ttnn.ConcatMeshToTensor(mesh, dim=0))


def test_configs_make_the_same_mappers_and_composers(mesh: ttnn.MeshDevice) -> None:
    placements = [ttnn.PlacementReplicate(), ttnn.PlacementShard(1)]
    mapper = ttnn.create_mesh_mapper(mesh, ttnn.MeshMapperConfig(placements))
    composer = ttnn.create_mesh_composer(mesh, ttnn.MeshComposerConfig([0, 1]))
    tensor = ttnn.from_torch(VALUES, device=mesh, mesh_mapper=mapper)

    assert torch.equal(ttnn.to_torch(tensor, mesh_composer=composer), VALUES.repeat(2, 1))


def test_functions_make_the_flat_mappers_and_composers(mesh: ttnn.MeshDevice) -> None:
    cut = ttnn.from_torch(VALUES, device=mesh, mesh_mapper=ttnn.shard_tensor_to_mesh_mapper(mesh, 0))
    copied = ttnn.from_torch(VALUES, device=mesh, mesh_mapper=ttnn.replicate_tensor_to_mesh_mapper(mesh))
    composer = ttnn.concat_mesh_to_tensor_composer(mesh, 0)

    assert torch.equal(ttnn.to_torch(cut, mesh_composer=composer), VALUES)
    assert torch.equal(ttnn.to_torch(copied, mesh_composer=composer), VALUES.repeat(8, 1))


@pytest.mark.parametrize("make", [ttnn.create_mesh_mapper, ttnn.create_mesh_composer])
def test_config_needs_one_entry_per_mesh_axis(mesh: ttnn.MeshDevice, make: object) -> None:
    config = ttnn.MeshMapperConfig([ttnn.PlacementShard(0)])
    composer = ttnn.MeshComposerConfig([0])

    with pytest.raises(RuntimeError, match=r"the number of dimensions must be 2"):
        make(mesh, config if make is ttnn.create_mesh_mapper else composer)
