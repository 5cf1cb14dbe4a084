"""What the distribution tells the scheduler of a worker, without any worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from meshsweep.control.distribution import Distribution
from meshsweep.planning.slots import Slot

PASSED = "[0.1,[]]"


def told(*, slain: bool, has_no_mesh: bool) -> Any:
    """Return a distribution whose watchdog and results say these things of every worker."""
    made: Any = object.__new__(Distribution)
    made._late = set()
    made._flying = {}
    made._open = {}
    made._watchdog = SimpleNamespace(ended=lambda _: object() if slain else None)
    made._audience = SimpleNamespace(passed=lambda *_: None)
    made._deadlines = SimpleNamespace(observe=lambda *_: None)
    results = SimpleNamespace(passed=lambda *_: None, found_no_mesh=lambda _: has_no_mesh)
    made._controller = SimpleNamespace(results=results)
    return made


@pytest.mark.parametrize(
    ("slain", "has_no_mesh", "chips", "condemned"),
    [
        (False, False, (0,), False),
        (True, False, (0,), True),
        (True, False, (), True),
        (False, True, (0,), True),
        (False, True, (), False),
    ],
)
def test_worker_that_is_being_killed_gets_no_test(
    *, slain: bool, has_no_mesh: bool, chips: tuple[int, ...], condemned: bool
) -> None:
    """Its test ended in time, the signal was on its way already."""
    worker: Any = SimpleNamespace(name="gw0", slot=Slot(name="m.0", machine="m", chips=chips))
    distribution = told(slain=slain, has_no_mesh=has_no_mesh)
    distribution.finished("test", worker, PASSED)

    assert distribution.is_condemned(worker) is condemned
