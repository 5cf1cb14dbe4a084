"""The real ttnn, shown a slot of a Galaxy as a worker on hardware is, opens the slot's mesh and no larger one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.fidelity.libraries import wheel_is_here

OPENS = """
    import os, sys
    from pathlib import Path
    from meshsweep import backends, loader
    from meshsweep.backends import cluster
    from meshsweep.backends.mock import MockBackend
    from meshsweep.machines import descriptor
    from meshsweep.planning.slots import Slot

    matrix = loader.load(Path(sys.argv[1]))
    whole, mesh = matrix.meshes["4x8"], matrix.meshes[sys.argv[2]]
    host = descriptor.read(cluster.describe(whole.shape), name="galaxy", where="here")
    backend = MockBackend(matrix.environments["mock"])
    backend.activate(None, [whole])
    chips = host.placements(mesh.shape)[int(sys.argv[3])]
    backend.confine(Slot(name="galaxy.0", machine="galaxy", chips=chips, mesh=mesh.name), [mesh], host)
    import ttnn

    seen = ttnn.get_num_devices()
    device = backend.open(mesh)
    wrong = backends.mismatch(backend, device, mesh)
    backend.close(device)
    try:
        backend.open(whole)
        wrong = "a larger mesh opens too"
    except RuntimeError:
        pass
    print("\\n" + str((seen, wrong)))
"""


@pytest.mark.skipif(not wheel_is_here(), reason="needs the real ttnn: nox -s fidelity")
@pytest.mark.parametrize(("mesh", "place"), [("1x1", 5), ("1x4", 2), ("1x8", 3), ("4x4", 1)])
def test_slot_of_a_galaxy_opens_its_mesh(mesh: str, place: int, tmp_path: Path) -> None:
    """Where, is said by bus index; which mesh, by a graph descriptor of our own: without it 1x4 is a 4x1."""
    matrix = Path(__file__).parents[2] / "matrix"
    done = subprocess.run(
        [sys.executable, "-c", dedent(OPENS), str(matrix), mesh, str(place)],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    rows, cols = map(int, mesh.split("x"))
    assert done.stdout.splitlines()[-1:] == [str((rows * cols, None))], done.stderr[-2000:]
