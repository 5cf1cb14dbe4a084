"""Find out which machine this host is: from a cluster descriptor, or by asking its chips."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from meshsweep.errors import InfraError, UserError
from meshsweep.machines import descriptor
from meshsweep.machines.machine import Machine

__all__ = ["DETECT", "VARIABLE", "detect", "is_asked"]

#: The name that asks for detection in place of a table of ``matrix/machines.toml``.
DETECT = "detect"
#: Names a cluster descriptor where no option does.
VARIABLE = "MESHSWEEP_CLUSTER_DESCRIPTOR"


def is_asked(machine: str) -> bool:
    """Return whether ``--machine`` names a descriptor, or asks for detection."""
    return machine == DETECT or Path(machine).suffix in (".yaml", ".yml")


def detect(
    machine: str, *, file: str | None, environ: Mapping[str, str], live: Callable[[], str] | None = None
) -> Machine:
    """Return the machine of a descriptor, of this host where no file is named.

    Raises UserError for a file that cannot be read or is no descriptor, InfraError where
    the host cannot be asked.
    """
    given = machine if machine != DETECT else file or environ.get(VARIABLE)
    if not given:
        return descriptor.read((live or _live)(), name="detected", where="this host")
    try:
        text = Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{given}: unreadable cluster descriptor: {error}") from error
    return descriptor.read(text, name="detected", where=given)


def _live() -> str:
    """Return the descriptor of this host's chips; looking opens them for a moment."""
    try:
        import tt_umd
    except ImportError:
        raise InfraError(
            "--machine detect: asking the chips needs the package tt-umd; install it, name a file with "
            "--cluster-descriptor, or name a machine of matrix/machines.toml"
        ) from None
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "cluster.yaml"
        try:
            tt_umd.TopologyDiscovery.create_cluster_descriptor().serialize_to_file(str(path))
            return path.read_text(encoding="utf-8")
        except (OSError, RuntimeError) as error:
            raise InfraError(f"--machine detect: tt-umd cannot describe this host: {error}") from error
