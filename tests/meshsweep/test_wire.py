"""The socket between the controller and its workers."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshsweep.workers.wire import Exchange, Wire

Connect = Callable[[Exchange, str], Wire]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """How to connect a worker."""
    made = []

    def connected(exchange: Exchange, name: str) -> Wire:
        exchange.expect(name)
        made.append(Wire(exchange.address, name))
        return made[-1]

    yield connected
    for wire in made:
        wire.close()


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    made = Exchange()
    yield made
    made.close()


def lines(exchange: Exchange, number: int) -> list[tuple[str, str]]:
    """Return so many lines, waiting for them."""
    found: list[tuple[str, str]] = []
    while len(found) < number:
        found += exchange.wait(10)
    return found


def test_index_goes_down_and_a_line_comes_up(exchange: Exchange, connect: Connect) -> None:
    wire = connect(exchange, "gw0")
    exchange.send("gw0", 17)
    index = wire.receive()
    wire.send("17 passed")

    assert index == 17
    assert lines(exchange, 1) == [("gw0", "17 passed")]


def test_each_worker_has_its_own(exchange: Exchange, connect: Connect) -> None:
    wires = {name: connect(exchange, name) for name in ("gw0", "gw1")}
    for number, name in enumerate(wires):
        exchange.send(name, number)

    assert [wire.receive() for wire in wires.values()] == [0, 1]


def test_long_line_arrives_whole(exchange: Exchange, connect: Connect) -> None:
    wire = connect(exchange, "gw0")
    sender = threading.Thread(target=wire.send, args=("é" * 1_000_000,))
    sender.start()
    found = lines(exchange, 1)
    sender.join()

    assert found == [("gw0", "é" * 1_000_000)]


def test_lines_sent_before_a_death_are_kept(exchange: Exchange, connect: Connect) -> None:
    wire = connect(exchange, "gw0")
    wire.send("1 passed")
    wire.close()
    found = lines(exchange, 1)
    exchange.send("gw0", 2)

    assert found == [("gw0", "1 passed")]
    assert list(exchange.wait(0)) == []


def test_line_is_read_whole_at_once(exchange: Exchange, connect: Connect) -> None:
    """What is behind it in time must not overtake it."""
    wire = connect(exchange, "gw0")
    wire.send("at first")
    assert lines(exchange, 1) == [("gw0", "at first")]
    wire.send("x" * 150_000)
    wire.send("y")

    assert [(name, len(line)) for name, line in exchange.wait(10)] == [("gw0", 150_000), ("gw0", 1)]


def descriptors() -> set[str]:
    """Return what this process has open."""
    return {path.name for path in Path("/proc/self/fd").iterdir() if path.exists()}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not tell what is open")
def test_forgotten_worker_leaves_nothing_open(exchange: Exchange, connect: Connect) -> None:
    before = descriptors()
    wire = connect(exchange, "gw0")
    wire.send("1 passed")
    assert lines(exchange, 1) == [("gw0", "1 passed")]
    wire.close()
    exchange.forget("gw0")
    list(exchange.wait(0))

    assert descriptors() == before
    assert [path.name for path in Path(exchange.address).parent.iterdir()] == ["wire"]


def test_offer_has_one_taker(exchange: Exchange, connect: Connect) -> None:
    wire, other = connect(exchange, "gw0"), connect(exchange, "gw1")
    found = [wire.take()]
    exchange.offer("gw0", 17)
    found += [other.take(), wire.take(), wire.take()]
    exchange.offer("gw0", 18)
    exchange.withdraw("gw0")
    exchange.withdraw("gw0")
    found += [wire.take()]

    assert found == [None, None, 17, None, None]


def test_stopped_worker_takes_nothing(exchange: Exchange, connect: Connect) -> None:
    wire = connect(exchange, "gw0")
    exchange.offer("gw0", 17)
    wire.stop()

    assert wire.take() is None


def test_controller_that_has_gone_offers_nothing(connect: Connect) -> None:
    made = Exchange()
    wire = connect(made, "gw0")
    made.close()

    assert wire.take() is None


def test_stop_ends_a_wait(exchange: Exchange, connect: Connect) -> None:
    wire = connect(exchange, "gw0")
    found: list[int | None] = []
    waiting = threading.Thread(target=lambda: found.append(wire.receive()))
    waiting.start()
    wire.stop()
    waiting.join(10)

    assert found == [None]


def test_wake_ends_a_wait_for_workers(exchange: Exchange) -> None:
    threading.Timer(0.05, exchange.wake).start()

    assert list(exchange.wait(60)) == []


def test_controller_that_has_gone_ends_a_wait(connect: Connect) -> None:
    made = Exchange()
    wire = connect(made, "gw0")
    made.close()

    assert wire.receive() is None


def test_sockets_of_killed_controllers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "meshsweep-left"
    left.mkdir()
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(left / "wire"))
    living, another = Exchange(), Exchange()
    there = {path.name for path in tmp_path.iterdir()}
    living.expect("gw0")
    wire = Wire(living.address, "gw0")
    wire.send("still heard")
    heard = lines(living, 1)
    wire.close()
    for exchange in (living, another):
        exchange.close()

    assert there == {Path(exchange.address).parent.name for exchange in (living, another)}
    assert heard == [("gw0", "still heard")]
    assert list(tmp_path.iterdir()) == []


def test_long_temporary_folder_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    """The path of a socket may have some hundred bytes, whatever TMPDIR says."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    made = Exchange()
    wire = connect(made, "gw0")
    wire.send("heard")
    heard = lines(made, 1)
    made.close()

    assert heard == [("gw0", "heard")]
    assert list(long.iterdir()) == []
