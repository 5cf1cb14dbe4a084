"""The first thing that pytest loads in a run's controller, by ``-p``: workers' modules are imported meanwhile.

To start pytest takes 0.2 s, and to import what every worker needs about as long.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from meshsweep.workers.nursery import PARENT

if TYPE_CHECKING:
    from meshsweep.errors import InfraError
    from meshsweep.workers.zygote import Zygote

__all__ = ["claim", "pytest_addoption"]

#: What is begun is kept with pytest's plugins: there is no configuration yet that it could be kept in.
_NAME = "meshsweep-zygote"


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Begin, in a process that a command has started; its workers get the same arguments, but no such parent."""
    if PARENT in os.environ:
        from meshsweep.workers import zygote

        begun = zygote.begin()
        if begun is not None:
            pluginmanager.register(begun, _NAME)


def claim(config: pytest.Config, *, is_needed: bool) -> Zygote | InfraError | None:
    """Return, once, the process that was begun, or begin it now, or why there is none; end it where it is not needed.

    None where it is not needed, and on systems that fork nothing.
    """
    from meshsweep.workers import zygote

    begun: Zygote | InfraError | None = config.pluginmanager.get_plugin(_NAME)
    if begun is not None:
        config.pluginmanager.unregister(begun)
    if is_needed:
        return begun or zygote.begin()
    if isinstance(begun, zygote.Zygote):
        begun.close()
    return None
