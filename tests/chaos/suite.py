"""Draw a suite from a seed: tests of which it is known beforehand what becomes of each when nobody disturbs it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["DEADLINE_S", "MESHES", "OPEN_S", "Design", "draw", "source"]

#: The meshes of a sweep on each machine, and how often each is drawn.
MESHES = {
    "galaxy": {"1x1": 4, "1x2": 4, "1x8": 4, "2x4": 3, "4x4": 2, "4x8": 1},
    "t3k": {"1x1": 4, "1x2": 4, "1x4": 3, "2x4": 1, "1x8": 1},
}

#: What tests do besides passing, and how many of a sweep do it.
_MISFITS = {
    "fail": (1, 2),
    "skip": (1, 1),
    "xfail": (1, 1),
    "flaky": (1, 2),
    "setup": (0, 1),
    "teardown": (0, 1),
}

#: What ends a worker: each costs a probe and a new worker, so a sweep has two of them at most.
_DEADLY = ("kill", "fault", "sleep", "native")

#: After so many seconds a test counts as hanging; so many more if it may have to open its mesh.
DEADLINE_S = 1.2
OPEN_S = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A test: its name, its mesh ("" for none), what it does, and how long it takes in seconds."""

    name: str
    mesh: str
    does: str
    takes_s: float

    @property
    def test(self) -> str:
        """Its node id."""
        cell = f"[{self.mesh}-bfloat16-tiny]" if self.mesh else ""
        return f"tests/unit/test_suite.py::{self.name}{cell}"


def draw(seed: int, machine: str) -> tuple[Design, ...]:
    """Return the tests of a sweep: 20 to 60, most of a few milliseconds, some of up to 0.3 s."""
    rng = random.Random(f"suite {machine} {seed}")
    meshes = MESHES[machine]
    chosen = rng.sample(list(meshes), k=rng.randint(2, 3))
    weights = [meshes[mesh] for mesh in chosen]
    does = [word for word, (least, most) in _MISFITS.items() for _ in range(rng.randint(least, most))]
    does += rng.sample(_DEADLY, k=rng.choice([0, 1, 1, 2]))
    does += ["pass"] * (max(rng.randint(20, 60), len(does) + 8) - len(does))
    rng.shuffle(does)
    return tuple(
        Design(
            name=f"test_{number:02}_{word}",
            # One in twenty asks for no mesh.
            mesh="" if rng.random() < 0.05 else rng.choices(chosen, weights)[0],
            does=word,
            takes_s=round(min(0.004 * rng.paretovariate(0.7), 0.3), 4),
        )
        for number, word in enumerate(does)
    )


_HEAD = '''\
"""A suite that was drawn."""

import ctypes, json, os, pytest, signal, time
from meshsweep import parametrize_mesh


def begin(test):
    """Note down, where nobody of meshsweep's writes, that a test has begun."""
    line = json.dumps({"test": test, "pid": os.getpid(), "t": time.time()})
    file = os.open(os.environ["CHAOS_STARTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"\\n" + line.encode() + b"\\n")
    os.close(file)


def play(request, does, takes_s):
    request.node.user_properties.append(("pcc.mlp", 1 - takes_s / 10))
    time.sleep(takes_s)
    if does == "fail":
        print("said before it fails")
        assert does == "pass", "fails by design"
    if does == "xfail":
        assert does == "pass"
    if does == "skip":
        pytest.skip("skipped by design")
    if does == "flaky":
        try:
            os.close(os.open(f"once-{request.node.name}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        raise ValueError("fails once by design")
    if does == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "fault":
        ctypes.string_at(0)
    if does == "sleep":
        time.sleep(3600)
    if does == "native":
        # Deaf to signals, with the interpreter's lock held.
        lock = ctypes.create_string_buffer(128)
        ctypes.PyDLL(None).pthread_mutex_lock(lock)
        ctypes.PyDLL(None).pthread_mutex_lock(lock)


@pytest.fixture
def begun(request):
    begin(request.node.nodeid)
    assert "setup" not in request.node.name, "fails in its setup by design"
    yield
    assert "teardown" not in request.node.name, "fails in its teardown by design"
'''


def source(designs: Iterable[Design]) -> str:
    """Return the test file."""
    return _HEAD + "".join(_function(design) for design in designs)


def _function(design: Design) -> str:
    marks = f'@parametrize_mesh("{design.mesh}")\n' if design.mesh else ""
    marks += "@pytest.mark.xfail(reason='by design')\n" * (design.does == "xfail")
    # It is noted before the mesh is opened: what dies or hangs there has begun too.
    fixtures = "begun, mesh_device, request" if design.mesh else "begun, request"
    return f"\n\n{marks}def {design.name}({fixtures}):\n    play(request, {design.does!r}, {design.takes_s})\n"
