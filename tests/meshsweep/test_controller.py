"""The controller's bookkeeping, without any worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meshsweep import events
from meshsweep.controller import Controller
from meshsweep.plan import Wave
from meshsweep.rundir import RunDir
from meshsweep.slots import Slot

from .test_outcome import phase

SLOTS = tuple(Slot(name=f"galaxy.{number}", machine="galaxy", chips=(number,)) for number in range(2))


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
    """A controller over two slots, and the log that it writes."""

    def __init__(self, root: Path, **options: object) -> None:
        path = root / "runs" / "run"
        path.mkdir(parents=True)
        self.rundir = RunDir(path)
        wave = Wave(name="wave-0", slots=SLOTS, cells=())
        self.config: Any = Config(**options)
        self.controller = Controller(self.config, self.rundir, wave, "fake")

    def start(self, worker: str) -> SimpleNamespace:
        """Configure a worker as xdist does."""
        node = SimpleNamespace(gateway=SimpleNamespace(id=worker), workerinput={})
        self.controller.pytest_configure_node(node)
        return node

    def collect(self, *tests: str) -> None:
        """Take in a collection of one cell."""
        text = str([[test, "1x1-bfloat16-tiny"] for test in tests]).replace("'", '"')
        self.rundir.collection("wave-0").write_text(text, encoding="utf-8")
        self.controller._make_queue(list(tests))

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


def test_workers_hold_different_slots(bench: Bench) -> None:
    nodes = [bench.start("gw0"), bench.start("gw1")]

    assert [node.workerinput["slot"] for node in nodes] == [slot.to_json() for slot in SLOTS]


@pytest.mark.parametrize(("workers", "dead"), [(("gw0", "gw1"), "gw0"), (("gw0", "gw1"), "gw1"), (("gw0",), "gw0")])
def test_replacement_gets_its_predecessors_slot(bench: Bench, workers: tuple[str, ...], dead: str) -> None:
    nodes = {worker: bench.start(worker) for worker in workers}
    bench.controller.pytest_testnodedown(nodes[dead], "Not properly terminated")
    replacement = bench.start("gw2")

    assert replacement.workerinput["slot"] == nodes[dead].workerinput["slot"]


def test_more_workers_than_slots_is_refused(bench: Bench) -> None:
    bench.start("gw0")
    bench.start("gw1")
    with pytest.raises(pytest.UsageError) as caught:
        bench.start("gw2")

    assert str(caught.value) == "wave-0 has 2 slots: -n cannot exceed that"


def test_slot_is_given_back_once(bench: Bench) -> None:
    node = bench.start("gw0")
    for _ in range(2):
        bench.controller.pytest_testnodedown(node, None)

    assert bench.log("worker-ended") == [{"event": "worker-ended", "worker": "gw0", "slot": "galaxy.0", "error": ""}]


def test_death_outside_tests_is_infrastructure(bench: Bench) -> None:
    bench.controller.pytest_testnodedown(bench.start("gw0"), "Not properly terminated")

    assert [event["text"] for event in bench.log("infra")] == [
        "worker gw0 died on galaxy.0 outside of any test: Not properly terminated"
    ]


def test_death_in_test_is_its_crash(bench: Bench) -> None:
    node = bench.start("gw0")
    bench.collect("t")
    bench.controller._sent("t", "gw0")
    bench.controller.pytest_runtest_logreport(phase("setup", worker_id="gw0"))
    bench.controller.pytest_testnodedown(node, "Not properly terminated")
    bench.controller.pytest_handlecrashitem("t", SimpleNamespace(node=node), None)

    assert bench.log("infra") == []
    (event,) = bench.log("reported")
    assert (event["outcome"], event["message"], event["duration_s"]) == (
        "crashed",
        "worker gw0 died while running this test",
        0.5,
    )


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


def test_queue_follows_the_history(bench: Bench) -> None:
    bench.rundir.history.write_text('{"fake|slow": [9.0], "fake|quick": [0.1]}', encoding="utf-8")
    tests = ["quick", "unknown", "slow"]
    bench.rundir.collection("wave-0").write_text('[["quick", "c"], ["unknown", "c"], ["slow", "c"]]', encoding="utf-8")
    queue = bench.controller._make_queue(tests)

    assert [tests[queue.take("a").index] for _ in tests] == ["slow", "unknown", "quick"]


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
