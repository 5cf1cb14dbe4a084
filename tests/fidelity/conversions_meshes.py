"""Lay host tensors over meshes and put them together again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from tests.fidelity.conversions_compare import compare
from tests.fidelity.conversions_values import sample
from tests.fidelity.libraries import Libraries
from tests.fidelity.tally import Row, Tally

__all__ = ["MESHES", "open_both", "run"]

MESHES = ((1, 8), (2, 4))
DTYPES = ("bfloat16", "float32", "bfloat8_b", "bfloat4_b", "uint16", "uint32", "int32")
SHAPES = ((8, 64), (16, 360), (2, 8, 40), (1, 2, 32, 2880), (8, 8), (4, 4, 8, 24))
DIMS = ((None, None), (None, -1), (-2, None), (-2, -1), (-1, -2), (0, -1), (None, 0))


@contextmanager
def open_both(libraries: Libraries, shape: tuple[int, int]) -> Iterator[dict[ModuleType, Any]]:
    """Open a mesh of one shape in each library."""
    real = libraries.real
    # Wormhole's default takes a column of cores away which programs are then still placed on.
    cores = real.DispatchCoreConfig(real.DispatchCoreType.WORKER, real.DispatchCoreAxis.ROW)
    meshes = {
        real: real.open_mesh_device(mesh_shape=real.MeshShape(*shape), dispatch_core_config=cores),
        libraries.emulated: libraries.emulated.open_mesh_device(libraries.emulated.MeshShape(*shape)),
    }
    try:
        yield meshes
    finally:
        for library, mesh in meshes.items():
            library.close_mesh_device(mesh)


def run(libraries: Libraries, seed: int) -> list[Row]:
    """Return a row per dtype: shards are rounded each on its own, which a block of 16 across two of them shows."""
    generator = torch.Generator().manual_seed(seed + 2)
    tallies = {dtype: Tally(f"mappers and composers on host: {dtype}") for dtype in DTYPES}
    for shape in MESHES:
        with open_both(libraries, shape) as meshes:
            for dtype, tally in tallies.items():
                for extents in SHAPES:
                    _lay(libraries, tally, meshes, dtype, _numbers(dtype, extents, generator))
    return [tally.row() for tally in tallies.values()]


def _numbers(dtype: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    count = int(torch.tensor(shape).prod())
    source = torch.int32 if "int" in dtype else torch.float32
    return sample(source, "wide" if source is torch.float32 else "bits", count, generator).reshape(shape)


def _lay(libraries: Libraries, tally: Tally, meshes: dict[ModuleType, Any], dtype: str, numbers: torch.Tensor) -> None:
    shape = tuple(meshes[libraries.emulated].shape)
    text = f"{list(numbers.shape)} over {shape[0]}x{shape[1]}"

    def held(library: ModuleType, mapper: Any) -> Any:
        return library.from_torch(
            numbers, dtype=getattr(library, dtype), layout=library.TILE_LAYOUT, mesh_mapper=mapper
        )

    def parts(library: ModuleType, mapper: Any) -> list[torch.Tensor]:
        return [library.to_torch(part) for part in library.get_device_tensors(held(library, mapper))]

    for dims in DIMS:
        compare(
            libraries,
            tally,
            f"{text}, dims {dims}",
            numbers.numel(),
            lambda library, dims=dims: parts(library, library.ShardTensor2dMesh(meshes[library], shape, dims)),
        )
        compare(
            libraries,
            tally,
            f"{text}, dims {dims}, composed",
            numbers.numel(),
            lambda library, dims=dims: library.to_torch(
                held(library, library.ShardTensor2dMesh(meshes[library], shape, dims)),
                mesh_composer=library.ConcatMesh2dToTensor(meshes[library], shape, (0, numbers.dim() - 1)),
            ),
        )
    for part in ((1, 4), (4, 2), (2, 2), (1, 8)):
        compare(
            libraries,
            tally,
            f"{text}, dims (-2, -1) over {part}",
            numbers.numel(),
            lambda library, part=part: parts(library, library.ShardTensor2dMesh(meshes[library], part, (-2, -1))),
        )
    for dim in range(-1, numbers.dim()):
        compare(
            libraries,
            tally,
            f"{text}, dim {dim} over all devices",
            numbers.numel(),
            lambda library, dim=dim: parts(library, library.ShardTensorToMesh(meshes[library], dim)),
        )
        compare(
            libraries,
            tally,
            f"{text}, replicas concatenated along {dim}",
            numbers.numel(),
            lambda library, dim=dim: library.to_torch(
                held(library, library.ReplicateTensorToMesh(meshes[library])),
                mesh_composer=library.ConcatMeshToTensor(meshes[library], dim),
            ),
        )
