"""Generate calls that ask what dies with what: aliases, views, parts of devices, deallocations."""

from __future__ import annotations

from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

#: Ops that may give their input back, and ops that never do, of a tensor ``a`` [1, 2, 64, 32].
_OPS = (
    "ttnn.to_layout(a, TL)",
    "ttnn.to_layout(a, RM)",
    "ttnn.to_memory_config(a, DRAM)",
    "ttnn.to_memory_config(a, L1)",
    "ttnn.unsqueeze_to_4D(a)",
    "ttnn.concat([a], 0)",
    "ttnn.concat([a, a], 0)",
    "ttnn.slice(a, [0, 0, 0, 0], [1, 2, 64, 32])",
    "ttnn.slice(a, [0, 0, 0, 0], [1, 2, 32, 32])",
    "ttnn.permute(a, (0, 1, 2, 3))",
    "ttnn.permute(a, (1, 0, 2, 3))",
    "ttnn.repeat(a, (1, 1, 1, 1))",
    "ttnn.repeat(a, (2, 1, 1, 1))",
    "ttnn.reshape(a, (1, 2, 64, 32))",
    "ttnn.reshape(a, (2, 64, 32))",
    "ttnn.reshape(a, (1, 1, 128, 32))",
    "ttnn.reshape(a, (1, 2, 32, 64))",
    "ttnn.squeeze(a, 0)",
    "ttnn.squeeze(a, 1)",
    "ttnn.unsqueeze(a, 0)",
    "ttnn.transpose(a, 2, 3)",
    "ttnn.transpose(a, 0, 1)",
    "ttnn.typecast(a, B16)",
    "ttnn.typecast(a, B8)",
    "ttnn.clone(a)",
    "ttnn.pad(a, [(0, 0), (0, 0), (0, 0), (0, 0)], value=0)",
    "ttnn.add(a, 1.0)",
    "ttnn.add(a, 1.0, output_tensor=a)",
    "ttnn.multiply_(a, a)",
    "ttnn.get_device_tensors(a)[0]",
    "ttnn.get_device_tensors(a)[1]",
    "ttnn.fill_cache(a, T(1, 2, 32, 32), 0)",
    "ttnn.update_cache(a, T(1, 2, 32, 32), 3)",
    "ttnn.from_device(a)",
    "ttnn.to_device(a, m)",
    "ttnn.all_gather(a, 3, cluster_axis=1)",
    "ttnn.all_reduce(a, cluster_axis=1)",
    "ttnn.reduce_scatter(a, 2, cluster_axis=1)",
    "ttnn.mesh_partition(a, 2, 1)",
    "ttnn.experimental.nlp_concat_heads(a)",
    "ttnn.experimental.fast_reduce_nc(a, dims=[1])",
    "ttnn.experimental.fast_reduce_nc(a, dims=[0])",
    "ttnn.experimental.paged_fill_cache(a, T(1, 2, 64, 32), T(1, 1, dt=I32, la=RM))",
    "ttnn.transformer.scaled_dot_product_attention(a, a, a)",
    "ttnn.softmax(a, -1)",
    "ttnn.identity(a)",
    "a[0:1]",
    "a[:, :, :32]",
)
_ENDS = (
    "a.deallocate(True)",
    "a.deallocate(True)",
    "ttnn.deallocate(a)",
    "ttnn.deallocate(a, force=True)",
    "a.deallocate()",
    "ttnn.deallocate(a, force=False)",
    "del a",
    "ttnn.deallocate(a); ttnn.deallocate(a)",
    "a.deallocate(True); a.deallocate()",
)


@generates("aliasing", cases=110)
def _alias(draw: Draw, mesh: str, name: str) -> str:
    del mesh, name
    op, end = draw.one(_OPS), draw.one(_ENDS)
    return f'alive("a = T(1, 2, 64, 32); b = {op}; {end}")'


@generates("aliasing.results", cases=50)
def _result(draw: Draw, mesh: str, name: str) -> str:
    """Ask whether the input outlives its result."""
    del mesh, name
    op, end = draw.one(_OPS), draw.one(("a.deallocate(True)", "a.deallocate(True)", "a.deallocate()", "del a"))
    renamed = op.replace("(a, a, a)", "(b, b, b)").replace("[a, a]", "[b, b]").replace("[a]", "[b]").replace("(a", "(b")
    renamed = renamed.replace("=a)", "=b)").replace(", a)", ", b)").replace("a[", "b[")
    return f'alive("b = T(1, 2, 64, 32); a = {renamed}; {end}")'


#: One call of each family that takes a tensor, of a tensor ``a`` that is dead, or lives elsewhere than its others.
_USES = (
    "ttnn.add({a}, T(1, 2, 64, 32))",
    "ttnn.add(T(1, 2, 64, 32), {a})",
    "ttnn.matmul({a}, T(1, 2, 32, 64))",
    "ttnn.softmax({a}, -1)",
    "ttnn.silu({a})",
    "ttnn.concat([T(1, 2, 64, 32), {a}], 0)",
    "ttnn.fill_cache({a}, T(1, 2, 32, 32), 0)",
    "ttnn.fill_cache(T(1, 2, 64, 32), {a}, 0)",
    "ttnn.experimental.nlp_concat_heads({a})",
    "ttnn.experimental.fast_reduce_nc({a}, dims=[1])",
    "ttnn.experimental.paged_fill_cache({a}, T(1, 2, 64, 32), T(1, 1, dt=I32, la=RM))",
    "ttnn.transformer.scaled_dot_product_attention(T(1, 2, 64, 32), {a}, T(1, 2, 64, 32))",
    "ttnn.mean({a}, -1)",
    "ttnn.transpose({a}, 2, 3)",
    "ttnn.clone({a})",
    "ttnn.to_memory_config({a}, L1)",
    "{a}.deallocate(True)",
    "ttnn.deallocate({a})",
    "{a}.is_allocated()",
    "{a}.shape[2]",
)


@generates("aliasing.uses", cases=70)
def _use(draw: Draw, mesh: str, name: str) -> str:
    """Use a tensor that is dead, or another mesh's."""
    del mesh, name
    part = "ttnn.get_device_tensors(T(1, 2, 64, 32))[0]"
    child = "m.create_submesh(ttnn.MeshShape(1, 2))"
    elsewhere = f"ttnn.from_torch(torch.rand(1, 2, 64, 32), dtype=B16, layout=TL, device={child})"
    given = draw.one(("dead(T(1, 2, 64, 32))", "dead(T(1, 2, 64, 32))", elsewhere, f"dead({part})"))
    use = draw.one(_USES if given.startswith("dead") else _USES[:12])
    return use.replace("{a}", given)


@generates("submeshes", cases=30, meshes=("1x8", "2x4"))
def _submesh(draw: Draw, mesh: str, name: str) -> str:
    """Make meshes of a part of the devices."""
    del name
    rows, cols = map(int, mesh.split("x"))
    shape = draw.one(((1, 1), (1, 2), (rows, 2), (1, 4), (rows, cols), (rows * 2, cols), (1, 3), (1, cols + 1)))
    made = f"m.create_submesh(ttnn.MeshShape({shape[0]}, {shape[1]})"
    offset = draw.one(((0, 0), (0, 1), (0, 2), (rows - 1, 0), (0, cols), (rows, 0)))
    made += f", ttnn.MeshCoordinate({offset[0]}, {offset[1]}))" if draw.chance(50) else ")"
    several = f"m.create_submeshes(ttnn.MeshShape({shape[0]}, {shape[1]}))"
    return draw.one(
        (
            f"list({made}.shape)",
            f"{made}.get_num_devices()",
            f"len({made}.get_device_ids())",
            f"len({several})",
            f"T(8, 32, host=True).to({made})",
            f"ttnn.from_torch(torch.rand(32, 64), device={made}, layout=TL).shape[1]",
            f"str({made}.compute_with_storage_grid_size())",
        )
    )
