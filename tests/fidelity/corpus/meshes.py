"""Generate calls about meshes, their shapes and cores, and the machine."""

from __future__ import annotations

from tests.fidelity.corpus.registry import MESHES, generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_FABRICS = ("DISABLED", "FABRIC_1D", "FABRIC_1D_RING", "FABRIC_2D", "CUSTOM", "FABRIC_9D")
_ENUMS = ("Topology.Ring", "Topology.Linear", "MathFidelity.HiFi4", "BufferType.L1", "ShardStrategy.HEIGHT")


def _pair(draw: Draw, most: int = 4) -> tuple[int, int]:
    return draw.between(0, most), draw.between(0, most)


def _shape(draw: Draw) -> str:
    rows, cols = draw.one((1, 1, 2, 4, 8)), draw.one((1, 2, 3, 4, 8))
    return f"ttnn.MeshShape({rows}, {cols})"


@generates("create_submesh", cases=60, meshes=MESHES)
def _submesh(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    offset = draw.options((60, draw.one(("", "offset=")) + f"ttnn.MeshCoordinate{_pair(draw)}"))
    if draw.chance(12):
        return f"m.{name}({draw.one(('(1, 2)', 'ttnn.MeshShape(0, 1)', '', 'ttnn.MeshShape(1, 1), (0, 0)', '2'))})"
    asked = draw.one(("shape", "get_num_devices()", "get_device_ids()", "shape.mesh_size()", "get_submeshes()"))
    return f"str(m.{name}({_shape(draw)}{offset}).{asked})"


@generates("create_submeshes", cases=20, meshes=MESHES)
def _submeshes(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    made = f"m.{name}({_shape(draw)})"
    return draw.one(
        (f"len({made})", f"str([part.shape for part in {made}])", f"[part.get_device_ids() for part in {made}]")
    )


@generates("MeshShape", cases=60, meshes=("1x8", "2x4"))
def _mesh_shape(draw: Draw, mesh: str, name: str) -> str:
    """Draw what mesh shapes and coordinates can be asked."""
    del mesh
    first, second = _pair(draw, 3), _pair(draw, 3)
    kind = draw.one((name, name, "MeshCoordinate"))
    made = f"ttnn.{kind}({draw.one((f'{first[0]}, {first[1]}', str(first), str(list(first))))})"
    asked = (
        f"str({made})",
        f"{made} == ttnn.{kind}{second}",
        f"{made} != ttnn.{kind}{second}",
        f"list({made})",
        f"{made}[{draw.between(-3, 3)}]",
        f"{made}.dims()",
        f"{made} == {second}",
        f"len({made})",
        f"hash({made}) == hash(ttnn.{kind}{first})",
        f"{made} in [ttnn.{kind}{second}]",
        f"ttnn.MeshShape({draw.one(('1, 2, 3', '4', '', '[1, 2, 3]', '-1, 2', '1.5, 2'))}).mesh_size()",
        f"str(ttnn.MeshCoordinateRange(ttnn.MeshCoordinate{first}, ttnn.MeshCoordinate{second}))",
        f"len(list(ttnn.MeshCoordinateRange(ttnn.MeshShape{(first[0] + 1, first[1] + 1)})))",
    )
    return draw.one(asked)


@generates("CoreRange", cases=60)
def _cores(draw: Draw, mesh: str, name: str) -> str:
    """Draw what cores, ranges and sets of cores can be asked."""
    del mesh
    start, size, other = _pair(draw), _pair(draw, 3), _pair(draw)
    end = (start[0] + size[0], start[1] + size[1])
    made = f"ttnn.{name}(ttnn.CoreCoord{start}, ttnn.CoreCoord{end})"
    asked = (
        f"str({made})",
        f"{made} == ttnn.{name}(ttnn.CoreCoord{start}, ttnn.CoreCoord{end})",
        f"{made}.grid_size().x",
        f"str({made}.start) + str({made}.end)",
        f"ttnn.CoreRangeSet([{made}]).num_cores()",
        f"ttnn.CoreRangeSet({{{made}}}).bounding_box().end.x",
        f"str(ttnn.CoreRangeSet([{made}]))",
        f"str(ttnn.CoreCoord{other}) + str(ttnn.CoreCoord{start}.y)",
        f"ttnn.CoreCoord{other} == ttnn.CoreCoord{start}",
        f"ttnn.{name}(ttnn.CoreCoord{end}, ttnn.CoreCoord{start}).start.x",
        f"ttnn.CoreGrid(x={1 + size[0]}, y={1 + size[1]}).num_cores",
        f"str(ttnn.CoreGrid(x={1 + size[0]}, y={1 + size[1]}))",
        f"str(ttnn.num_cores_to_corerangeset({draw.between(1, 70)}, ttnn.CoreCoord(8, 7), {draw.chance(50)}))",
        f"ttnn.{name}({draw.one(('1, 2', '(0, 0), (1, 1)', 'ttnn.CoreCoord(0, 0)'))})",
    )
    return draw.one(asked)


@generates("MeshDevice", cases=60, meshes=MESHES)
def _device(draw: Draw, mesh: str, name: str) -> str:
    """Draw what a mesh and its machine can be asked."""
    del mesh, name
    row, col = _pair(draw)
    asked = (
        "str(m.shape)",
        "m.get_num_devices()",
        "m.get_device_ids()",
        f"m.get_device_id(ttnn.MeshCoordinate({row}, {col}))",
        "str(m.arch())",
        "str(m.core_grid)",
        "str(m.compute_with_storage_grid_size())",
        "str(m.dram_grid_size())",
        "m.num_program_cache_entries() >= 0",
        "m.enable_program_cache()",
        "str(m)",
        "ttnn.get_num_devices()",
        "ttnn.get_device_ids()",
        "ttnn.get_num_pcie_devices()",
        "ttnn.get_pcie_device_ids()",
        "ttnn.get_arch_name()",
        "ttnn.GetNumAvailableDevices()",
        "ttnn.GetNumPCIeDevices()",
        "ttnn.using_distributed_env()",
        "str(ttnn.get_fabric_config())",
        "ttnn.synchronize_device(m)",
        "ttnn.GetDefaultDevice()",
        "m.foo",
        f"ttnn.open_mesh_device(mesh_shape=ttnn.MeshShape({draw.one(('8, 8', '0, 1', '3, 5', '16, 1'))}))",
        f"ttnn.open_mesh_device({draw.one(('(1, 2)', '2', 'mesh_shape=[1, 1]', 'ttnn.MeshShape(1, 1), foo=1'))})",
        f"str(ttnn.FabricConfig.{draw.one(_FABRICS)})",
        f"ttnn.{draw.one(_ENUMS)}",
        f"ttnn.set_fabric_config({draw.one(('None', repr('FABRIC_1D')))})",
    )
    return draw.one(asked)
