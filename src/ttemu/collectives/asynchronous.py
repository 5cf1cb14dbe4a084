"""Offer the collectives that are handed their semaphores and, if wanted, the tensors that they write into.

Semaphores are checked and counted, never waited for: an emulated collective has finished when it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ttemu.collectives.ccl import goes_by_tiles, run_all_gather, run_reduce_scatter
from ttemu.collectives.semaphore import GlobalSemaphore
from ttemu.configs import Topology
from ttemu.memory import MemoryConfig
from ttemu.mesh import MeshDevice
from ttemu.tensor import Tensor

__all__ = ["all_gather_async", "reduce_scatter_minimal_async"]

_GATHER, _SCATTER = "experimental.all_gather_async", "experimental.reduce_scatter_minimal_async"
GATHER_SEMAPHORES, SCATTER_SEMAPHORES = 2, 3


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _are_semaphores(value: object) -> bool:
    several = isinstance(value, Sequence) and all(isinstance(item, GlobalSemaphore) for item in value)
    return several or isinstance(value, GlobalSemaphore)


_KINDS: dict[str, Callable[[object], bool]] = {
    "input_tensor": lambda value: isinstance(value, Tensor),
    "persistent_output_buffer": lambda value: value is None or isinstance(value, Tensor),
    "persistent_output_tensor": lambda value: value is None or isinstance(value, Tensor),
    "dim": lambda value: isinstance(value, int),
    "cluster_axis": _is_count,
    "mesh_device": lambda value: isinstance(value, MeshDevice),
    "topology": lambda value: isinstance(value, Topology),
    "multi_device_global_semaphore": _are_semaphores,
}


class _Form:
    """One of the signatures of ``all_gather_async``: its positional arguments, and the keywords besides."""

    def __init__(self, positional: tuple[str, ...], keywords: frozenset[str]) -> None:
        self._positional = positional
        self._known = keywords.union(positional)
        self._required = frozenset(positional) - {"persistent_output_buffer"}

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object] | None:
        """Return the arguments by name, None if they are not of this form."""
        if len(args) > len(self._positional) or not self._known.issuperset(kwargs):
            return None
        bound = dict(zip(self._positional, args, strict=False))
        if not bound.keys().isdisjoint(kwargs):
            return None
        bound.update(kwargs)
        if not self._required.issubset(bound):
            return None
        return bound if all(self._takes(name, value) for name, value in bound.items()) else None

    def _takes(self, name: str, value: object) -> bool:
        if value is None and name not in self._required:
            return True
        return name not in _KINDS or _KINDS[name](value)


_COMMON = frozenset({"num_links", "memory_config", "subdevice_id", "use_optimal_ccl_for_llama", "barrier_semaphore"})
_COMMON |= {"sub_core_grids", "num_workers_per_link", "num_buffers_per_channel"}
_SEMAPHORES = "multi_device_global_semaphore"
_FORMS = (
    _Form(("input_tensor", "dim", _SEMAPHORES), _COMMON | {"topology"}),
    _Form(
        ("input_tensor", "persistent_output_buffer", "dim", _SEMAPHORES),
        _COMMON | {"topology", "cluster_axis", "use_broadcast", "chunks_per_sync"},
    ),
    _Form(
        ("input_tensor", "dim", "cluster_axis", "mesh_device", "topology", _SEMAPHORES),
        _COMMON | {"persistent_output_tensor", "use_broadcast"},
    ),
)


def all_gather_async(*args: object, **kwargs: object) -> Tensor:
    """Return the shards along ``cluster_axis`` concatenated along ``dim``, on every device.

    The forms of ttnn: (x, dim, semaphores), (x, buffer, dim, semaphores, cluster_axis=...) and
    (x, dim, cluster_axis, mesh_device, topology, semaphores).
    """
    bound = next((found for form in _FORMS if (found := form.bind(args, kwargs)) is not None), None)
    if bound is None:
        raise TypeError(f"ttnn.{_GATHER}: incompatible function arguments {list(args)!r}, {sorted(kwargs)}")
    tensor, dim, axis = bound["input_tensor"], bound["dim"], bound.get("cluster_axis")
    memory_config = bound.get("memory_config")
    assert isinstance(tensor, Tensor)
    assert isinstance(dim, int)
    assert axis is None or isinstance(axis, int)
    assert memory_config is None or isinstance(memory_config, MemoryConfig)
    target = bound.get("persistent_output_buffer") or bound.get("persistent_output_tensor")
    assert target is None or isinstance(target, Tensor)
    direct = goes_by_tiles(tensor, dim)
    result = run_all_gather(_GATHER, tensor, dim, axis, memory_config, target, whole=not direct)
    if direct:
        _check_semaphores(_GATHER, bound[_SEMAPHORES], GATHER_SEMAPHORES)
    return result


def _check_semaphores(op: str, given: object, count: int) -> None:
    semaphores = [given] if isinstance(given, GlobalSemaphore) else given
    assert isinstance(semaphores, Sequence)
    if len(semaphores) != count:
        raise RuntimeError(f"ttnn.{op}: Expected {count} semaphores but got {len(semaphores)}")


def reduce_scatter_minimal_async(
    input_tensor: Tensor,
    persistent_output_buffers: Sequence[Tensor] | None = None,
    dim: int | None = None,
    multi_device_global_semaphore: Sequence[GlobalSemaphore] | None = None,
    *,
    barrier_semaphore: GlobalSemaphore | None = None,
    num_links: int | None = None,
    memory_config: MemoryConfig | None = None,
    intermediate_memory_config: MemoryConfig | None = None,
    topology: Topology = Topology.Ring,
    subdevice_id: object = None,
    cluster_axis: int | None = None,
    chunks_per_sync: int | None = None,
    num_workers_per_link: int | None = None,
    num_buffers_per_channel: int | None = None,
    compute_kernel_config: object = None,
) -> Tensor:
    """Return the sum over ``cluster_axis``, device i keeping the i-th part of ``dim``.

    The last of the persistent buffers receives it; those before it are scratch.
    """
    del barrier_semaphore, num_links, intermediate_memory_config, topology, subdevice_id, compute_kernel_config
    del chunks_per_sync, num_workers_per_link, num_buffers_per_channel
    op = _SCATTER
    buffers, semaphores = persistent_output_buffers, multi_device_global_semaphore
    several = isinstance(semaphores, Sequence) and _are_semaphores(semaphores)
    if not isinstance(dim, int) or not several or not (buffers is None or isinstance(buffers, Sequence)):
        raise TypeError(f"ttnn.{op}: incompatible function arguments, dim {dim!r}, semaphores {semaphores!r}")
    target = buffers[-1] if buffers else None
    result = run_reduce_scatter(op, input_tensor, dim, cluster_axis, memory_config, target)
    if goes_by_tiles(input_tensor, dim, result):
        _check_semaphores(op, semaphores, SCATTER_SEMAPHORES)
    return result
