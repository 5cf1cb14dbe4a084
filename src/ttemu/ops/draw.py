"""Draw tokens from logits, and seed the generators that do it: one per user of each device.

The numbers come from torch's generator, not from the chip's: what is drawn is as likely as there, and repeats with
its seed, but is not the same draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch

from ttemu.axes import MESH_DIMS
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, need_layout, read, stored, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE
from ttemu.mesh import MeshDevice
from ttemu.tensor import Tensor

__all__ = ["manual_seed", "sampling"]

_USERS = 32
_UNCHANGED = 2**32 - 1  # the seed that leaves the generators alone
_STRIDE = 1_000_003  # keeps the draws of neighbouring seeds apart


def _joint(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """Return the mesh dims that two broadcast to."""
    return tuple(max(pair) for pair in zip(first[:MESH_DIMS], second[:MESH_DIMS], strict=True))


@dataclass(slots=True)
class _Generators:
    """Seeds and numbers of draws, [rows|1, cols|1, users]."""

    seeds: torch.Tensor
    draws: torch.Tensor

    def uniform(self, spread: torch.Size) -> torch.Tensor:
        """Return a number of [0, 1) per user of each device, and count the draw."""
        wanted = _joint(self.seeds.shape, spread)
        seeds = (self.seeds * _STRIDE + self.draws).expand(*wanted, -1)[..., : spread[-1]]
        self.draws = self.draws + 1
        numbers = [torch.rand((), generator=torch.Generator().manual_seed(int(seed))) for seed in seeds.flatten()]
        return torch.stack(numbers).view(seeds.shape)


_generators: WeakKeyDictionary[MeshDevice, _Generators] = WeakKeyDictionary()


def _of(mesh: MeshDevice) -> _Generators:
    if mesh not in _generators:
        _seed(mesh, torch.arange(_USERS).view(1, 1, -1))
    return _generators[mesh]


def _seed(mesh: MeshDevice, seeds: torch.Tensor) -> None:
    _generators[mesh] = _Generators(seeds.long(), torch.zeros_like(seeds, dtype=torch.long))


def manual_seed(
    seeds: int | Tensor = 0,
    *,
    device: MeshDevice | None = None,
    user_ids: int | Tensor | None = None,
    sub_core_grids: object = None,
) -> Tensor:
    """Seed all users of a device alike, or each of ``user_ids`` with its own of ``seeds``; return one zero."""
    del sub_core_grids
    op = "manual_seed"
    if isinstance(seeds, Tensor) != isinstance(user_ids, Tensor) and (
        isinstance(seeds, Tensor) or user_ids is not None
    ):
        raise TypeError(f"ttnn.{op}: seeds {seeds!r} and user_ids {user_ids!r} must both be tensors or both numbers")
    if isinstance(seeds, Tensor) and isinstance(user_ids, Tensor):
        check_same_device(op, seeds, user_ids)
        need_layout(op, seeds, Layout.ROW_MAJOR)
        mesh, values, users = seeds.mesh, read(op, seeds).long(), read(op, user_ids).long().flatten()
    else:
        mesh, values, users = device, torch.tensor(seeds).expand(1, 1, _USERS), torch.arange(_USERS)
        users = users if user_ids is None else users[[user_ids]]
    if mesh is None:
        raise RuntimeError(f"ttnn.{op}: a single seed needs device=")
    _reseed(_of(mesh), values, users)
    empty = seeds if isinstance(seeds, Tensor) else None
    return _answer(op, mesh, torch.zeros(1, 1, 1, dtype=torch.int32), empty)


def _reseed(generators: _Generators, values: torch.Tensor, users: torch.Tensor) -> None:
    """Give ``users`` new seeds, where the seed is one."""
    shape = _joint(generators.seeds.shape, values.shape)
    given = values.expand(*shape, -1)[..., : len(users)]
    seeds = generators.seeds.expand(*shape, -1).clone()
    draws = generators.draws.expand(*shape, -1).clone()
    kept = given == _UNCHANGED
    seeds[..., users] = torch.where(kept, seeds[..., users], given)
    draws[..., users] = torch.where(kept, draws[..., users], torch.zeros_like(given))
    generators.seeds, generators.draws = seeds, draws


def _answer(op: str, mesh: MeshDevice, values: torch.Tensor, like: Tensor | None) -> Tensor:
    from ttemu.convert import from_torch

    base = like or from_torch(torch.zeros(1, dtype=torch.int32), DataType.UINT32, device=mesh)
    place = {"layout": Layout.ROW_MAJOR, "memory_config": DRAM_MEMORY_CONFIG}
    return write(op, values, base, dtype=DataType.UINT32, **place)  # type: ignore[arg-type]


def _need(is_met: bool, what: str) -> None:
    if not is_met:
        raise RuntimeError(f"ttnn.sampling: {what}")


def _check(values: Tensor, indices: Tensor) -> None:
    need_layout("sampling", values, Layout.TILE)
    need_layout("sampling", indices, Layout.ROW_MAJOR)
    _need(values.dtype is DataType.BFLOAT16, f"Only BFLOAT16 is supported for inputs, got {values.dtype.name}")
    _need(
        indices.dtype in {DataType.UINT32, DataType.INT32},
        f"Only UINT32 & INT32 dtypes are supported for input indices, got {indices.dtype.name}",
    )
    _need(values.extents == indices.extents, f"values {values.shape} and indices {indices.shape} must have one shape")
    _need(len(values.extents) == 4 and values.extents[:2] == (1, 1), f"expected [1, 1, users, W], got {values.shape}")
    _need(values.extents[2] <= _USERS, f"at most {_USERS} users, got {values.extents[2]}")
    tiles = values.padded[-1] // TILE_SIZE
    _need(tiles & (tiles - 1) == 0, f"inner dim {values.extents[-1]} must be a power of 2 of tiles, got {tiles}")


def _per_user(name: str, tensor: Tensor, users: int) -> torch.Tensor:
    """Return k, p or temp as [rows|1, cols|1, users, 1]."""
    need_layout("sampling", tensor, Layout.ROW_MAJOR)
    _need(tensor.extents == (users,), f"{name} must have shape [{users}], got {tensor.shape}")
    return read("sampling", tensor).unsqueeze(-1)


def sampling(
    input_values_tensor: Tensor,
    input_indices_tensor: Tensor,
    k: Tensor,
    p: Tensor,
    temp: Tensor,
    *,
    seed: int | None = None,
    sub_core_grids: object = None,
    output_tensor: Tensor | None = None,
) -> Tensor:
    """Return one of the indices per user, uint32 [1, 1, 1, users], drawn from the softmax of values * temp.

    Of each user's values the ``k`` largest take part, and of these the fewest that together reach ``p``.
    """
    del sub_core_grids
    op = "sampling"
    stored(op, input_values_tensor)
    check_same_device(op, input_values_tensor, input_indices_tensor, k, p, temp, output_tensor)
    _check(input_values_tensor, input_indices_tensor)
    users = input_values_tensor.extents[2]
    mesh = input_values_tensor.mesh
    if mesh is None:
        raise RuntimeError(f"ttnn.{op}: operands must be on device")
    if seed is not None:
        _seed(mesh, torch.full((1, 1, _USERS), seed))
    scaled = read(op, input_values_tensor)[:, :, 0, 0] * _per_user("temp", temp, users)
    chances, order = scaled.softmax(-1).sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(chances.shape[-1])
    chances = chances * (rank < _per_user("k", k, users))
    before = chances.cumsum(-1) - chances
    share = before / chances.sum(-1, keepdim=True)
    kept = chances * ((share < _per_user("p", p, users)) | (rank == 0))
    mass = kept.cumsum(-1)
    drawn = _of(mesh).uniform(mass.shape[:-1]).unsqueeze(-1) * mass[..., -1:]
    at = (mass <= drawn).sum(-1, keepdim=True).clamp(max=mass.shape[-1] - 1)
    names = read(op, input_indices_tensor)[:, :, 0, 0]
    spread = _joint(names.shape, at.shape)
    places = order.expand(*spread, -1, -1).gather(-1, at.expand(*spread, -1, -1))
    found = names.expand(*spread, -1, -1).gather(-1, places).squeeze(-1)[:, :, None, None, None, :]
    if output_tensor is not None:
        return write(op, found, output_tensor, output_tensor=output_tensor)
    return _answer(op, mesh, found, input_indices_tensor)
