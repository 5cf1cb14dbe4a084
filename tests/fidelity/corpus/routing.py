"""Generate calls that send tokens to experts and bring results back."""

from __future__ import annotations

from tests.fidelity.corpus.faults import TENSOR_FAULTS, Fault, pick
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_MESHES = ("1x8", "1x8", "2x4", "4x8")


def _sizes(mesh: str) -> tuple[int, int]:
    rows, cols = map(int, mesh.split("x"))
    return rows, cols


def _axis(draw: Draw, mesh: str) -> int:
    return 1 if mesh == "1x8" else draw.one((0, 1))


@generates("moe_routing_remap", cases=60, meshes=_MESHES)
def _remap(draw: Draw, mesh: str, name: str) -> str:
    fault = pick(draw, (*TENSOR_FAULTS, "count", "parallel", "experts", "axis", "keyword", "rows"), 1)
    axis = _axis(draw, mesh)
    parts = _sizes(mesh)[axis]
    experts = parts * draw.one((4, 8, 16)) + (fault == "experts")
    shape = [2 if fault == "rows" else 1, experts]
    tensor = fault.tensor(draw, 0, shape, dt=draw.one(("B16", "B16", "F32", "U16")), la="RM")
    count = parts + 1 if fault == "count" else parts * draw.one((1, 2))
    parallel = draw.one((parts * 2, parts + 1, 0)) if fault == "parallel" else parts
    place = draw.one((2, -1)) if fault == "axis" else axis
    wrong = ", num_links=1" if fault == "keyword" else draw.options((15, "memory_config=L1"))
    if draw.chance(70):
        return f"ttnn.{name}({tensor}, {count}, {parallel}, {place}{wrong})"
    named = f"non_zero_weight_size={count}, expert_parallel_size={parallel}, cluster_axis={place}"
    return f"ttnn.{name}({tensor}, {named}{wrong})"


_TOKENS = (*TENSOR_FAULTS, "axis", "keyword", "columns", "experts", "concat", "sharded")


def _options(draw: Draw, fault: Fault) -> str:
    place = "ttnn.L1_HEIGHT_SHARDED_MEMORY_CONFIG" if fault == "sharded" else draw.one(("L1", "DRAM"))
    return draw.options(
        (100 if fault == "sharded" else 20, f"memory_config={place}"),
        (20, f"topology={draw.one(('ttnn.Topology.Linear', 'ttnn.Topology.Ring'))}"),
        (20, f"num_links={draw.between(1, 2)}"),
    ) + (", dim=1" if fault == "keyword" else "")


def _mapping(draw: Draw, fault: Fault, mesh: str, number: int) -> tuple[int, str]:
    rows, cols = _sizes(mesh)
    experts = rows * cols * draw.one((1, 2)) + (fault == "experts")
    shape = [1, 1, experts, rows * cols // (2 if fault == "columns" else 1)]
    return experts, fault.tensor(draw, number, shape, dt="U16", la="RM")


@generates("all_to_all_dispatch", cases=70, meshes=_MESHES)
def _dispatch(draw: Draw, mesh: str, name: str) -> str:
    fault = pick(draw, ("host", "dead", "kind", "layout", "axis", "keyword", "concat", "sharded", "tokens", "wide"), 3)
    batch, length, width, chosen = (
        draw.one((1, 2, 8)),
        draw.one((1, 2, 4)),
        draw.one((64, 64, 128, 40)),
        draw.one((2, 4)),
    )
    front = [batch, 1, length]
    tokens = fault.tensor(draw, 0, [*front, width], dt=draw.one(("U16", "F32")) if fault == "wide" else "B16", la="RM")
    other = [front[0] + 1, *front[1:]] if fault == "tokens" else front
    choices = fault.tensor(draw, 1, [*other, chosen], dt="U16", la="RM")
    _, mapping = _mapping(draw, fault, mesh, 2)
    axis = draw.one((2, -1)) if fault == "axis" else _axis(draw, mesh)
    options = "" if draw.chance(15) and fault.name != "axis" else f", cluster_axis={axis}"
    concat = draw.one((0, 3, -1)) if fault == "concat" else draw.one((1, 2))
    options += f", output_concat_dim={concat}" if fault == "concat" or draw.chance(40) else ""
    others = _options(draw, fault)
    # A ring over the whole of a two-dimensional mesh needs links that few machines have.
    others = others if "cluster_axis" in options else others.replace("Ring", "Linear")
    return f"ttnn.{name}({tokens}, {choices}, {mapping}{options}{others})"


@generates("all_to_all_combine", cases=70, meshes=_MESHES)
def _combine(draw: Draw, mesh: str, name: str) -> str:
    fault = pick(
        draw, (*(name for name in _TOKENS if name not in {"columns", "rank"}), "local", "divide", "nowhere"), 3
    )
    rows, cols = _sizes(mesh)
    axis = _axis(draw, mesh)
    dim, parts = draw.one((1, 2)), (rows, cols)[axis]
    experts, mapping = _mapping(draw, fault, mesh, 2)
    local = experts // (rows * cols) + (fault == "local")
    reduce = fault.name == "" and draw.chance(20)
    sizes = [draw.one((1, 2)), draw.one((1, 2))]
    sizes[dim - 1] = parts * draw.one((1, 2)) + (fault == "divide")
    results = fault.tensor(draw, 0, [1 if reduce else local, *sizes, draw.one((64, 64, 128))], la="RM")
    metadata = fault.tensor(draw, 1, [1, *sizes, draw.one((2, 4))], dt="U16", la="RM")
    place = draw.one((2, -1)) if fault == "axis" else axis
    options = "" if fault == "nowhere" else f", cluster_axis={place}"
    shown = draw.one((0, 3)) if fault == "concat" else dim
    options += f", output_shard_dim={shown}" if shown != 1 or draw.chance(40) else ""
    options += ", local_reduce=True" if reduce else draw.options((10, "local_reduce=False"))
    return f"ttnn.{name}({results}, {metadata}, {mapping}{options}{_options(draw, fault)})"


@generates("moe_expert_token_remap", cases=50, meshes=_MESHES)
def _remap_tokens(draw: Draw, mesh: str, name: str) -> str:
    fault = pick(draw, (*TENSOR_FAULTS[:5], "columns", "keyword", "tokens", "reduction"), 3)
    batch, length = draw.one((1, 2, 16, 32)), draw.one((1, 2, 16))
    experts, mapping = _mapping(draw, fault, mesh, 1)
    scores = fault.tensor(draw, 0, [1, batch, length, experts], la="RM")
    metadata = fault.tensor(draw, 2, [1, batch + (fault == "tokens"), length, draw.one((2, 4))], dt="U16", la="RM")
    size = draw.one((0, 3, 5)) if fault == "reduction" else draw.one((1, batch * length))
    options = f", reduction_size={size}" if batch * length % 16 or fault == "reduction" or draw.chance(40) else ""
    options += draw.options((15, "memory_config=L1")) + (", cluster_axis=1" if fault == "keyword" else "")
    return f"ttnn.{name}({scores}, {mapping}, {metadata}{options})"


@generates("experimental.topk_router_gpt", cases=40)
def _router(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    fault = pick(draw, (*TENSOR_FAULTS, "inner", "experts", "rows", "keyword", "k", "bias"), 3)
    batch, hidden = 64 if fault == "rows" else draw.one((1, 8, 32, 32)), draw.one((2880, 2880, 2880, 5760))
    experts = draw.one((32, 64, 256)) if fault == "experts" else 128
    tensors = [
        fault.tensor(draw, 0, [batch, hidden]),
        fault.tensor(draw, 1, [hidden + 32 * (fault == "inner"), experts]),
        fault.tensor(draw, 2, [batch + (fault == "bias"), experts]),
    ]
    options = draw.options(
        (100 if fault == "k" else 50, f"k={draw.one((0, 33, 129)) if fault == 'k' else draw.one((1, 2, 4, 8))}"),
        (100 if fault == "experts" else 40, f"num_experts={experts}"),
    )
    wrong = ", dim=1" if fault == "keyword" else ""
    return f"ttnn.{name}({tensors[0]}, weight_tensor={tensors[1]}, bias_tensor={tensors[2]}{options}{wrong})"
