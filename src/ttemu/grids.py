"""Take cores one by one from sets of rectangles, column by column or row by row."""

from __future__ import annotations

from ttemu.cores import CoreCoord, CoreRange, CoreRangeSet

__all__ = ["corerange_to_cores", "num_cores_to_corerangeset_in_subcoregrids"]


def _cores(item: CoreRange, row_wise: bool) -> list[CoreCoord]:
    columns, rows = range(item.start.x, item.end.x + 1), range(item.start.y, item.end.y + 1)
    if row_wise:
        return [CoreCoord(x, y) for y in rows for x in columns]
    return [CoreCoord(x, y) for x in columns for y in rows]


def corerange_to_cores(
    core_range_set: CoreRangeSet, max_cores: int | None = None, row_wise: bool = False
) -> list[CoreCoord]:
    """Return the cores of a set of rectangles one by one, column by column or ``row_wise``."""
    return [core for item in core_range_set.ranges() for core in _cores(item, row_wise)][:max_cores]


def _lines(cores: list[CoreCoord], row_wise: bool) -> list[CoreRange]:
    """Join neighbours of one row (or column) into ranges."""
    found: list[CoreRange] = []
    for core in cores:
        last = found[-1] if found else None
        step = (core.x - last.end.x, core.y - last.end.y) if last else None
        if last and step == ((1, 0) if row_wise else (0, 1)):
            found[-1] = CoreRange(last.start, core)
        else:
            found.append(CoreRange(core, core))
    return found


def _blocks(lines: list[CoreRange], row_wise: bool) -> list[CoreRange]:
    """Join rows (or columns) of one length that lie side by side."""
    found: list[CoreRange] = []
    for line in lines:
        last = found[-1] if found else None
        if last and row_wise:
            fits = (last.start.x, last.end.x, last.end.y + 1) == (line.start.x, line.end.x, line.start.y)
        elif last:
            fits = (last.start.y, last.end.y, last.end.x + 1) == (line.start.y, line.end.y, line.start.x)
        if last and fits:
            found[-1] = CoreRange(last.start, line.end)
        else:
            found.append(line)
    return found


def num_cores_to_corerangeset_in_subcoregrids(
    start_core: CoreCoord, target_num_cores: int, sub_core_grids: CoreRangeSet, row_wise: bool = False
) -> CoreRangeSet:
    """Return ``target_num_cores`` cores of a set of rectangles, from ``start_core`` on."""
    found: list[CoreRange] = []
    left, started = target_num_cores, False
    for item in sub_core_grids.ranges():
        cores = _cores(item, row_wise)
        if not started and start_core not in cores:
            continue
        taken = cores[0 if started else cores.index(start_core) :][:left]
        started = True
        found += _blocks(_lines(taken, row_wise), row_wise)
        left -= len(taken)
    if not started:
        raise RuntimeError(f"Start core {start_core} must be inside sub_core_grids {sub_core_grids}")
    if left:
        raise RuntimeError(
            f"Target number of cores {target_num_cores} is greater than total available cores "
            f"{target_num_cores - left} of {sub_core_grids} from {start_core} on"
        )
    return CoreRangeSet(found)
