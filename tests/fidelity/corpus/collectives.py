"""Generate calls that move and sum values between devices."""

from __future__ import annotations

from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_MESHES = ("1x8", "1x8", "2x4", "2x4", "4x8")
_WIDTHS = (32, 40, 64, 96, 128, 256)
_TOPOLOGIES = ("ttnn.Topology.Linear", "ttnn.Topology.Ring")
_FAULTS = ("axis", "host", "dead", "dim", "keyword", "number")


def _size(mesh: str, axis: int | None) -> int:
    rows, cols = map(int, mesh.split("x"))
    return (rows, cols)[axis] if axis is not None else rows * cols


def _axis(draw: Draw, mesh: str, *, wrong: bool) -> int | None:
    """Return an axis of the mesh with several devices, or now and then none."""
    if wrong:
        return draw.one((2, 0, 0, -1)) if mesh == "1x8" else draw.one((2, 3, 7, -1))
    if draw.chance(12):
        return None
    return 1 if mesh == "1x8" else draw.one((0, 1))


def _input(draw: Draw, fault: str, shape: list[int], dtypes: tuple[str, ...], *, rare: int = 20) -> str:
    """Return the tensor; in ``rare`` percent of those that are to be without memory it is: some end the process."""
    dtype = draw.one(dtypes)
    layout = "TL" if dtype in {"B8", "B4"} else draw.layout(25)
    if fault in {"host", "dead"} and not draw.chance(rare):
        fault = ""
    if fault == "number":
        return draw.one(("2.0", "None", "[1]"))
    place = draw.one(("", "", "", "L1", "DRAM"))
    tensor = draw.tensor(shape, dtype=dtype, layout=layout, place=place, host=100 * (fault == "host"))
    return f"dead({tensor})" if fault == "dead" else tensor


def _options(draw: Draw, fault: str) -> str:
    options = draw.options(
        (15, f"memory_config={draw.one(('L1', 'DRAM'))}"),
        (20, f"topology={draw.one(_TOPOLOGIES)}"),
        (20, f"num_links={draw.between(1, 4)}"),
    )
    return options + (draw.one((", mesh_device=m", ", group=1", ", chunks_per_sync='a'")) if fault == "keyword" else "")


def _shape(draw: Draw, dim: int, extent: int, rank: int) -> list[int]:
    shape = [draw.one((1, 1, 2, 3)) for _ in range(rank - 2)] + [draw.one((1, 5, 32, 33, 64)), draw.one(_WIDTHS)]
    shape = shape[-rank:]
    shape[dim] = extent
    return shape


@generates("all_gather", cases=110, meshes=_MESHES)
def _all_gather(draw: Draw, mesh: str, name: str) -> str:
    fault = draw.one(_FAULTS) if draw.chance(25) else ""
    rank = draw.one((1, 2, 3, 4, 4, 4, 4, 5))
    dim = draw.one((draw.between(0, rank - 1), rank - 1, -1))
    extent = draw.one(_WIDTHS) if dim in {rank - 1, -1} else draw.one((1, 2, 5, 32, 33))
    tensor = _input(
        draw, fault, _shape(draw, dim, extent, rank), ("B16", "B16", "B8", "B4", "F32", "U16", "U32", "I32")
    )
    axis = _axis(draw, mesh, wrong=fault == "axis")
    place = draw.one((rank, -rank - 1)) if fault == "dim" else dim
    where = draw.one((f"{place}", f"dim={place}"))
    return f"ttnn.{name}({tensor}, {where}{_with_axis(draw, axis)}{_options(draw, fault)})"


def _with_axis(draw: Draw, axis: int | None) -> str:
    return draw.one(("", ", cluster_axis=None")) if axis is None else f", cluster_axis={axis}"


@generates("reduce_scatter", cases=120, meshes=_MESHES)
def _reduce_scatter(draw: Draw, mesh: str, name: str) -> str:
    fault = draw.one((*_FAULTS, "divide", "dtype")) if draw.chance(30) else ""
    rank = draw.one((1, 2, 3, 4, 4, 4, 4, 5))
    dim = draw.one((draw.between(0, rank - 1), rank - 1, -1))
    axis = _axis(draw, mesh, wrong=fault == "axis")
    parts = _size(mesh, axis if axis in {0, 1} else 1)
    last = dim in {rank - 1, -1}
    extent = parts * (draw.one((1, 8, 32, 40, 64, 65)) if last else draw.one((1, 2, 4, 32)))
    shape = _shape(draw, dim, extent + (fault == "divide"), rank)
    dtypes = ("U16", "U32") if fault == "dtype" else ("B16", "B16", "B8", "B4", "F32", "I32")
    place = draw.one((rank, -rank - 1)) if fault == "dim" else dim
    where = draw.one((f"{place}", f"dim={place}"))
    tensor = _input(draw, fault, shape, dtypes)
    return f"ttnn.{name}({tensor}, {where}{_with_axis(draw, axis)}{_options(draw, fault)})"


@generates("all_reduce", cases=100, meshes=_MESHES)
def _all_reduce(draw: Draw, mesh: str, name: str) -> str:
    fault = draw.one((*_FAULTS, "dtype")) if draw.chance(28) else ""
    rank = draw.one((1, 2, 3, 4, 4, 4, 4, 5))
    axis = _axis(draw, mesh, wrong=fault == "axis")
    shape = _shape(draw, -1, draw.one((4, 40, 64, 256, 256, 512, 360, 1024)), rank)
    dtypes = ("U16", "U32") if fault == "dtype" else ("B16", "B16", "B8", "B4", "F32", "I32")
    tensor = _input(draw, fault, shape, dtypes)
    wrong = ", dim=3" if fault == "dim" else ""
    return f"ttnn.{name}({tensor}{_with_axis(draw, axis)}{wrong}{_options(draw, fault)})"


@generates("mesh_partition", cases=70, meshes=_MESHES)
def _mesh_partition(draw: Draw, mesh: str, name: str) -> str:
    fault = draw.one((*_FAULTS, "divide")) if draw.chance(28) else ""
    rank = draw.one((1, 2, 3, 4, 4, 4, 4, 5))
    dim = draw.one((draw.between(0, rank - 1), rank - 1, -1))
    axis = _axis(draw, mesh, wrong=fault == "axis")
    parts = _size(mesh, axis if axis in {0, 1} else 1)
    last = dim in {rank - 1, -1}
    extent = parts * (draw.one((1, 32, 32, 40, 64)) if last else draw.one((1, 2, 32, 32)))
    shape = _shape(draw, dim, extent + (fault == "divide"), rank)
    place = draw.one((rank, -rank - 1)) if fault == "dim" else dim
    tensor = _input(draw, fault, shape, ("B16", "B16", "B8", "B4", "F32", "U16", "U32", "I32"))
    wrong = ", topology=ttnn.Topology.Ring" if fault == "keyword" else draw.options((15, "memory_config=L1"))
    if draw.chance(50):
        return f"ttnn.{name}({tensor}, {place}{_with_axis(draw, axis)}{wrong})"
    return f"ttnn.{name}({tensor}, dim={place}, cluster_axis={axis}{wrong})"
