"""Generate calls of collectives that are handed semaphores, and of the semaphores."""

from __future__ import annotations

from tests.fidelity.corpus.faults import Fault, pick
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_MESHES = ("1x8", "1x8", "2x4", "4x8")
_TOPOLOGIES = ("ttnn.Topology.Linear", "ttnn.Topology.Ring")
_FAULTS = ("kind", "layout", "rank", "count", "kinds", "axis", "dim", "keyword", "buffer")
_KINDS = ("B16", "B16", "B8", "F32")


def _axis(draw: Draw, mesh: str) -> int:
    return 1 if mesh == "1x8" else draw.one((0, 1))


def _parts(mesh: str, axis: int) -> int:
    return int(mesh.split("x")[axis])


def _semaphores(draw: Draw, fault: Fault, count: int) -> str:
    if fault == "kinds":
        return draw.one(("[1, 2]", "None", "3"))
    return f"sem[:{draw.one((0, 1, 4)) if fault == 'count' else count}]"


def _options(draw: Draw, fault: Fault) -> str:
    return draw.options(
        (60, "barrier_semaphore=sem[3]"),
        (50, f"num_links={draw.between(1, 2)}"),
        (20, f"memory_config={draw.one(('L1', 'DRAM'))}"),
        (10, "num_workers_per_link=1"),
    ) + (", dtype=B16" if fault == "keyword" else "")


@generates("experimental.all_gather_async", cases=100, meshes=_MESHES)
def _all_gather(draw: Draw, mesh: str, name: str) -> str:
    fault = pick(draw, _FAULTS, 1)
    axis, dim = _axis(draw, mesh), draw.one((0, 1, 2, 3, 3, 3))
    shape = [1, draw.one((1, 2)), 32, draw.one((32, 64, 64, 40))]
    kind = draw.one(_KINDS)
    tensor = fault.tensor(draw, 0, shape, dt=kind)
    place = 4 if fault == "dim" else dim
    where = 2 if fault == "axis" else axis
    semaphores = _semaphores(draw, fault, 2)
    topology = f"topology={draw.one(_TOPOLOGIES)}"
    options = _options(draw, fault)
    whole = [extent * _parts(mesh, axis) if at == dim else extent for at, extent in enumerate(shape)]
    if fault == "buffer":
        whole[draw.between(0, 3)] *= 2
    buffer = f"T({', '.join(map(str, whole))}, dt={kind})"
    form = draw.between(0, 3)
    if form == 0:
        return f"ttnn.{name}({tensor}, {place}, {semaphores}{draw.options((50, topology))}{options})"
    if form == 1:
        given = buffer if fault == "buffer" or draw.chance(40) else "None"
        named = f", cluster_axis={where}{draw.options((50, topology))}{options}"
        return f"ttnn.{name}({tensor}, {given}, {place}, {semaphores}{named})"
    options += f", persistent_output_tensor={buffer}" if fault == "buffer" or draw.chance(25) else ""
    if form == 2:
        linear = "ttnn.Topology.Linear"
        return f"ttnn.{name}({tensor}, {place}, {where}, m, {linear}, {semaphores}{options})"
    named = f"dim={place}, cluster_axis={where}, mesh_device=m, {topology}, multi_device_global_semaphore={semaphores}"
    return f"ttnn.{name}({tensor}, {named}{options})"


@generates("experimental.reduce_scatter_minimal_async", cases=100, meshes=_MESHES)
def _reduce_scatter(draw: Draw, mesh: str, name: str) -> str:
    fault = pick(draw, (*_FAULTS, "divide"), 1)
    axis, dim = _axis(draw, mesh), draw.one((1, 2, 3, 3, 3))
    parts = _parts(mesh, axis)
    shape = [1, draw.one((1, 2)), 32, 64]
    shape[dim] = (parts + (fault == "divide")) * (draw.one((1, 2)) if dim == 1 else draw.one((32, 64)))
    kind = draw.one(_KINDS)
    tensor = fault.tensor(draw, 0, shape, dt=kind)
    where, place = 2 if fault == "axis" else axis, 4 if fault == "dim" else dim
    semaphores = _semaphores(draw, fault, 3)
    options = f", cluster_axis={where}{draw.options((80, f'topology={draw.one(_TOPOLOGIES)}'))}{_options(draw, fault)}"
    given = _buffers(draw, fault, shape, dim, parts, kind)
    if draw.chance(40):
        return f"ttnn.{name}({tensor}, {given}, {place}, {semaphores}{options})"
    named = f"dim={place}, multi_device_global_semaphore={semaphores}{options}"
    named += f", persistent_output_buffers={given}" if given != "None" or draw.chance(30) else ""
    return f"ttnn.{name}({tensor}, {named})"


def _buffers(draw: Draw, fault: Fault, shape: list[int], dim: int, parts: int, kind: str) -> str:
    if fault != "buffer" and draw.chance(65):
        return "None"
    out = [extent // parts if at == dim else extent for at, extent in enumerate(shape)]
    if fault == "buffer":
        out[dim] *= 2
    first, second = (f"T({', '.join(map(str, extents))}, dt={kind})" for extents in (shape, out))
    return f"[{first}, {second}]"


@generates("create_global_semaphore", cases=20)
def _create(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    fault = pick(draw, ("cores", "value", "keyword", "buffer", "outside"), 1, 40)
    end = draw.one(("ttnn.CoreCoord(8, 8)", "ttnn.CoreCoord(20, 0)")) if fault == "outside" else "ttnn.CoreCoord(3, 3)"
    cores = f"ttnn.CoreRangeSet({{ttnn.CoreRange(ttnn.CoreCoord(0, 0), {end})}})"
    cores = draw.one(("5", "None", "ttnn.CoreCoord(1, 1)")) if fault == "cores" else cores
    value = draw.one(("'a'", "-1", "None", "1.5")) if fault == "value" else draw.between(0, 3)
    place = draw.one(("DRAM", "TRACE")) if fault == "buffer" else "L1"
    options = draw.options((100 if fault == "buffer" else 40, f"ttnn.BufferType.{place}"))
    made = f"ttnn.{name}(m, {cores}, {value}{options}{', count=1' * (fault == 'keyword')})"
    return f"ttnn.get_global_semaphore_address({made}) > 0"


@generates("reset_global_semaphore_value", cases=6)
def _reset(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    return f"ttnn.{name}({draw.one(('sem[0]', 'sem[1]', 'sem', '1'))}, {draw.one((0, 1, 5, -1, None))})"
