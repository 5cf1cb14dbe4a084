"""Draw a timeline as lines of text: a row for each slot, its tests against time."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from meshsweep.dispatch import Bar, Timeline
from meshsweep.planning.slots import Slot

__all__ = ["chip_ranges", "draw"]

#: What opening, a test and the test after it look like, in Unicode and in ASCII.
_SIGNS = {True: ("░", "█", "▓"), False: (".", "#", "=")}
_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "red", "bright_cyan", "bright_green")
_NARROWEST = 20


def draw(timeline: Timeline, *, width: int, is_unicode: bool) -> list[Text]:
    """Return a line for each slot in the order of opening, below a line that tells the time."""
    labels = _aligned([_label(slot) for slot in timeline.slots])
    room = max(_NARROWEST, width - max(map(len, labels), default=0) - 4)
    bars: dict[str, list[Bar]] = {}
    for bar in timeline.bars:
        bars.setdefault(bar.slot, []).append(bar)
    meshes = list(dict.fromkeys(slot.mesh for slot in timeline.slots))
    lines = [Text(f"  {'':{len(labels[0]) if labels else 0}}  {_scale(timeline.makespan_s, room)}".rstrip())]
    for slot, label in zip(timeline.slots, labels, strict=True):
        row = _row(bars[slot.name], room / max(timeline.makespan_s, 1e-9), room, is_unicode=is_unicode)
        line = Text(f"  {label}  ")
        line.append(row, style=_COLOURS[meshes.index(slot.mesh) % len(_COLOURS)])
        lines.append(line)
    return lines


def chip_ranges(chips: Sequence[int]) -> str:
    """Return chips as ``0-3,8``, in order of their numbers."""
    parts: list[list[int]] = []
    for chip in sorted(chips):
        if parts and parts[-1][-1] == chip - 1:
            parts[-1].append(chip)
        else:
            parts.append([chip])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _label(slot: Slot) -> tuple[str, str, str]:
    return slot.name, slot.mesh or "", f"chips {chip_ranges(slot.chips)}" if slot.chips else ""


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{part:{width}}" for part, width in zip(row, widths, strict=True) if width) for row in rows]


def _row(bars: Sequence[Bar], per_s: float, room: int, *, is_unicode: bool) -> str:
    """Return the bars of a slot; even the shortest test has a place, unless others need it."""
    opening, *tests = _SIGNS[is_unicode]
    row = [" "] * room
    number = 0
    for bar in bars:
        start = min(int(bar.start_s * per_s), room - 1)
        end = max(start + 1, min(round(bar.end_s * per_s), room)) if bar.task else min(round(bar.end_s * per_s), room)
        row[start:end] = (opening if bar.task is None else tests[number % 2]) * (end - start)
        number += bar.task is not None
    return "".join(row[:room]).rstrip()


def _scale(total_s: float, room: int) -> str:
    """Return the time at the left end, the middle and the right end."""
    left, middle, right = "0 s", _time(total_s / 2), _time(total_s)
    line = f"{left}{middle:>{room // 2 - len(left)}}"
    return f"{line}{right:>{room - len(line)}}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
