"""Give a defect a name, a cell on which it shows, and a way into the code and out again.

A fault is a function of one `Patch`; its docstring says what goes wrong. Nothing here knows any particular fault.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from meshsweep.cell import Cell

__all__ = ["UNIT", "Fault", "Patch", "UnknownFaultError", "fault", "find"]

UNIT = ("tests/unit",)
# Whose modules hold names that they imported from one another; tests keep what they imported.
PACKAGES = ("gptoss", "ttemu")

Change = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One defect: what it is, where it shows, which tests should see it."""

    name: str
    about: str
    area: str
    cell: Cell
    suite: tuple[str, ...]
    put: Callable[[Patch], None]

    @contextmanager
    def injected(self) -> Iterator[Patch]:
        """Keep the fault in the code until the context ends."""
        patch = Patch()
        try:
            self.put(patch)
            yield patch
        finally:
            patch.undo()


class UnknownFaultError(ValueError):
    """A name that no fault has."""


def find(faults: Mapping[str, Fault], name: str) -> Fault:
    """Return the fault of a name, or raise with the names that are like it."""
    if name in faults:
        return faults[name]
    near = difflib.get_close_matches(name, faults, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`python -m tests.drill --list` shows all"
    raise UnknownFaultError(f"no fault {name!r}; {hint}")


def fault(
    mesh: str, *, dtype: str = "bfloat8_b", scale: str = "tiny", suite: tuple[str, ...] = UNIT
) -> Callable[[Callable[[Patch], None]], Fault]:
    """Return a decorator that makes a fault of a function, named as the function and told by its docstring."""

    def declare(put: Callable[[Patch], None]) -> Fault:
        return Fault(
            name=put.__name__,
            about=" ".join((put.__doc__ or "").split()),
            area=put.__module__.rpartition(".")[2],
            cell=Cell(mesh=mesh, dtype=dtype, scale=scale),
            suite=suite,
            put=put,
        )

    return declare


class Patch:
    """Replaces functions, counts the calls of what replaced them, and puts the real ones back."""

    def __init__(self) -> None:
        self.calls = 0
        self.replaced: list[tuple[Any, str]] = []
        self._undo: list[Callable[[], None]] = []

    def around(self, owner: Any, name: str) -> Callable[[Change], Change]:
        """Return a decorator: ``change(real, *args, **kwargs)`` answers for ``owner.name``."""

        def decorate(change: Change) -> Change:
            self._put(owner, name, self._counted(owner, name, change))
            return change

        return decorate

    def everywhere(self, module: ModuleType, name: str) -> Callable[[Change], Change]:
        """Return the same for a function of a module, also where others of our packages imported it by name."""

        def decorate(change: Change) -> Change:
            real, counted = getattr(module, name), self._counted(module, name, change)
            for holder in _modules():
                if vars(holder).get(name) is real:
                    self._put(holder, name, counted)
            return change

        return decorate

    def op(self, module: ModuleType, name: str) -> Callable[[Change], Change]:
        """Return the same for one op of ``ttnn``, as one module of the model calls it."""

        def decorate(change: Change) -> Change:
            real = vars(module)["ttnn"]
            self._put(module, "ttnn", _Within(real, {name: self._counted(real, name, change)}))
            return change

        return decorate

    def undo(self) -> None:
        """Put back what was there."""
        while self._undo:
            self._undo.pop()()

    def _counted(self, owner: Any, name: str, change: Change) -> Any:
        real = getattr(owner, name)

        @functools.wraps(real)
        def replaced(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return change(real, *args, **kwargs)

        return staticmethod(replaced) if isinstance(_static(owner, name), staticmethod) else replaced

    def _put(self, owner: Any, name: str, value: Any) -> None:
        # A method that a class only inherits is taken away again, not set.
        if name in vars(owner):
            before = vars(owner)[name]
            self._undo.append(lambda: setattr(owner, name, before))
        else:
            self._undo.append(lambda: delattr(owner, name))
        setattr(owner, name, value)
        self.replaced.append((owner, name))


class _Within:
    """A module with some of its names replaced, for whoever looks it up."""

    def __init__(self, real: Any, changed: Mapping[str, Any]) -> None:
        self._real = real
        self.__dict__.update(changed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _static(owner: Any, name: str) -> Any:
    return inspect.getattr_static(owner, name) if isinstance(owner, type) else None


def _modules() -> list[ModuleType]:
    return [module for key, module in sorted(sys.modules.items()) if key.partition(".")[0] in PACKAGES]
