"""Put random calls of every op to the emulator and to the golden function that ttnn itself compares devices with.

A golden function is plain torch without a device, so this runs wherever the real wheel is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from tests.fidelity import goldens_eltwise, goldens_mesh, goldens_numbers, goldens_places, goldens_shape
from tests.fidelity.goldens_absent import BORROWED
from tests.fidelity.goldens_case import DEVICES, Call, Draw, compare, emulate, expect
from tests.fidelity.libraries import Libraries, load
from tests.fidelity.tally import Row, Tally

__all__ = ["BUILDERS", "REFUSED", "find", "golden_of", "opened", "run", "run_mesh_op", "run_op"]

BUILDERS: dict[str, Callable[[Draw], Call]] = {
    **goldens_eltwise.BUILDERS,
    **goldens_numbers.BUILDERS,
    **goldens_places.BUILDERS,
    **goldens_shape.BUILDERS,
}
"""How the calls of each op of a single device are drawn."""
REFUSED = "the emulator refuses the call; whether ttnn does so too is compared among the calls"
_LEAST = 10


def run(cases: int = 2000, seed: int = 0) -> list[Row]:
    """Compare at least ``cases`` calls, equally many of each op, and report one row per op."""
    libraries = load()
    share = max(_LEAST, -(-cases // (len(BUILDERS) + len(goldens_mesh.RUNNERS))))
    with opened(libraries.emulated, (1, DEVICES)) as mesh:
        rows = [run_op(libraries, mesh, op, share, seed) for op in BUILDERS]
    rows += [run_mesh_op(libraries, op, share, seed) for op in goldens_mesh.RUNNERS]
    return sorted(rows, key=lambda row: row.name)


@contextmanager
def opened(library: ModuleType, shape: tuple[int, int]) -> Iterator[Any]:
    """Open a mesh of the emulator that can run collectives."""
    library.set_fabric_config(library.FabricConfig.FABRIC_1D)
    mesh = library.open_mesh_device(library.MeshShape(*shape))
    try:
        yield mesh
    finally:
        library.close_mesh_device(mesh)
        library.set_fabric_config(library.FabricConfig.DISABLED)


def find(library: ModuleType, op: str) -> Any:
    """Return the op of a dotted name."""
    value: Any = library
    for name in op.split("."):
        value = getattr(value, name)
    return value


def golden_of(libraries: Libraries, op: str) -> Callable[..., Any] | None:
    """Return ttnn's golden function of an op, or of one that computes the same, or None."""
    try:
        name = BORROWED.get(op, op)
        golden: Callable[..., Any] = libraries.real.get_golden_function(find(libraries.real, name))
    except (AttributeError, RuntimeError):
        return None
    return golden


def _golden(libraries: Libraries, op: str) -> Callable[..., Any]:
    golden = golden_of(libraries, op)
    if golden is None:
        raise RuntimeError(f"{op}: ttnn has no golden function for it")
    return golden


def run_op(libraries: Libraries, mesh: Any, op: str, cases: int, seed: int) -> Row:
    """Compare ``cases`` random calls of one op of a single device."""
    golden = _golden(libraries, op)
    tally = Tally(op)
    for number in range(cases):
        call = BUILDERS[op](Draw(f"{seed}/{op}/{number}"))

        def compared(call: Call = call) -> tuple[int, str | None]:
            results, seen = emulate(libraries.emulated, mesh, find(libraries.emulated, op), call)
            misses = [
                compare(device, expect(libraries.real, golden, call, given), call)
                for device, given in zip(results, seen, strict=True)
            ]
            elements = sum(values.numel() for device in results for values, _ in device)
            return elements, next((miss for miss in misses if miss is not None), None)

        _count(tally, f"{op} #{number} {call.text}".strip(), compared, call.excuse)
    return _row(tally)


def run_mesh_op(libraries: Libraries, op: str, cases: int, seed: int) -> Row:
    """Compare ``cases`` random calls of one op of several devices."""
    tally, golden, function = Tally(op), _golden(libraries, op), find(libraries.emulated, op)
    shapes = goldens_mesh.MESHES[:1] if op in goldens_mesh.ON_A_LINE else goldens_mesh.MESHES
    for shape in shapes:
        with opened(libraries.emulated, shape) as mesh:
            for number in range(-(-cases // len(shapes))):
                draw = Draw(f"{seed}/{op}/{shape}/{number}")
                setting = goldens_mesh.Setting(libraries=libraries, mesh=mesh, golden=golden, draw=draw, op=function)

                def compared(setting: goldens_mesh.Setting = setting) -> tuple[int, str | None]:
                    results, wanted, call = goldens_mesh.RUNNERS[op](setting)
                    miss = compare(results, wanted, call)
                    return sum(values.numel() for values, _ in results), miss and f"{call.text}: {miss}"

                _count(tally, f"{op} #{number} on {shape[0]}x{shape[1]}", compared, None)
    return _row(tally)


def _row(tally: Tally) -> Row:
    """Return the counts; where most calls are refused there is nothing to see of the op's numbers."""
    refused, row = tally.exceptions[REFUSED], tally.row()
    if refused > row.cases // 2:
        tally.differ(f"{tally.name}: {refused} of {row.cases} calls are refused", 0)
    return tally.row()


def _count(tally: Tally, text: str, compared: Callable[[], tuple[int, str | None]], excuse: str | None) -> None:
    try:
        elements, missed = compared()
    except Exception as error:  # noqa: BLE001 - whatever either of them raises is a difference, but for a refusal
        elements, missed = 0, f"raises {type(error).__name__} ({' '.join(str(error).split())[:200]})"
        names = (f"ttnn.{tally.name}:", f"ttnn.{tally.name.rsplit('.', 1)[-1]}:")
        if isinstance(error, RuntimeError) and str(error).startswith(names):
            excuse = REFUSED
    if missed is None:
        tally.agree(elements)
    elif excuse is not None:
        tally.excuse(excuse, elements)
    else:
        tally.differ(f"{text}: {missed}", elements)
