"""The controller's bookkeeping, without any worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meshsweep.control.controller import Controller
from meshsweep.control.stacks import Crash, Hang
from meshsweep.planning.plan import Wave
from meshsweep.planning.slots import Slot
from meshsweep.record import events
from meshsweep.record.rundir import RunDir

from .test_outcome import phase


class Config:
    """What the controller asks of pytest: no terminal, xdist, and a few options."""

    args_source = pytest.Config.ArgsSource.TESTPATHS

    def __init__(self, **options: object) -> None:
        self.options = options
        self.pluginmanager = self

    def getoption(self, name: str, default: object = None) -> object:
        return self.options.get(name, default)

    def getplugin(self, name: str) -> object:
        return self.options.get("plugin") if name == "dsession" else None


class Bench:
    """A controller, and the log that it writes."""

    def __init__(self, root: Path, *, reruns: int = 0, **options: object) -> None:
        path = root / "runs" / "run"
        path.mkdir(parents=True)
        self.rundir = RunDir(path)
        self.rundir.events.touch()
        wave = Wave(name="wave-0", workers=1, alone=Slot(name="virtual.0", machine="virtual", chips=()), cells=())
        self.config: Any = Config(**options)
        self.controller = Controller(self.config, self.rundir, wave, reruns=reruns)

    def collect(self, *tests: str) -> None:
        """Take in a collection of one cell."""
        text = str([[test, "1x1-bfloat16-tiny"] for test in tests]).replace("'", '"')
        self.rundir.collection("wave-0").write_text(text, encoding="utf-8")
        self.controller.collected()

    def log(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the events of some kinds, without their times."""
        found = [{k: v for k, v in event.items() if k != "t"} for event in events.read(self.rundir.events)]
        return [event for event in found if event["event"] in kinds]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def sigint() -> Iterator[None]:
    """Leave this process's Ctrl-C as it was."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_death_in_test_keeps_its_setup(bench: Bench) -> None:
    bench.collect("t")
    bench.controller.results.begin("t")
    bench.controller.pytest_runtest_logreport(phase("setup", worker_id="gw0"))
    bench.controller.results.died("t", "gw0", Crash(how="died", stack=""))

    (event,) = bench.log("reported")
    assert (event["outcome"], event["message"], event["duration_s"]) == (
        "crashed",
        "worker gw0 died while running this test",
        0.5,
    )


def test_death_at_the_deadline_is_a_hang(bench: Bench) -> None:
    hang = Hang(worker="gw0", test="t", after_s=60.0, state="running", stack="in native code", out="said")
    bench.collect("t")
    bench.controller.results.begin("t")
    bench.controller.results.died("t", "gw0", hang)

    (event,) = bench.log("reported")
    assert (event["outcome"], event["text"], event["out"]) == ("hang", "in native code", "said")


def test_failure_runs_again_where_asked(tmp_path: Path) -> None:
    bench = Bench(tmp_path, reruns=1)
    bench.collect("t")
    found = []
    for _ in range(2):
        bench.controller.results.begin("t")
        bench.controller.pytest_runtest_logreport(phase("call", "failed", "no"))
        bench.controller.pytest_runtest_logfinish("t")
        found.append(bench.controller.results.again("t"))

    assert [decision is not None for decision in found] == [True, False]
    assert [(event["attempt"], event["final"]) for event in bench.log("reported")] == [(1, False), (2, True)]


def test_result_is_written_once_complete(bench: Bench) -> None:
    bench.collect("t")
    for when in ("setup", "call", "teardown"):
        bench.controller.pytest_runtest_logreport(phase(when))
    assert bench.log("reported") == []

    bench.controller.pytest_runtest_logfinish("t")
    assert [event["duration_s"] for event in bench.log("reported")] == [1.5]


def test_late_teardown_is_written_again(bench: Bench) -> None:
    bench.collect("t")
    bench.controller.pytest_runtest_logreport(phase("call"))
    bench.controller.pytest_runtest_logfinish("t")
    bench.controller.pytest_runtest_logreport(phase("teardown", "failed", "stuck"))

    assert [event["outcome"] for event in bench.log("reported")] == ["passed", "failed"]


def test_stand_in_for_crash_is_ignored(bench: Bench) -> None:
    bench.controller.pytest_runtest_logreport(phase("???", "failed", "worker crashed"))
    bench.controller.pytest_runtest_logfinish("t")

    assert bench.log("reported") == []


def test_broken_file_is_a_problem(bench: Bench) -> None:
    report: Any = SimpleNamespace(failed=True, nodeid="test_b.py", longrepr="Traceback\nE   ImportError: no torch\n")
    bench.controller.pytest_collectreport(report)

    assert [event["text"] for event in bench.log("problem")] == ["test_b.py: ImportError: no torch"]


def test_first_collection_becomes_latest(bench: Bench) -> None:
    latest = bench.rundir.path.parent / "latest"
    assert not latest.exists()

    bench.collect("t")
    assert latest.resolve() == bench.rundir.path


def interrupt(text: str) -> Any:
    """Return what pytest passes on after an interruption."""
    return SimpleNamespace(value=KeyboardInterrupt(text) if text else KeyboardInterrupt())


def test_stop_of_xdist_gives_the_reason(bench: Bench) -> None:
    bench.controller.pytest_keyboard_interrupt(interrupt("stopping after 1 failures"))

    assert bench.log("stopped", "interrupted") == [
        {"event": "stopped", "reason": "not started: stopping after 1 failures"}
    ]


@pytest.mark.parametrize("text", ["", "<WorkerController gw0> received keyboard-interrupt"])
@pytest.mark.usefixtures("sigint")
def test_second_sigint_is_no_news(bench: Bench, text: str) -> None:
    bench.controller.pytest_keyboard_interrupt(interrupt(text))

    assert bench.log("stopped", "interrupted") == [{"event": "interrupted"}]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_giving_up_of_xdist_is_the_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path, plugin=SimpleNamespace(_summary_report="maximum crashed workers reached: 8"))
    bench.controller.pytest_sessionfinish(SimpleNamespace(shouldstop=False, shouldfail=False))

    assert bench.log("stopped", "wave-finished") == [
        {"event": "stopped", "reason": "not started: maximum crashed workers reached: 8"},
        {"event": "wave-finished", "wave": "wave-0"},
    ]


@pytest.mark.parametrize(
    ("options", "filtered"),
    [
        ({}, False),
        ({"verbose": 2, "maxfail": 1}, False),
        ({"keyword": "1x8"}, True),
        ({"markexpr": "slow"}, True),
        ({"deselect": ["a"]}, True),
        ({"lf": True}, True),
    ],
)
def test_only_filters_excuse_empty_cells(tmp_path: Path, options: dict[str, object], filtered: object) -> None:
    bench = Bench(tmp_path, **options)
    bench.collect("t")

    assert [event["filtered"] for event in bench.log("collected")] == [filtered]


def test_named_paths_are_a_filter(bench: Bench) -> None:
    bench.config.args_source = pytest.Config.ArgsSource.ARGS
    bench.collect("t")

    assert [event["filtered"] for event in bench.log("collected")] == [True]
