"""The emulator under the name ``ttnn``, loaded when a test first imports it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

from meshsweep.backends.ttnn import TtnnBackend
from meshsweep.matrix import Mesh
from meshsweep.slots import Slot

__all__ = ["EmulatedBackend"]

_EMULATOR = "ttemu"


class EmulatedBackend(TtnnBackend):
    """Opens meshes of the emulator; its machine is the slot's, or a virtual one."""

    def activate(self, slot: Slot | None, meshes: Sequence[Mesh]) -> None:
        """Make ``import ttnn`` mean the emulator, even where the real one is installed."""
        # Read when torch is loaded: huge pages for large tensors, which come and go by the hundred at real sizes.
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        if slot is not None:
            # A slot's machine is whole: the variable means chips of the host, which these are not.
            os.environ.pop("TT_VISIBLE_DEVICES", None)
            if slot.chips:
                os.environ["TTEMU_MACHINE"] = slot.machine


class _Finder(MetaPathFinder, Loader):
    """Finds ``ttnn``: importing the emulator costs torch, so it waits for a test that needs it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname == "ttnn" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        from importlib import import_module

        import_module(_EMULATOR).install()
