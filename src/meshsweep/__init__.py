"""A test matrix for distributed mixture-of-experts models on device meshes.

PYTEST_DONT_REWRITE
"""

# That word tells pytest to leave our asserts as they are: workers are forked with our modules imported.

from __future__ import annotations

__all__ = ["__version__", "declare_sessions", "parametrize_mesh"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # Both doors open late: a noxfile runs where pytest is missing, a test run where nox is.
    if name == "declare_sessions":
        from meshsweep.sessions import declare_sessions

        return declare_sessions
    if name == "parametrize_mesh":
        from meshsweep.suite.marks import parametrize_mesh

        return parametrize_mesh
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
