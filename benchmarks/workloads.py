"""Make up sweeps: tests of several meshes with durations that have a long tail."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from meshsweep.dispatch import Task
from meshsweep.machines import Machine
from meshsweep.shape import MeshShape

__all__ = ["DURATIONS", "OPEN_S", "Sweep", "long_tail", "sweep"]

#: What opening a mesh with its fabric takes: a few seconds, which is why reopening for each test hurts.
OPEN_S = 5.0

_MESHES = {"galaxy": ("1x1", "1x2", "1x4", "1x8", "2x4", "4x4", "4x8"), "t3k": ("1x1", "1x2", "1x4", "1x8", "2x4")}
_DTYPES = ("bfloat16", "bfloat8_b", "bfloat4_b")
#: Scale, and the bytes of host memory that its tests claim.
_SCALES = (("tiny", 0), ("gpt-oss-20b", 1_500_000_000), ("gpt-oss-120b", 3_000_000_000))
_MEMORY_BYTES = 48_000_000_000
#: Relative lengths in GPT-OSS's suite: decode of 1 and 128 users, prefill of 128, 1,024 and 4,096 tokens.
_CASES = (1.0, 2.0, 1.0, 3.0, 8.0)
#: 64 cases in 11.4 minutes at 20B, in 25 minutes at 120B.
_MEAN_S = {"tiny": 2.0, "gpt-oss-20b": 10.7, "gpt-oss-120b": 23.4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Tests, what each of them takes by index, and where they run."""

    machine: Machine
    meshes: dict[str, MeshShape]
    tasks: tuple[Task, ...]
    seconds: dict[int, float]
    memory_bytes: int | None
    workers: int | None = None
    open_s: float = OPEN_S

    def forgotten(self) -> Sweep:
        """Return the same sweep without a history."""
        return replace(self, tasks=tuple(replace(task, expected_s=None) for task in self.tasks))


def _lognormal(draw: random.Random, scale: str) -> float:
    return draw.lognormvariate(2.0, 1.0)


def _pareto(draw: random.Random, scale: str) -> float:
    return min(3.0 * draw.paretovariate(1.5), 600.0)


def _suite(draw: random.Random, scale: str) -> float:
    share = draw.choice(_CASES) / (sum(_CASES) / len(_CASES))
    return _MEAN_S[scale] * share * draw.uniform(0.7, 1.3)


DURATIONS: dict[str, Callable[[random.Random, str], float]] = {
    "lognormal": _lognormal,
    "pareto": _pareto,
    "tt-metal": _suite,
}


def sweep(machine: Machine, durations: str, tests: int, seed: int) -> Sweep:
    """Return a sweep of so many tests; how they spread over the meshes is drawn as well."""
    draw = random.Random(f"{machine.name} {durations} {tests} {seed}")
    meshes = _MESHES[machine.name]
    weights = [draw.expovariate(1.0) for _ in meshes]
    tasks = [_task(index, draw, durations, draw.choices(meshes, weights)[0]) for index in range(tests)]
    return Sweep(
        machine=machine,
        meshes={mesh: MeshShape.parse(mesh) for mesh in meshes},
        tasks=tuple(tasks),
        seconds={task.index: task.expected_s or 0.0 for task in tasks},
        memory_bytes=_MEMORY_BYTES,
    )


def _task(index: int, draw: random.Random, durations: str, mesh: str) -> Task:
    scale, memory_bytes = draw.choice(_SCALES)
    group = f"{mesh}-{draw.choice(_DTYPES)}-{scale}"
    seconds = DURATIONS[durations](draw, scale)
    return Task(index=index, group=group, mesh=mesh, expected_s=seconds, memory_bytes=memory_bytes)


def long_tail(virtual: Machine, *, seed: int) -> Sweep:
    """Return 62 tests of 25.6 s in all for 4 workers, most of them short, in a drawn order."""
    draw = random.Random(seed)
    times = [0.1] * 50 + [1.0] * 8 + [3.15] * 4
    draw.shuffle(times)
    tasks = [Task(index=index, group="a", mesh="1x1", expected_s=time) for index, time in enumerate(times)]
    return Sweep(
        machine=virtual,
        meshes={"1x1": MeshShape(rows=1, cols=1)},
        tasks=tuple(tasks),
        seconds=dict(enumerate(times)),
        memory_bytes=None,
        workers=4,
        open_s=0.0,
    )
