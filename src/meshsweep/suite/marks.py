"""The mark that names the meshes a test runs on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

__all__ = ["MARK", "parametrize_mesh"]

MARK = "meshes"


def parametrize_mesh(meshes: str | Sequence[str | tuple[int, int]] | None = None) -> pytest.MarkDecorator:
    """Mark a test to run on meshes such as ``["1x8", "4x4"]`` or ``[(1, 8)]``.

    Without an argument it runs on every mesh of the matrix. The mesh, dtype and scale
    themselves are chosen by the command: see ``meshsweep.plugin``.
    """
    if meshes is not None and not meshes:
        raise ValueError("parametrize_mesh names no mesh; call it without an argument for every mesh")
    if isinstance(meshes, str):
        meshes = [meshes]
    names = [mesh if isinstance(mesh, str) else "x".join(map(str, mesh)) for mesh in meshes or ()]
    return getattr(pytest.mark, MARK)(*names)  # type: ignore[no-any-return]
