"""The two libraries side by side, for the tests that need the real one."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from tests.fidelity.libraries import Libraries, load, wheel_is_here
from tests.fidelity.player import MACHINES, describe_cluster

_MESH = "2x4"


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Libraries:
    """Return the real library, on a described T3K, and the emulator."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries that ttnn brings
        patch.setenv("TTEMU_MACHINE", MACHINES[_MESH][0])
        describe_cluster(_MESH, tmp_path_factory.mktemp("cluster"))
        return load()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs the wheel where there is none; `nox -s fidelity` runs it."""
    here = Path(__file__).parent
    needing = [item for item in items if here in item.path.parents and "libraries" in getattr(item, "fixturenames", ())]
    if needing and not wheel_is_here():
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in set(needing)]
