"""Reads of a described cluster, which must not become too many."""

from __future__ import annotations

from types import ModuleType

import pytest

from meshsweep.backends.readback import LIMIT, Readbacks


class Tensor:
    """Stands in for ttnn's: on a device or not."""

    def __init__(self, *, on_device: bool) -> None:
        self._on_device = on_device

    def device(self) -> object | None:
        return "mesh" if self._on_device else None

    def to_torch(self, factor: int = 1) -> int:
        return 7 * factor

    cpu = item = to_list = to_numpy = to_torch_with_padded_shape = to_torch


@pytest.fixture
def library() -> ModuleType:
    """Return a module with a Tensor of its own."""
    module = ModuleType("ttnn")
    module.Tensor = type("Tensor", (Tensor,), {})  # type: ignore[attr-defined]
    module.from_device = lambda tensor: tensor  # type: ignore[attr-defined]
    return module


def test_reads_of_devices_are_counted_and_pass_through(library: ModuleType) -> None:
    readbacks = Readbacks()
    readbacks.watch(library)
    there, here = library.Tensor(on_device=True), library.Tensor(on_device=False)

    assert there.to_torch(factor=2) == 14
    assert here.to_torch() == 7
    assert library.from_device(there) is there
    assert there.cpu() == 7
    assert readbacks.count == 3


def test_mesh_is_due_half_way_and_refused_at_the_limit(library: ModuleType) -> None:
    readbacks = Readbacks()
    readbacks.watch(library)
    tensor = library.Tensor(on_device=True)

    readbacks.count = LIMIT // 2
    assert not readbacks.many
    tensor.cpu()
    assert readbacks.many
    readbacks.count = LIMIT
    with pytest.raises(RuntimeError, match="can be read 8,191 times before the real ttnn hangs"):
        tensor.cpu()
