"""Which waves are still begun after one has ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from meshsweep import runner
from meshsweep.planning.plan import Wave
from meshsweep.planning.slots import Slot
from meshsweep.record import rundir
from meshsweep.record.events import EventLog
from meshsweep.record.job import Job

SLOT = Slot(name="virtual.0", machine="virtual", chips=())
WAVES = tuple(Wave(name=f"wave-{number}", workers=1, alone=SLOT, cells=()) for number in range(3))


@pytest.mark.parametrize(
    ("codes", "stops", "begun"),
    [
        ([0, 5, 1], False, 3),
        ([1, 1, 0], True, 1),
        ([0, 2, 0], False, 2),
        ([-9, 0, 0], False, 1),
        ([0, 3, 0], False, 2),
    ],
)
def test_wave_that_did_not_end_in_order_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: list[int], begun: int, *, stops: bool
) -> None:
    left = list(codes)

    def end(command: Sequence[str], root: Path, log: EventLog) -> int:
        if stops:
            log.write("stopped", reason="not started: stopping after 1 failures")
        return left.pop(0)

    monkeypatch.setattr(runner, "_run_wave", end)
    job = Job(root=tmp_path, matrix=tmp_path / "matrix", suite=("tests",), arguments=())
    directory = rundir.create(tmp_path, "sweep")
    log = EventLog(directory.events)

    assert runner._run_waves(WAVES, directory, job, log) == codes[:begun]
    log.close()
