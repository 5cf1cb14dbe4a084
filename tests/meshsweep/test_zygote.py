"""Workers forked from one process, and the same results without."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshsweep.control.stacks import state_of
from meshsweep.errors import InfraError
from meshsweep.workers.nursery import die_with
from meshsweep.workers.zygote import ForkedIO, Zygote, can_fork

from .project import MATRIX, Project, environment

pytestmark = pytest.mark.skipif(not can_fork(), reason="workers are forked on Linux alone")

ENVIRONMENTS = """
    [environments.forked]
    about = "workers are forked, and nothing is opened"
    backend = "emulated"
    [environments.spawned]
    about = "workers are spawned"
    backend = "ttnn"
    [environments.broken]
    about = "nothing can be forked"
    backend = "emulated"
    preload = ["no_such_module"]
"""
FAKE = "    [environments.fake]\n    about = 'the default'\n    backend = 'ttnn'\n"
ONE_CELL = ("run", "--cell", "1x1-bfloat16-tiny")


@pytest.fixture
def forking(project: Project) -> Project:
    """A project with an environment that forks."""
    project.declare(environments=ENVIRONMENTS + FAKE)
    return project


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    """A process that has imported a module of its own."""
    made = preloaded(["colorsys"], {"OMP_NUM_THREADS": "1"})
    yield made
    made.close()


def preloaded(modules: list[str], variables: dict[str, str], *, patience_s: float = 120.0) -> Zygote:
    """Return a process that has been told what to import."""
    made = Zygote(patience_s=patience_s)
    made.preload(modules, variables)
    return made


def ask(forked: ForkedIO, code: str) -> str:
    """Run code in a worker in execnet's place, and return its first line."""
    forked.write(f"{code!r}\n".encode())
    told = str(forked.infile.readline().decode().strip())
    forked.close()
    return told


def alive(pid: int) -> bool:
    """Return whether a process lives; one that waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: list[int], within_s: float = 20.0) -> bool:
    """Wait for processes to end; returns whether they did."""
    until = time.monotonic() + within_s
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(alive, pids))


# One process and its children.


def test_worker_has_what_was_imported(zygote: Zygote) -> None:
    told = ask(
        zygote.fork(),
        "import os, sys; print('colorsys' in sys.modules, 'meshsweep.plugin' in sys.modules, os.getpid())",
    )
    has_module, has_plugin, pid = told.split()

    assert (has_module, has_plugin) == ("True", "True")
    assert int(pid) not in (os.getpid(), zygote.pid)


def test_variables_are_set_before_modules_are_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("sees.py").write_text("import os\nSEEN = os.environ.get('SET_BEFORE')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    made = preloaded(["sees"], {"SET_BEFORE": "yes"})
    told = ask(made.fork(), "import os, sees; print(sees.SEEN, os.environ.get('SET_BEFORE'))")
    made.close()

    assert told == "yes None"


def test_worker_has_this_environment_and_folder(
    zygote: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SET_LATER", "yes")
    told = ask(zygote.fork(), "import os; print(os.environ['SET_LATER'], os.getcwd())")

    assert told == f"yes {tmp_path}"


def test_end_of_a_worker_is_told(zygote: Zygote) -> None:
    ended, killed, lives = (zygote.fork() for _ in range(3))
    ended.write(b"'raise SystemExit(3)'\n")
    killed.kill()

    assert (ended.wait(), killed.wait()) == (3, -signal.SIGKILL)
    for forked in (ended, killed):
        forked.close()
    assert ask(lives, "print('still here')") == "still here"


def test_exit_functions_run_in_a_worker(zygote: Zygote, tmp_path: Path) -> None:
    forked = zygote.fork()
    code = f"import atexit, pathlib; atexit.register(pathlib.Path({str(tmp_path / 'ended')!r}).touch)"
    forked.write(f"{code!r}\n".encode())

    assert forked.wait() == 0
    assert tmp_path.joinpath("ended").exists()
    forked.close()


def test_workers_draw_different_numbers(zygote: Zygote) -> None:
    told = {ask(zygote.fork(), "import random; print(random.random())") for _ in range(2)}

    assert len(told) == 2


def test_workers_end_with_the_process(zygote: Zygote) -> None:
    forked = zygote.fork()
    pid = forked.pid
    forked.write(b"'import time; time.sleep(600)'\n")
    os.kill(zygote.pid, signal.SIGKILL)

    assert gone([pid])
    assert forked.wait() == -signal.SIGKILL
    forked.close()
    with pytest.raises(InfraError, match="the process to fork workers from has ended"):
        zygote.fork()


@pytest.mark.parametrize(
    ("modules", "problem"),
    [
        (
            ["no_such_module"],
            "no_such_module cannot be imported: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        (["threaded"], r"2 threads run after importing threaded, .*: forking is not safe"),
    ],
)
def test_unsafe_fork_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modules: list[str], problem: str
) -> None:
    tmp_path.joinpath("threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    made = preloaded(modules, {})
    with pytest.raises(InfraError, match=f"workers cannot be forked: {problem}"):
        made.fork()
    made.close()


def test_process_that_takes_too_long_is_refused() -> None:
    made = preloaded([], {}, patience_s=0.0)
    with pytest.raises(InfraError, match="the process to fork workers from was not ready after 0 s"):
        made.fork()
    made.close()


def test_process_that_dies_with_its_message_unread_has_ended() -> None:
    """A socket that is closed with something unread in it tells its peer of an error, not of an end."""
    made = Zygote()
    os.kill(made.pid, signal.SIGSTOP)
    made.preload(["colorsys"], {})
    os.kill(made.pid, signal.SIGKILL)
    with pytest.raises(InfraError, match="the process to fork workers from ended with -9 while it imported"):
        made.fork()
    made.close()


def test_process_that_is_stopped_is_not_waited_for(zygote: Zygote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshsweep.workers.zygote._FORK_S", 0.2)
    with pytest.raises(InfraError, match="has not forked for 0 s"):
        stopped(zygote)
    os.kill(zygote.pid, signal.SIGCONT)


def stopped(zygote: Zygote) -> None:
    """Fork from a process that is stopped once it is ready."""
    ask(zygote.fork(), "print('ready')")
    os.kill(zygote.pid, signal.SIGSTOP)
    zygote.fork()


def test_process_that_is_left_while_it_waits_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    made = preloaded([], {})
    with made._control.dup() as watched:
        watched.recv(1, socket.MSG_PEEK)  # it is ready, and nobody has read that
    made._control.close()

    assert made._process.wait(20) == 0
    assert capfd.readouterr().err == ""


def test_torch_works_after_the_fork() -> None:
    pytest.importorskip("torch")
    made = preloaded(["torch"], {"OMP_NUM_THREADS": "1"})
    code = "import torch; x = torch.ones(300, 300); print(float((x @ x).sum()))"
    told = [ask(made.fork(), code) for _ in range(2)]
    made.close()

    assert told == ["27000000.0", "27000000.0"]


def test_orphan_ends_at_once() -> None:
    code = f"import sys; sys.path[:] = {sys.path!r}\nfrom meshsweep.workers.nursery import die_with; die_with(1)"
    done = subprocess.run([sys.executable, "-c", code], check=False)

    assert done.returncode == -signal.SIGKILL
    die_with(os.getppid())  # and where the parent lives, nothing happens


def test_pytest_whose_command_has_ended_ends_too(project: Project) -> None:
    project.suite("def test_1(cell): pass\n")
    project.meshsweep(*ONE_CELL, "--workers", "1")
    run = next((project.root / ".meshsweep/runs").glob("2*"))
    done = project.pytest(f"--meshsweep-run={run}", "--meshsweep-wave=wave-0", MESHSWEEP_PARENT="1")

    assert done.code == -signal.SIGKILL


# Whole runs.

SUITE = """
    import os, signal
    import pytest

    @pytest.mark.parametrize("number", range(20))
    def test_passes(cell, number, record_property):
        record_property("pcc.mlp", 0.9 + number / 1000)

    def test_fails(cell):
        print("printed by the test")
        assert 1 + 1 == 3, "numbers differ"

    def test_dies(cell): os.kill(os.getpid(), signal.SIGKILL)

    @pytest.mark.skip(reason="no such op")
    def test_skips(cell): pass

    @pytest.mark.xfail(reason="known", strict=True)
    def test_xfails(cell): assert False
"""


def test_forked_and_spawned_workers_agree(forking: Project) -> None:
    forking.suite(SUITE)
    found = {}
    for name in ("forked", "spawned"):
        done = forking.meshsweep(*ONE_CELL, "--workers", "2", "--env", name)
        assert done.code == 1, done.lines
        results = forking.summary()["results"]
        found[name] = sorted((r["test"], r["outcome"], r["properties"].get("pcc.mlp"), r["text"]) for r in results)
        assert "printed by the test" in forking.latest("summary.xml")
        assert '"note"' not in forking.latest("events.jsonl")

    assert found["forked"] == found["spawned"]
    assert sorted({outcome for _, outcome, _, _ in found["forked"]}) == [
        "crashed",
        "failed",
        "passed",
        "skipped",
        "xfailed",
    ]


def test_what_cannot_be_forked_is_spawned(forking: Project) -> None:
    forking.suite("def test_1(cell): pass\n")
    done = forking.meshsweep(*ONE_CELL, "--workers", "1", "--env", "broken")

    assert done.code == 0, done.lines
    assert (
        "note: workers are spawned, not forked: workers cannot be forked: no_such_module cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    ) in done.lines


def test_lost_process_to_fork_from_ends_no_run(forking: Project) -> None:
    forking.suite("""
        import os, signal, time
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_1(cell, number):
            if number == 1:
                os.kill(os.getppid(), signal.SIGKILL)
                # The worker dies of it too, though not before the kernel has told it.
                time.sleep(60)
    """)
    done = forking.meshsweep(*ONE_CELL, "--workers", "1", "--env", "forked")

    assert sorted(outcome for outcome, _ in forking.results().values()) == ["crashed", "passed", "passed", "passed"]
    assert "note: workers are spawned, not forked: the process to fork workers from has ended" in "\n".join(done.lines)


STUCK = """
    import os, time
    from pathlib import Path
    import pytest

    @pytest.mark.parametrize("number", range(2))
    def test_1(cell, number):
        Path(f"{os.getpid()}.pid").touch()
        # Deaf to everything but SIGKILL.
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL})
        time.sleep(600)
"""


@pytest.mark.parametrize("name", ["forked", "spawned"])
@pytest.mark.parametrize("victim", ["command", "controller"])
def test_nothing_outlives_a_kill(forking: Project, name: str, victim: str) -> None:
    forking.suite(STUCK)
    command = [sys.executable, "-m", "meshsweep", *ONE_CELL, "--workers", "2", "--env", name]
    with subprocess.Popen(
        command, cwd=forking.root, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        until = time.monotonic() + 30
        while len(list(forking.root.glob("*.pid"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        log = next((forking.root / ".meshsweep/runs").glob("2*")) / "events.jsonl"
        events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        (controller,) = [event["pid"] for event in events if event["event"] == "controller-started"]
        everybody = descendants(running.pid)
        os.kill(running.pid if victim == "command" else controller, signal.SIGKILL)

        assert len(everybody) >= 3
        assert gone(everybody)
        running.wait(60)


@pytest.mark.parametrize("name", ["forked", "spawned"])
def test_worker_stopped_before_it_is_configured_dies_too(forking: Project, name: str) -> None:
    """What it holds would keep everybody else from its chips."""
    forking.suite("def test_1(cell): pass\n")
    stop = "os.kill(os.getpid(), signal.SIGSTOP)"
    forking.write("conftest.py", f"import os, signal\nif 'PYTEST_XDIST_WORKER' in os.environ: {stop}\n")
    command = [sys.executable, "-m", "meshsweep", *ONE_CELL, "--workers", "1", "--env", name]
    with subprocess.Popen(
        command, cwd=forking.root, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        until = time.monotonic() + 30
        while not (stopped := [pid for pid in descendants(running.pid) if state_of(pid) == "stopped"]):
            assert time.monotonic() < until
            time.sleep(0.05)
        everybody = descendants(running.pid)
        controller = everybody[0]
        os.kill(controller, signal.SIGKILL)

        assert set(stopped) < set(everybody)
        assert gone(everybody)
        running.wait(60)


def descendants(pid: int) -> list[int]:
    """Return the processes that a process and its children have started."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    return children + [found for child in children for found in descendants(child)]


def test_module_names_are_checked(project: Project) -> None:
    project.declare(
        environments=MATRIX["environments.toml"].replace(
            'backend = "ttnn"', 'backend = "ttnn"\n        preload = "not one"', 1
        )
    )
    done = project.meshsweep(*ONE_CELL)

    assert any("preload: holds 'not one'; expected names of modules, such as torch" in line for line in done.lines)


def test_modules_see_what_a_conftest_has_set(forking: Project) -> None:
    forking.declare(environments=ENVIRONMENTS.replace("about", 'preload = ["heavy"]\n    about', 1) + FAKE)
    forking.write("heavy.py", "import os\nSEEN = os.environ.get('HEAVY_THREADS')\n")
    forking.write("conftest.py", "import os\nos.environ['HEAVY_THREADS'] = '4'\n")
    forking.suite("import heavy\ndef test_1(cell): assert heavy.SEEN == '4'\n")
    done = forking.meshsweep(*ONE_CELL, "--workers", "1", "--env", "forked")

    assert done.code == 0, done.lines


def test_our_plugin_may_be_named_by_its_module(forking: Project) -> None:
    forking.suite("def test_1(cell): pass\n")
    forking.write("pytest.ini", "[pytest]\naddopts = -p xdist -p meshsweep.plugin\nfilterwarnings = error\n")
    done = forking.meshsweep(*ONE_CELL, "--workers", "1", "--env", "forked", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")

    assert done.code == 0, done.lines


DIES = """
    import os

    started = []

    def pytest_xdist_newgateway(gateway):
        started.append(gateway)
        if len(started) <= {times}:
            os.kill(gateway._io.pid, 9)
"""


@pytest.mark.parametrize(
    ("times", "code", "said"),
    [
        (1, 0, "note: worker gw0 died before it could be told anything: "),
        (9, 3, "3 workers in a row died before they could be told anything"),
    ],
)
def test_worker_that_dies_at_once_is_followed_by_another(forking: Project, times: int, code: int, said: str) -> None:
    forking.suite("def test_1(cell): pass\n")
    forking.write("conftest.py", DIES.format(times=times))
    done = forking.meshsweep(*ONE_CELL, "--workers", "1", "--env", "forked")

    assert done.code == code, done.lines
    assert any(said in line for line in done.lines)
