"""Slots drawn against time."""

from __future__ import annotations

from meshsweep.dispatch import Bar, Task, Timeline
from meshsweep.planning.gantt import chip_ranges, draw
from meshsweep.planning.slots import Slot

SLOTS = (
    Slot(name="t3k.0", machine="t3k", mesh="1x2", chips=(0, 4)),
    Slot(name="t3k.1", machine="t3k", mesh="2x4", chips=tuple(range(8))),
)


def bar(slot: str, start_s: float, end_s: float, index: int | None = None) -> Bar:
    """Return a test, or opening where it has no index."""
    task = None if index is None else Task(index=index, group="a", mesh="1x2", expected_s=None)
    return Bar(slot=slot, start_s=start_s, end_s=end_s, task=task)


TIMELINE = Timeline(
    slots=SLOTS,
    bars=(
        bar("t3k.0", 0, 1),
        bar("t3k.0", 1, 3, 0),
        bar("t3k.0", 3, 5, 1),
        bar("t3k.1", 5, 6),
        bar("t3k.1", 6, 10, 2),
    ),
    makespan_s=10.0,
)


def test_row_shows_opening_and_tests_in_turn() -> None:
    lines = [str(line) for line in draw(TIMELINE, width=45, is_unicode=False)]

    assert lines == [
        "                         0 s  5.0 s      10 s",
        "  t3k.0  1x2  chips 0,4  ..####====",
        "  t3k.1  2x4  chips 0-7            ..########",
    ]


def test_row_in_unicode_has_the_same_width() -> None:
    plain, drawn = (draw(TIMELINE, width=45, is_unicode=is_unicode) for is_unicode in (False, True))

    assert [len(line) for line in plain] == [len(line) for line in drawn]
    assert "░░████▓▓▓▓" in str(drawn[1])


def test_shortest_test_has_a_place() -> None:
    timeline = Timeline(slots=SLOTS[:1], bars=(bar("t3k.0", 0, 0.001, 0), bar("t3k.0", 1, 10, 1)), makespan_s=10.0)

    assert str(draw(timeline, width=45, is_unicode=False)[1]).endswith("  # ==================")


def test_empty_timeline_is_drawn() -> None:
    assert len(draw(Timeline(slots=(), bars=(), makespan_s=0.0), width=80, is_unicode=True)) == 1


def test_chips_are_named_by_ranges() -> None:
    assert chip_ranges((8, 1, 2, 0, 5, 6)) == "0-2,5-6,8"
