"""Describe the mesh of a slot for ttnn, which knows the meshes of whole machines only.

A process that sees some chips of a host takes them for a machine of its own kind, whose mesh it must be told
(``TT_MESH_GRAPH_DESC_PATH``).
"""

from __future__ import annotations

from meshsweep.shape import MeshShape

__all__ = ["describe"]

#: Chips of a machine that has more links between neighbours than boards in a chassis have.
_GALAXY = 32


def describe(shape: MeshShape, *, arch: str, machine_chips: int) -> str:
    """Return the mesh graph descriptor of a mesh on a part of a machine with ``machine_chips`` chips."""
    return f"""\
mesh_descriptors {{
  name: "slot"
  arch: {arch.upper()}
  device_topology {{ dims: [ {shape.rows}, {shape.cols} ] }}
  host_topology {{ dims: [ 1, 1 ] }}
  channels {{ count: {_links(shape, arch, machine_chips)} policy: RELAXED }}
}}

top_level_instance {{ mesh {{ mesh_descriptor: "slot" mesh_id: 0 }} }}
"""


def _links(shape: MeshShape, arch: str, machine_chips: int) -> int:
    """Return how many links join two neighbours, as the descriptors of whole machines have it."""
    if shape.devices == 1:
        return 1
    return 4 if arch == "wormhole_b0" and machine_chips >= _GALAXY else 2
