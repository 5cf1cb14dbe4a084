"""Put collectives and the spreading of tokens over experts to the emulator and to their golden functions.

Their golden functions take one shard per device and compose what all devices hold; here every device is looked at:
those along an axis that the composition takes for replicas must hold the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from tests.fidelity.goldens_case import Call, Draw
from tests.fidelity.libraries import Libraries

__all__ = ["MESHES", "ON_A_LINE", "RUNNERS", "Setting"]

MESHES = ((1, 8), (2, 4))
# Sums of up to eight float32 numbers in another order: measured at most 1.2e-7 of the largest, taken four times.
_SUMMED = 5e-7

Dims = tuple[int | None, int | None]
Pair = tuple[list[tuple[torch.Tensor, str]], list[torch.Tensor], Call]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a runner works with."""

    libraries: Libraries
    mesh: Any
    golden: Callable[..., Any]
    draw: Draw
    op: Callable[..., Any]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the mesh."""
        rows, cols = self.mesh.shape
        return rows, cols

    def lay(self, values: torch.Tensor, dims: Dims, dtype: str, layout: str = "TILE") -> Any:
        """Return a tensor whose rows cut ``dims[0]`` and columns ``dims[1]``."""
        library = self.libraries.emulated
        return library.from_torch(
            values,
            dtype=getattr(library, dtype),
            layout=getattr(library.Layout, layout),
            device=self.mesh,
            mesh_mapper=library.ShardTensor2dMesh(self.mesh, self.shape, dims),
        )

    def shards(self, tensor: Any) -> list[torch.Tensor]:
        """Return what each device holds, row-major."""
        library = self.libraries.emulated
        return [library.to_torch(part) for part in library.get_device_tensors(tensor)]


def _compose(shards: list[torch.Tensor], shape: tuple[int, int], dims: Dims) -> torch.Tensor:
    """Put shards together, refusing replicas that are not equal."""
    rows = [_joined(shards[row * shape[1] : (row + 1) * shape[1]], dims[1]) for row in range(shape[0])]
    return _joined(rows, dims[0])


def _joined(parts: list[torch.Tensor], dim: int | None) -> torch.Tensor:
    if dim is not None:
        return torch.cat(parts, dim)
    for part in parts[1:]:
        if not torch.equal(part, parts[0]):
            raise ValueError("devices that should hold the same do not")
    return parts[0]


def _place(setting: Setting) -> tuple[int | None, int]:
    """Return a cluster axis of more than one device, or None for all of a line, and the number of devices."""
    if setting.shape[0] == 1:
        return setting.draw.choice(1, None), setting.shape[1]
    axis = setting.draw.choice(0, 1)
    return axis, setting.shape[axis]


def _run(setting: Setting, axis: int | None, dim: int | None, dims: Dims, outcome: Dims, size: int) -> Pair:
    """Run a collective on random numbers of which axes cut ``dims``; its result's axes cut ``outcome``."""
    draw = setting.draw
    shape = [draw.integer(1, 3) * 8, draw.integer(1, 3) * 8, 32 * size * draw.integer(1, 2)]
    dtype = draw.choice("float32", "bfloat16")
    held = setting.lay(draw.numbers(shape), dims, dtype)
    given = [shard.float() for shard in setting.shards(held)]
    places = {} if dim is None else {"dim": dim}
    result = setting.op(held, **places, cluster_axis=axis)
    golden = setting.golden(
        given,
        **places,
        cluster_axis=axis,
        _ttnn_golden_mesh_shape=setting.shape,
        _ttnn_golden_mesh_shard_dims=dims,
    )
    found = _compose(setting.shards(result), setting.shape, outcome)
    call = Call(tolerance=_SUMMED, text=f"{shape} {dtype} cut {dims}, dim {dim}, axis {axis}")
    return [(found, dtype)], [golden], call


def _with(dims: Dims, axis: int | None, dim: int | None) -> Dims:
    """Return the dims that axes cut with another one along an axis, or along the columns of a line."""
    at = 1 if axis is None else axis
    return (dim, dims[1]) if at == 0 else (dims[0], dim)


def _other(setting: Setting, axis: int | None) -> Dims:
    """Return dims where the axis at hand cuts dim 0 or nothing, and the other axis dim 1 or nothing."""
    own = setting.draw.choice(0, None)
    other = setting.draw.choice(1, None) if setting.shape[0] > 1 else None
    return (own, other) if axis == 0 else (other, own)


def _all_gather(setting: Setting) -> Pair:
    axis, size = _place(setting)
    dims = _other(setting, axis)
    dim = setting.draw.choice(0, 2, -1)
    at = 1 if axis is None else axis
    # The golden function takes all that cut the gathered dim for replicas afterwards.
    if dims[at] not in {None, dim % 3}:
        dims = _with(dims, axis, None)
    return _run(setting, axis, dim, dims, _with(dims, axis, None), size)


def _all_gather_async(setting: Setting) -> Pair:
    return _all_gather(replace(setting, op=partial(setting.op, multi_device_global_semaphore=_semaphores(setting, 2))))


def _reduce_scatter_async(setting: Setting) -> Pair:
    semaphores = _semaphores(setting, 3)
    return _reduce_scatter(replace(setting, op=partial(setting.op, multi_device_global_semaphore=semaphores)))


def _semaphores(setting: Setting, count: int) -> list[Any]:
    library = setting.libraries.emulated
    corner = library.CoreCoord(0, 0)
    cores = library.CoreRangeSet({library.CoreRange(corner, corner)})
    return [library.create_global_semaphore(setting.mesh, cores, 0) for _ in range(count)]


def _all_reduce(setting: Setting) -> Pair:
    axis, size = _place(setting)
    dims = _other(setting, axis)
    return _run(setting, axis, None, dims, _with(dims, axis, None), size)


def _reduce_scatter(setting: Setting) -> Pair:
    axis, size = _place(setting)
    dims = _other(setting, axis)
    return _run(setting, axis, 2, dims, _with(dims, axis, 2), size)


def _mesh_partition(setting: Setting) -> Pair:
    axis, size = _place(setting)
    dims = _with(_other(setting, axis), axis, None)
    return _run(setting, axis, 2, dims, _with(dims, axis, 2), size)


def _moe_routing_remap(setting: Setting) -> Pair:
    axis, size = _place(setting)
    axis = 1 if axis is None else axis
    chosen, experts = size * setting.draw.choice(1, 2), 32
    weights = torch.zeros(1, experts)
    places = torch.randperm(experts, generator=setting.draw.generator)[:chosen]
    weights[0, places] = setting.draw.numbers((chosen,)).abs() + 0.5
    held = setting.lay(weights, (None, None), "bfloat16", "ROW_MAJOR")
    result = setting.op(held, chosen, size, axis)
    golden = setting.golden(setting.shards(held)[0].float(), chosen, size, axis, _ttnn_golden_mesh_shape=setting.shape)
    return [(torch.cat(setting.shards(result)), "bfloat16")], [golden], Call(text=f"{chosen} of {experts}, axis {axis}")


@dataclass(frozen=True, slots=True)
class _Routing:
    """Experts chosen for each token [users, 1, length, K], which device holds which [1, 1, E, D], their owners [E]."""

    indices: torch.Tensor
    mapping: torch.Tensor
    owner: torch.Tensor


def _routing(setting: Setting, users: int, length: int) -> _Routing:
    """Deal experts to devices at random, equally many to each."""
    devices = math.prod(setting.shape)
    experts, chosen = devices * setting.draw.integer(1, 3), setting.draw.integer(1, 4)
    generator = setting.draw.generator
    order = torch.rand(users, 1, length, experts, generator=generator).argsort(-1)
    owner = torch.randperm(experts, generator=generator) % devices
    mapping = torch.nn.functional.one_hot(owner, devices).reshape(1, 1, experts, devices)
    return _Routing(order[..., :chosen].to(torch.int32), mapping.to(torch.int32), owner)


def _all_to_all_dispatch(setting: Setting) -> Pair:
    devices = math.prod(setting.shape)
    users, length, width = devices * setting.draw.integer(1, 2), setting.draw.integer(1, 3), 32
    routing = _routing(setting, users, length)
    axis = setting.draw.choice(1, None) if setting.shape[0] == 1 else None
    tokens = setting.draw.numbers((users, 1, length, width))
    held = _dealt(setting, tokens, "bfloat16")
    results = setting.op(
        held,
        _dealt(setting, routing.indices, "uint16"),
        setting.lay(routing.mapping, (None, None), "uint16", "ROW_MAJOR"),
        cluster_axis=axis,
    )
    golden = setting.golden(tokens.to(torch.bfloat16).float(), routing.indices, routing.mapping)
    kinds = ("bfloat16", "uint16")
    found = [(torch.cat(setting.shards(result)), kind) for result, kind in zip(results, kinds, strict=True)]
    return found, list(golden), Call(text=f"{users} users of {length}, axis {axis}")


def _dealt(setting: Setting, values: torch.Tensor, dtype: str) -> Any:
    """Deal users to all devices, row-major."""
    library = setting.libraries.emulated
    return library.from_torch(
        values,
        dtype=getattr(library, dtype),
        layout=library.ROW_MAJOR_LAYOUT,
        device=setting.mesh,
        mesh_mapper=library.ShardTensorToMesh(setting.mesh, 0),
    )


def _all_to_all_combine(setting: Setting) -> Pair:
    devices = math.prod(setting.shape)
    users, length, width = devices * setting.draw.integer(1, 2), setting.draw.integer(1, 3), 32
    routing = _routing(setting, users, length)
    results = setting.draw.numbers((len(routing.owner), users, length, width))
    metadata = routing.indices.movedim(1, 0)
    # Each device holds the results of its own experts, in their order.
    by_device = results[routing.owner.argsort(stable=True)]
    combined = setting.op(
        _dealt(setting, by_device, "bfloat16"),
        setting.lay(metadata, (None, None), "uint16", "ROW_MAJOR"),
        setting.lay(routing.mapping, (None, None), "uint16", "ROW_MAJOR"),
        cluster_axis=1,
    )
    golden = setting.golden(results.to(torch.bfloat16).float(), metadata, routing.mapping)
    found = torch.cat(setting.shards(combined), 1)
    return [(found, "bfloat16")], [golden], Call(text=f"{users} users of {length}")


def _moe_expert_token_remap(setting: Setting) -> Pair:
    users, length, size = 4 * setting.draw.integer(1, 3), 8, setting.draw.choice(8, 16)
    routing = _routing(setting, users, length)
    metadata = routing.indices.movedim(1, 0)
    shape = (math.prod(setting.shape), users, length, len(routing.owner))
    # Of a score of zero nobody can tell whether its expert was chosen.
    scores = setting.draw.numbers(shape).abs() + 0.5
    results = setting.op(
        _dealt(setting, scores, "bfloat16"),
        setting.lay(routing.mapping, (None, None), "uint16", "ROW_MAJOR"),
        setting.lay(metadata, (None, None), "uint16", "ROW_MAJOR"),
        reduction_size=size,
    )
    golden = setting.golden(scores.to(torch.bfloat16).float(), routing.mapping, metadata, reduction_size=size)
    kinds = ("bfloat16", "uint16")
    found = [(torch.cat(setting.shards(result)), kind) for result, kind in zip(results, kinds, strict=True)]
    return found, list(golden), Call(text=f"{users} users of {length}, {size} at a time")


RUNNERS: dict[str, Callable[[Setting], Pair]] = {
    "all_gather": _all_gather,
    "all_reduce": _all_reduce,
    "experimental.all_gather_async": _all_gather_async,
    "experimental.reduce_scatter_minimal_async": _reduce_scatter_async,
    "all_to_all_combine": _all_to_all_combine,
    "all_to_all_dispatch": _all_to_all_dispatch,
    "mesh_partition": _mesh_partition,
    "moe_expert_token_remap": _moe_expert_token_remap,
    "moe_routing_remap": _moe_routing_remap,
    "reduce_scatter": _reduce_scatter,
}
"""How each op of several devices is run."""
ON_A_LINE = {"all_to_all_combine"}
"""Ops whose golden function knows one line of devices only."""
