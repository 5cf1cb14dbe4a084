"""Who may open the devices of a lease."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshsweep.errors import InfraError
from meshsweep.leases.pool import Leases
from meshsweep.leases.use import use


def test_worker_waits_for_its_predecessor_to_die(tmp_path: Path) -> None:
    predecessor = use(tmp_path, "t3k", [0, 1], 0)
    ended = subprocess.Popen(["sleep", "0.2"], pass_fds=predecessor.files())
    for file in predecessor.files():
        os.close(file)
    use(tmp_path, "t3k", [1], 30)

    assert ended.poll() == 0


def test_chips_in_use_name_the_process(tmp_path: Path) -> None:
    use(tmp_path, "t3k", [1], 0, run="r1/gw3")

    with pytest.raises(
        InfraError,
        match=rf"t3k chip 1 is still in use after 0\.\d s: \S+, run r1/gw3 \(pid {os.getpid()}, since .*\); end that "
        "process, or run on other chips",
    ):
        use(tmp_path, "t3k", [0, 1], 0)
    use(tmp_path, "t3k", [0], 0)


def test_worker_of_a_dead_controller_opens_nothing(tmp_path: Path) -> None:
    ada, bob = Leases(tmp_path, "t3k", "a"), Leases(tmp_path, "t3k", "b")
    lease = ada.take([0])
    assert lease is not None
    token = lease.token
    ada.close()

    with pytest.raises(
        InfraError, match="t3k chip 0 is no longer leased to run by this worker: nobody holds it now; st"
    ):
        use(tmp_path, "t3k", [0], 0, token=token)
    assert bob.take([0]) is not None
    with pytest.raises(
        InfraError, match=r"t3k chip 0 is no longer leased .*: \S+, run b \(pid .* has it now; start it"
    ):
        use(tmp_path, "t3k", [0], 0, token=token)


def test_worker_of_a_living_controller_opens(tmp_path: Path) -> None:
    lease = Leases(tmp_path, "t3k", "a").take([0, 3])
    assert lease is not None
    first = use(tmp_path, "t3k", [0, 3], 0, token=lease.token)
    first.release()
    first.release()

    assert use(tmp_path, "t3k", [0, 3], 0, token=lease.token).files()


def test_killed_worker_frees_its_chips(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time\nfrom meshsweep.leases.use import use\n"
        "held = use(pathlib.Path(sys.argv[1]), 't3k', [0], 0)\nprint(1, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        with pytest.raises(InfraError):
            use(tmp_path, "t3k", [0], 0)
        worker.kill()

    assert use(tmp_path, "t3k", [0], 30).files()
