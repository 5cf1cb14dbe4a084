"""What is left of leases when processes are killed: real ones, at every line and at any moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from meshsweep.leases.record import overlaps

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells a process from a later one")

#: Kills a process at its first line within the package, then one at its second, and so on.
EVERY_LINE = """
    import os, sys
    from collections import Counter
    from pathlib import Path
    from meshsweep.leases.pool import Leases
    from meshsweep.leases.record import overlaps
    from meshsweep.leases.use import use

    directory = Path(sys.argv[1])

    def live(log):
        ada, bob = Leases(directory, "t3k", "a", log=log), Leases(directory, "t3k", "b", log=log)
        lease = ada.take([0, 1])
        worker = use(directory, "t3k", [0, 1], 0, token=lease.token, log=log)
        bob.take([1, 2])
        bob.waiting[0].message()
        worker.release()
        lease.release()
        bob.poll()
        bob.take([1])
        bob.settle()
        bob.close()

    def die_at(line, log):
        seen = Counter()
        left = line
        def trace(frame, event, argument):
            nonlocal left
            if not frame.f_code.co_filename.endswith(("/lock.py", "/pool.py", "/queue.py", "/use.py")):
                return None
            if event == "line":
                seen[frame.f_code.co_filename, frame.f_lineno] += 1
                left -= seen[frame.f_code.co_filename, frame.f_lineno] == 1
                if not left:
                    os.kill(os.getpid(), 9)
            return trace
        sys.settrace(trace)
        live(log)
        os._exit(0)

    for line in range(1, 10_000):
        log = directory / f"log.{line}"
        child = os.fork()
        if not child:
            die_at(line, log)
        killed = os.waitpid(child, 0)[1] == 9
        after = Leases(directory, "t3k", "after", log=log)
        lease = after.take(range(4))
        if lease is None:
            print("line", line, "left", after.waiting[0].message())
        after.close()
        for found in overlaps(log):
            print("line", line, found)
        if not killed:
            break
    print(line)
"""


def test_kill_at_any_line_frees_everything(tmp_path: Path) -> None:
    *problems, lines = script(EVERY_LINE, tmp_path)

    assert problems == []
    assert int(lines) > 150


#: Sweeps that fork workers for random chips, while one after the other is killed or stopped for a moment.
ANY_MOMENT = """
    import os, random, signal, sys, time
    from contextlib import suppress
    from pathlib import Path
    from meshsweep.errors import InfraError
    from meshsweep.leases.pool import Leases
    from meshsweep.leases.record import _read
    from meshsweep.leases.use import use

    directory, seed = Path(sys.argv[1]), int(sys.argv[2])
    log = directory / "log"

    def work(lease, chance):
        with suppress(InfraError):
            use(directory, "galaxy", lease.chips, 1, token=lease.token, log=log)
            time.sleep(chance.random() / 100)
        os._exit(0)

    def sweep(number):
        chance = random.Random(number)
        leases = Leases(directory, "galaxy", str(number), log=log)
        while True:
            chips = chance.sample(range(6), chance.randint(1, 4))
            lease = leases.take(chips)
            while lease is None:
                time.sleep(0.001)
                for granted in leases.poll():
                    lease = leases.take(granted)
                leases.settle()
            for _ in range(chance.randint(1, 2)):
                worker = os.fork()
                if not worker:
                    work(lease, chance)
                os.waitpid(worker, 0)
            lease.release()

    def begin(number):
        child = os.fork()
        if not child:
            sweep(number)
        return child

    chance = random.Random(seed)
    sweeps = [begin(seed * 1000 + number) for number in range(4)]
    for number in range(10, 60):
        time.sleep(chance.random() / 40)
        lines = list(_read(log))
        victims = [*sweeps, *(line["pid"] for line in lines[-3:])]
        victim = chance.choice(victims)
        with suppress(ProcessLookupError):
            if chance.random() < 0.3:
                os.kill(victim, signal.SIGSTOP)
                time.sleep(0.01)
                os.kill(victim, signal.SIGCONT)
                continue
            os.kill(victim, signal.SIGKILL)
        if victim in sweeps:
            os.waitpid(victim, 0)
            sweeps[sweeps.index(victim)] = begin(seed * 1000 + number)
    for child in sweeps:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    after = Leases(directory, "galaxy", "after", log=log)
    deadline = time.monotonic() + 30
    while after.take(range(6)) is None and not after.poll() and time.monotonic() < deadline:
        time.sleep(0.01)
    print(*(waiting.message() for waiting in after.waiting), sep="")
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_at_any_moment_doubles_nothing(tmp_path: Path, seed: int) -> None:
    left = script(ANY_MOMENT, tmp_path, str(seed))
    takes = (tmp_path / "log").read_text().count('"do":"take"')

    assert left == [""]
    assert overlaps(tmp_path / "log") == ()
    assert takes > 20


def script(text: str, *arguments: Path | str) -> list[str]:
    """Run a program and return what it prints: processes are forked where there are no other threads."""
    command = [sys.executable, "-c", dedent(text), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, start_new_session=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.rstrip("\n").split("\n")
