"""The pytest plugin: cells, meshes and seeds for tests; one place where its parts are joined.

Outside a project with a ``matrix/`` folder it does nothing.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from meshsweep import backends, loader, selection
from meshsweep.cell import Cell
from meshsweep.errors import InfraError, UserError
from meshsweep.leases import place
from meshsweep.leases.use import Terms, Use
from meshsweep.matrix import Environment, Floor, Matrix
from meshsweep.planning import plan
from meshsweep.planning.slots import Slot
from meshsweep.record.rundir import RunDir
from meshsweep.results.ledger import MEASURE
from meshsweep.results.outcome import INFRA
from meshsweep.suite.expansion import Expander
from meshsweep.suite.marks import MARK
from meshsweep.suite.meshpool import MeshPool
from meshsweep.suite.seeds import seed_everything, seed_of

if TYPE_CHECKING:
    from meshsweep.workers.zygote import Zygote

__all__: list[str] = []

# Prefixed, since every pytest of this environment gets them: a bare --dtype is for projects to have.
_AXES = {
    "--sweep-mesh": "run on this mesh only, such as 1x8",
    "--sweep-dtype": "run in this dtype only, such as bfloat8_b",
    "--sweep-scale": "run at this model scale only, such as tiny",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What this pytest process runs: the matrix, the cells, the environment."""

    matrix: Matrix
    cells: tuple[Cell, ...]
    unmarked: tuple[Cell, ...]
    environment: str
    rundir: RunDir | None
    wave: plan.Wave | None
    keeps_meshless: bool


SWEEP = pytest.StashKey[Sweep]()
POOL = pytest.StashKey[MeshPool]()
#: Kept, since chips are held as long as it lives.
USE = pytest.StashKey[Use]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("meshsweep", "meshes, dtypes and model scales")
    for name, text in _AXES.items():
        group.addoption(name, action="append", default=[], metavar="NAME", help=text)
    group.addoption("--sweep-tier", metavar="NAME", help="run the cells of this tier of matrix/tiers.toml")
    group.addoption("--sweep-seed", type=_whole, default=0, metavar="N", help="draw other inputs: part of every seed")
    group.addoption(MEASURE, action="store_true", help="hold no comparison to its floor, only record its numbers")
    group.addoption("--sweep-matrix", metavar="DIR", help="where the matrix files are (default: ROOTDIR/matrix)")
    group.addoption("--meshsweep-run", metavar="DIR", help="run directory; set by `meshsweep run`")
    group.addoption("--meshsweep-wave", metavar="NAME", help="wave of that run; set by `meshsweep run`")


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}(*names): the meshes that a test runs on; none: all of them")
    given = config.getoption("--sweep-matrix")
    directory = Path(given or config.rootpath / "matrix")
    if not given and not (directory / "defaults.toml").exists():
        return
    # Torch reads this when it is imported: two threads per worker make a busy machine 10 to 100 times slower.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        sweep = _sweep(config, loader.load(directory))
        _join(config, sweep)
    except UserError as error:
        raise pytest.UsageError(str(error)) from error


def _sweep(config: pytest.Config, matrix: Matrix) -> Sweep:
    if run := config.getoption("--meshsweep-run"):
        rundir = RunDir(Path(run))
        made = plan.read(rundir.plan)
        # The host may have been detected: then no file declares it.
        matrix = replace(matrix, machines={**matrix.machines, made.machine: made.host})
        wave = next(wave for wave in made.waves if wave.name == config.getoption("--meshsweep-wave"))
        return Sweep(
            matrix=matrix,
            cells=wave.cells,
            unmarked=wave.cells,
            environment=made.environment,
            rundir=rundir,
            wave=wave,
            # Once per run is enough for a test that asks for no mesh.
            keeps_meshless=wave == made.waves[0],
        )
    return _bare_sweep(config, matrix)


def _bare_sweep(config: pytest.Config, matrix: Matrix) -> Sweep:
    """Return the cells of a plain pytest run: every mesh, one dtype, one scale."""
    tier = config.getoption("--sweep-tier", None)
    chosen = selection.Selection(
        tier=tier or matrix.defaults.tier,
        environment=matrix.defaults.environment,
        machine=matrix.defaults.machine,
        meshes=tuple(_named(config, "--sweep-mesh") or (() if tier else matrix.meshes)),
        dtypes=tuple(_named(config, "--sweep-dtype") or (() if tier else [matrix.defaults.dtype])),
        scales=tuple(_named(config, "--sweep-scale") or (() if tier else [matrix.defaults.scale])),
    )
    cells = selection.expand(matrix, chosen).cells
    default_mesh = [cell for cell in cells if cell.mesh == matrix.defaults.mesh]
    narrowed = _named(config, "--sweep-mesh") or tier
    return Sweep(
        matrix=matrix,
        cells=cells,
        unmarked=cells if narrowed else tuple(default_mesh),
        environment=chosen.environment,
        rundir=None,
        wave=None,
        keeps_meshless=True,
    )


def _named(config: pytest.Config, option: str) -> list[str]:
    value = config.getoption(option, None)
    return value if isinstance(value, list) else []


def _join(config: pytest.Config, sweep: Sweep) -> None:
    """Register the parts that this process needs: controller, worker, or both in one."""
    config.stash[SWEEP] = sweep
    expander = Expander(
        sweep.matrix,
        sweep.cells,
        unmarked=sweep.unmarked,
        environment=sweep.environment,
        keeps_meshless=sweep.keeps_meshless,
    )
    config.pluginmanager.register(expander)
    backend = backends.get(sweep.matrix.environments[sweep.environment])
    is_worker = hasattr(config, "workerinput")
    # xdist stands aside where tests are only collected.
    distributes = bool(config.getoption("tx", None)) and not config.option.collectonly
    is_controller = sweep.rundir is not None and not is_worker
    # First of all: this process may have to wait for chips.
    zygote = _begin(config, sweep, backend, forks=distributes and backend.forks) if is_controller else None
    if is_worker or not distributes:
        _join_worker(config, sweep, backend)
    if sweep.rundir is not None and not is_worker:
        _join_controller(config, sweep, sweep.rundir, distributes=distributes, zygote=zygote)


def _begin(
    config: pytest.Config, sweep: Sweep, backend: backends.Backend, *, forks: bool
) -> Zygote | InfraError | None:
    """Tie this process to its command; return the process to fork workers from, where that is done."""
    from meshsweep.workers import headstart
    from meshsweep.workers.nursery import PARENT, die_with

    # A command that is killed leaves nothing behind: this process goes with it, its workers go with this process.
    die_with(int(os.environ.pop(PARENT, os.getppid())))
    found = headstart.claim(config, is_needed=forks)
    if found is not None and not isinstance(found, InfraError):
        # It imports while this process goes on.
        found.preload(sweep.matrix.environments[sweep.environment].preload, backend.variables)
    return found


def _join_controller(
    config: pytest.Config, sweep: Sweep, rundir: RunDir, *, distributes: bool, zygote: Zygote | InfraError | None
) -> None:
    assert sweep.wave is not None
    from meshsweep.control.controller import Controller
    from meshsweep.control.distribution import Distribution
    from meshsweep.record import leftover

    reruns = 0 if config.option.collectonly else leftover.begun(rundir).reruns
    controller = Controller(config, rundir, sweep.wave, reruns=reruns if distributes else 0)
    if reruns and not distributes:
        controller.log.write("note", text="without workers no test runs again: reruns have no effect")
    config.pluginmanager.register(controller, "meshsweep-controller")
    if distributes:
        distribution = Distribution(controller, sweep.matrix, plan.read(rundir.plan), zygote=zygote)
        config.pluginmanager.register(distribution, "meshsweep-distribution")


def _join_worker(config: pytest.Config, sweep: Sweep, backend: backends.Backend) -> None:
    from meshsweep.suite import worker
    from meshsweep.suite.leave import Leave

    slot = _slot(config, sweep)
    _hold_chips(config, sweep, backend, slot)
    meshes = [sweep.matrix.meshes[name] for name in dict.fromkeys(cell.mesh for cell in sweep.cells)]
    backend.activate(slot, meshes, sweep.matrix.machines.get(slot.machine) if slot is not None else None)
    config.stash[POOL] = MeshPool(backend)
    worker.join(config, sweep.rundir, sweep.wave)
    if sweep.rundir is not None and sweep.rundir.events.exists():
        alone = not hasattr(config, "workerinput")
        config.pluginmanager.register(Leave(sweep.rundir, sweep.environment, is_alone=alone))


def _hold_chips(config: pytest.Config, sweep: Sweep, backend: backends.Backend, slot: Slot | None) -> None:
    """Hold the chips of this process before it opens any, until it dies; a run without workers leases them itself."""
    if slot is None or not slot.chips or config.option.collectonly:
        return
    told = getattr(config, "workerinput", {})
    log = place.log(os.environ)
    if "lease" in told:
        config.stash[USE] = Terms.from_json(told["lease"]).use(log=log)
    elif sweep.rundir is not None:
        from meshsweep.leases.pool import Leases, wait

        leases = Leases(place.find(os.environ), backend.inventory(slot.machine), sweep.rundir.path.name, log=log)
        leased = sweep.matrix.machines[slot.machine].leased_with(slot.chips)
        lease = wait(leases, leased, tell=lambda text: print(f"meshsweep: {text}"))  # noqa: T201
        config.stash[USE] = lease.terms.use(log=log)


def _slot(config: pytest.Config, sweep: Sweep) -> Slot | None:
    """Return the slot of this process; a worker may have none, and then only collects."""
    told = getattr(config, "workerinput", {})
    if sweep.rundir is not None and "slot" in told:
        return Slot.from_json(told["slot"]) if told["slot"] else None
    return sweep.wave.alone if sweep.wave else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    pool = session.config.stash.get(POOL, None)
    if pool is not None:
        pool.close()


@pytest.fixture(scope="session")
def matrix(request: pytest.FixtureRequest) -> Matrix:
    """Return the declared matrix."""
    sweep = request.config.stash.get(SWEEP, None)
    if sweep is None:
        pytest.fail(f"no matrix in {request.config.rootpath}; add matrix/ or use --sweep-matrix", pytrace=False)
    return sweep.matrix


@pytest.fixture(scope="session")
def environment(request: pytest.FixtureRequest, matrix: Matrix) -> Environment:
    """Return the environment that the tests run in."""
    return matrix.environments[request.config.stash[SWEEP].environment]


@pytest.fixture(scope="session")
def cell(request: pytest.FixtureRequest) -> Cell:
    """Return the cell that this test runs in."""
    if not hasattr(request, "param"):
        pytest.fail(f"no matrix in {request.config.rootpath}; add matrix/ or use --sweep-matrix", pytrace=False)
    found = request.param
    assert isinstance(found, Cell)
    return found


@pytest.fixture
def floor(request: pytest.FixtureRequest, matrix: Matrix, cell: Cell) -> Callable[[str], Floor]:
    """Return the function that tells the floor of a component in this cell; while measuring, one that all pass."""
    if request.config.getoption(MEASURE):
        return lambda component: Floor.open(component, cell)
    return lambda component: matrix.floor(component, cell)


@pytest.fixture
def mesh_device(
    request: pytest.FixtureRequest,
    matrix: Matrix,
    cell: Cell,
) -> Iterator[Any]:
    """Yield an open device of the cell's mesh, kept open for the next test of the same mesh."""
    pool = request.config.stash[POOL]
    record = request.node.user_properties
    try:
        device, opened_s = pool.get(matrix.meshes[cell.mesh])
    except Exception:
        record.append((INFRA, f"mesh {cell.mesh} did not open"))
        raise
    if opened_s is not None:
        record.append(("mesh_open_s", round(opened_s, 6)))
    failures = request.session.testsfailed
    yield device
    # A failed test may leave anything on the devices: the next one gets a fresh mesh.
    if request.session.testsfailed > failures:
        pool.close()


@pytest.fixture
def reset_seeds(request: pytest.FixtureRequest) -> int:
    """Seed every generator from the test's id and --sweep-seed, and record the seed."""
    seed = seed_of(request.node.nodeid, request.config.getoption("--sweep-seed"))
    seed_everything(seed)
    # Not through record_property, which warns where the user has pytest write JUnit.
    request.node.user_properties.append(("seed", seed))
    return seed
