"""Keep pytest from running what a run has done with, or what is in quarantine."""

from __future__ import annotations

import pytest

from meshsweep import quarantine
from meshsweep.record.events import read
from meshsweep.record.leftover import begun
from meshsweep.record.rundir import RunDir
from meshsweep.results.attempts import Book
from meshsweep.suite.expansion import cell_of

__all__ = ["Leave"]


class Leave:
    """Leaves out what a quarantine entry keeps from running and, without workers, what has its final outcome.

    With workers the controller sends out only what is left.
    """

    def __init__(self, rundir: RunDir, environment: str, *, is_alone: bool) -> None:
        job = begun(rundir)
        self._environment = environment
        self._held = [entry for entry in job.quarantine if not entry.run and job.today <= entry.expires]
        self._final = Book(read(rundir.events)).final if is_alone else set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mark and deselect."""
        for item in items if self._held else ():
            entry = quarantine.find(self._held, item.nodeid, cell_of(item), self._environment)
            if entry is not None:
                item.add_marker(pytest.mark.skip(reason=f"in quarantine of {entry.owner}: {entry.reason}"))
        if self._final:
            done = [item for item in items if item.nodeid in self._final]
            config.hook.pytest_deselected(items=done)
            items[:] = [item for item in items if item.nodeid not in self._final]
