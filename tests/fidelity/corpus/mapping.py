"""Generate calls that cut tensors over a mesh and put them together again."""

from __future__ import annotations

from tests.fidelity.corpus.registry import MESHES, generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_EVEN = (8, 16, 32, 64, 256)
_UNEVEN = (1, 3, 5, 7, 9, 10, 12, 20, 33, 100, 360)


def _span(mesh: str) -> list[int]:
    return [int(extent) for extent in mesh.split("x")]


def _shape(draw: Draw) -> list[int]:
    """Return a shape most dims of which can be cut evenly."""
    return [draw.one(_EVEN if draw.chance(80) else _UNEVEN) for _ in range(draw.between(2, 3))]


def _mesh_shape(draw: Draw, mesh: str) -> str:
    """Return the mesh's shape, now and then turned, smaller, larger or of another rank."""
    rows, cols = _span(mesh)
    wrong = ((cols, rows), (1, cols), (rows, max(cols // 2, 1)), (rows * 2, cols), (rows * cols, 1), (1, rows * cols))
    chosen = draw.one(wrong) if draw.chance(20) else (rows, cols)
    return draw.one((str(chosen), str(list(chosen)), f"ttnn.MeshShape{chosen}", "m.shape"))


def _dims(draw: Draw, rank: int) -> str:
    """Return what each mesh axis cuts."""
    pair = [str(dim) for dim in draw.some(range(rank), 2)]
    return draw.one(
        (
            f"({pair[0]}, {pair[1]})",
            f"({pair[0]}, {pair[1]})",
            f"(None, {pair[0]})",
            f"({pair[0]}, None)",
            "(None, None)",
            "(-1, -2)",
            f"(None, {-draw.between(1, rank)})",
            draw.one((f"({rank}, 0)", "(0, 0)", "(0, -9)", "(1,)", "(0, 1, 1)", "0", "('a', 0)")),
        )
    )


def _mapper(draw: Draw, mesh: str, rank: int) -> str:
    kind = draw.between(0, 9)
    if kind < 5:
        shape, dims = _mesh_shape(draw, mesh), _dims(draw, rank)
        form = draw.one((f"m, {shape}, dims={dims}", f"m, mesh_shape={shape}, dims={dims}", f"m, {shape}, {dims}"))
        return f"ttnn.ShardTensor2dMesh({form})"
    if kind < 8:
        dim = draw.between(-rank, rank - 1) if draw.chance(88) else rank + 1
        return draw.one((f"ttnn.ShardTensorToMesh(m, dim={dim})", f"ttnn.shard_tensor_to_mesh_mapper(m, {dim})"))
    if kind == 8:
        return f"ttnn.create_mesh_mapper(m, ttnn.MeshMapperConfig({_placements(draw, rank)}))"
    return draw.one(("ttnn.ReplicateTensorToMesh(m)", "ttnn.ReplicateTensorToMesh()", "ttnn.ShardTensorToMesh(m)"))


def _placements(draw: Draw, rank: int) -> str:
    """Return a placement for each mesh axis, with the shape that they are of."""
    items = [
        "ttnn.PlacementReplicate()" if draw.chance(40) else f"ttnn.PlacementShard({draw.between(0, rank - 1)})"
        for _ in range(draw.one((2, 2, 2, 2, 1, 3)))
    ]
    return f"[{', '.join(items)}]"


@generates("mesh_mapper", cases=200, meshes=MESHES)
def _map(draw: Draw, mesh: str, name: str) -> str:
    del name
    shape = _shape(draw)
    device = draw.one((", device=m", ", device=m", ""))
    layout = draw.one((", layout=TL", ""))
    dtype = draw.one(("", "", ", dtype=B16", ", dtype=U32"))
    call = f"ttnn.from_torch(torch.ones({shape}){dtype}{layout}, mesh_mapper={_mapper(draw, mesh, len(shape))}{device})"
    return draw.one((call, call, f"len(ttnn.get_device_tensors({call}))", f"ttnn.get_device_tensors({call})[0]"))


def _composer(draw: Draw, mesh: str, rank: int) -> str:
    kind = draw.between(0, 6)
    if kind < 3:
        dims = draw.one((tuple(draw.some(range(rank), 2)), (-1, -2), (0, rank - 1)))
        wrong = draw.one(("(0, 0)", f"({rank}, 0)", "(0, None)", "0"))
        return f"ttnn.ConcatMesh2dToTensor(m, {_mesh_shape(draw, mesh)}, dims={wrong if draw.chance(15) else dims})"
    if kind < 5:
        dim = draw.between(-rank, rank - 1) if draw.chance(88) else rank + 1
        return draw.one((f"ttnn.ConcatMeshToTensor(m, dim={dim})", f"ttnn.concat_mesh_to_tensor_composer(m, {dim})"))
    dims = draw.some(range(rank), draw.one((2, 2, 2, 1)))
    return f"ttnn.create_mesh_composer(m, ttnn.MeshComposerConfig({dims}))"


@generates("mesh_composer", cases=150, meshes=MESHES)
def _compose(draw: Draw, mesh: str, name: str) -> str:
    del name
    rows, cols = _span(mesh)
    shape = [draw.one((8, 32, 40)), draw.one((16, 32)), draw.one((8, 64))][: draw.one((2, 3))]
    dims = draw.one(("(None, -1)", "(0, 1)", "(0, None)", "(None, None)"))
    whole = draw.tensor(shape, host=15)
    cut = f"S({', '.join(map(str, [extent * rows * cols for extent in shape[:2]] + shape[2:]))}, dims={dims})"
    tensor = draw.one((whole, cut if rows * cols < 32 else whole, f"ttnn.from_device({draw.tensor(shape)})"))
    return f"ttnn.to_torch({tensor}, mesh_composer={_composer(draw, mesh, len(shape))})"
