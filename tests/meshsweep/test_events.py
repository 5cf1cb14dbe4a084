"""The event log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshsweep.errors import InfraError
from meshsweep.record.events import EventLog, mend, read


def test_events_come_back_in_order(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "e", clock=iter([1.0, 2.0]).__next__)
    log.write("one", test="a", path=tmp_path)
    log.write("two", number=float("inf"))
    log.close()

    assert list(read(tmp_path / "e")) == [
        {"event": "one", "t": 1.0, "test": "a", "path": str(tmp_path)},
        {"event": "two", "t": 2.0, "number": float("inf")},
    ]


def test_torn_last_line_is_left_out(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "e")
    log.write("one")
    log.write("two", text="x" * 100)
    log.close()
    whole = (tmp_path / "e").read_bytes()
    (tmp_path / "e").write_bytes(whole[:-50])

    assert [event["event"] for event in read(tmp_path / "e")] == ["one"]


def test_lines_that_are_no_events_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "e").write_bytes(b'[1]\n{"t": 1}\n\xff\xfe\n\n{"event": "one", "t": 1}\n')

    assert [event["event"] for event in read(tmp_path / "e")] == ["one"]


def test_two_writers_share_one_log(tmp_path: Path) -> None:
    first, second = EventLog(tmp_path / "e"), EventLog(tmp_path / "e")
    for number in range(3):
        first.write("first", number=number)
        second.write("second", number=number)

    assert [event["event"] for event in read(tmp_path / "e")] == ["first", "second"] * 3


def test_missing_log_has_no_events(tmp_path: Path) -> None:
    assert list(read(tmp_path / "nowhere")) == []


def test_unwritable_place_is_infrastructure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InfraError) as caught:
        EventLog(tmp_path / "file" / "e")

    assert str(caught.value) == f"{tmp_path}/file/e: cannot record events: Not a directory"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_full_disk_is_infrastructure() -> None:
    log = EventLog(Path("/dev/full"))
    with pytest.raises(InfraError) as caught:
        log.write("one")

    assert str(caught.value) == (
        "/dev/full: cannot record events: No space left on device; what is recorded so far stays: make room, "
        "then `meshsweep resume`"
    )


def test_kinds_are_picked(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "e")
    for kind in ("one", "two", "three", "two"):
        log.write(kind, text="three")

    assert [event["event"] for event in read(tmp_path / "e", "two", "three")] == ["two", "three", "two"]


def test_torn_line_is_ended_not_deleted(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(b'{"event": "one", "t": 1}\n{"event": "tw')
    mended = [mend(path), mend(path)]
    EventLog(path).write("three")

    assert mended == [True, False]
    assert path.read_bytes().startswith(b'{"event": "one", "t": 1}\n{"event": "tw\n')
    assert [event["event"] for event in read(path)] == ["one", "three"]


def test_empty_log_has_nothing_to_mend(tmp_path: Path) -> None:
    (tmp_path / "e").touch()

    assert mend(tmp_path / "e") is False


def test_half_a_write_is_infrastructure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up takes the beginning of a line."""
    log = EventLog(tmp_path / "e")
    log.write("one")
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    with pytest.raises(InfraError, match=r"the disk took 7 of \d+ bytes; what is recorded so far stays"):
        log.write("two")
    monkeypatch.undo()
    mend(tmp_path / "e")
    log.write("three")

    assert [event["event"] for event in read(tmp_path / "e")] == ["one", "three"]
