"""Generate calls that bring tensors to host and device and back, and ask them what they are."""

from __future__ import annotations

from tests.fidelity.corpus.operands import PLACES, TILED, operand, sharding
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import FLOATS, INTEGERS, Draw

__all__: list[str] = []

_DTYPES = (*FLOATS, *INTEGERS, "U8")
_TORCH = ("float32", "bfloat16", "float16", "float64", "int64", "int32", "int16", "uint8", "bool")
_MESHES = ("1x8", "1x8", "1x8", "1x1", "2x4", "4x8")
#: What is not asked of a dead tensor: the real library crashes, and starts slowly.
_CRASHING = ("cpu()", "cpu(False)", "to(m)", "to(TL)", "to(RM)", "to(m, L1)", "to_torch()")
_ASKED = (
    "shape",
    "padded_shape",
    "dtype",
    "layout",
    "volume()",
    "logical_volume()",
    "element_size()",
    "is_sharded()",
    "is_allocated()",
    "storage_type()",
    "get_layout()",
    "get_dtype()",
    "shape.rank",
    "memory_config()",
    "deallocate()",
    "deallocate(True)",
    "deallocate(force=False)",
    "cpu()",
    "cpu(False)",
    "to(m)",
    "to(TL)",
    "to(RM)",
    "to(m, L1)",
    "foo",
    "to(2)",
    "to_torch()",
    "tile",
    "shard_spec()",
)


def _shape(draw: Draw) -> list[int]:
    return draw.shape(1, 5) if draw.chance(85) else draw.one(([], [1], [0, 64], [2, 0], [1, 1, 1, 1, 2, 40]))


def _source(draw: Draw, shape: list[int], kind: str) -> str:
    """Return a torch tensor of a shape: its values fit every dtype of ttnn."""
    return f"torch.ones({shape}{'' if kind == 'float32' else f', dtype=torch.{kind}'})"


def _placement(draw: Draw, shape: list[int], *, tiled: bool) -> str:
    """Return where a tensor goes: host, a mesh, a part of its memory, with or without a mapper."""
    if draw.chance(25):
        return draw.options((30, "mesh_mapper=ttnn.ReplicateTensorToMesh(m)"))
    place = sharding(draw, shape) if tiled and draw.chance(35) and 0 not in shape else draw.one(PLACES)
    mapper = draw.one(("ttnn.ReplicateTensorToMesh(m)", "ttnn.replicate_tensor_to_mesh_mapper(m)"))
    return ", device=m" + draw.options((35, f"memory_config={place}"), (40, f"mesh_mapper={mapper}"))


@generates("from_torch", cases=150, meshes=_MESHES)
def _from_torch(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, kind, dtype = _shape(draw), draw.one(_TORCH), draw.one(_DTYPES)
    if draw.chance(12):
        wrong = draw.one(("[1, 2]", "3.0", "torch.ones(2), dtype=torch.int32", "torch.ones(2), layout=2"))
        return f"ttnn.{name}({wrong}{draw.options((50, 'foo=1'))})"
    named = kind == "float64" or draw.chance(75)  # a float64 without a dtype ends the process
    layout = draw.layout(35 if dtype not in TILED else 8)
    tiled = layout == "TL" and len(shape) > 1
    options = (f", {dtype}" if draw.chance(20) else f", dtype={dtype}") if named else ""
    options += f", layout={layout}" if tiled else draw.options((70, f"layout={layout}"))
    return f"ttnn.{name}({_source(draw, shape, kind)}{options}{_placement(draw, shape, tiled=tiled)})"


@generates("as_tensor", cases=40)
def _as_tensor(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, dtype = draw.shape(1, 4), draw.one(_DTYPES)
    if draw.chance(15):
        wrong = draw.one(("None", "torch.ones(2), device=m", "torch.ones(2), foo=1", "[1, 2]"))
        return f"ttnn.{name}({wrong})"
    layout = "TL" if dtype in TILED else draw.layout(35)
    options = f", device=m, memory_config={draw.one(PLACES)}" if draw.chance(70) else ""
    options += draw.options((40, "mesh_mapper=ttnn.ReplicateTensorToMesh(m)"))
    source = _source(draw, shape, draw.one(("float32", "bfloat16", "int32")))
    return f"ttnn.{name}({source}, dtype={dtype}, layout={layout}{options})"


@generates("to_torch", cases=60, meshes=_MESHES)
def _to_torch(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, dtype = _shape(draw), draw.one(_DTYPES)
    tensor = draw.tensor(shape, dtype=dtype, layout="TL" if dtype in TILED else draw.layout(40), host=40)
    if draw.chance(12):
        return f"ttnn.{name}({tensor}, {draw.one(('foo=1', 'mesh_composer=None, foo=2'))})"
    form = draw.one((tensor, f"ttnn.get_device_tensors({tensor})[0]", f"ttnn.from_device({tensor})", f"{tensor}.cpu()"))
    kind = draw.one(("float32", "bfloat16", "int32", "float16"))
    composer = f"mesh_composer=ttnn.ConcatMeshToTensor(m, dim={draw.between(-1, max(len(shape) - 1, 0))})"
    return f"ttnn.{name}({form}{draw.options((25, f'dtype=torch.{kind}'), (35, composer))})"


@generates("to_device", "from_device", cases=30, meshes=("1x8", "1x1"))
def _move(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, dtype = _shape(draw), draw.one(_DTYPES)
    layout = "TL" if dtype in TILED else draw.layout(40)
    tensor = draw.tensor(shape, dtype=dtype, layout=layout, host=80 if name == "to_device" else 20)
    target = ", m" if name == "to_device" else ""
    if draw.chance(20):
        wrong = draw.one((f"torch.ones(2){target}", f"{tensor}, foo=1", f"None{target}"))
        return f"ttnn.{name}({wrong})"
    place = sharding(draw, shape, fits=draw.chance(80)) if layout == "TL" and 0 not in shape else "L1"
    option = f"memory_config={place}" if name == "to_device" else "blocking=True"
    return f"ttnn.{name}({tensor}{target}{draw.options((40, option))})"


@generates("get_device_tensors", cases=25, meshes=("1x8", "1x1", "2x4"))
def _device_tensors(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape, dtype = draw.shape(1, 4), draw.one(_DTYPES)
    tensor = draw.tensor(shape, dtype=dtype, host=30)
    return draw.one((f"ttnn.{name}({tensor})[-1]", f"len(ttnn.{name}({tensor}))", f"ttnn.{name}({tensor})[0]"))


@generates("Tensor", cases=160, meshes=("1x8", "1x8", "1x1"))
def _ask(draw: Draw, mesh: str, name: str) -> str:
    """Draw methods and properties of tensors."""
    del mesh, name
    shape, dtype, asked = _shape(draw), draw.one(_DTYPES), draw.one(_ASKED)
    place = sharding(draw, shape) if draw.chance(15) and 0 not in shape else draw.one(("", "", "L1"))
    layout = "TL" if dtype in TILED or place not in ("", "L1") else draw.layout(40)
    if asked == "to(RM)" and place not in ("", "L1"):
        place = ""  # shards of rows are other shards
    tensor = draw.tensor(shape, dtype=dtype, layout=layout, place=place, host=0 if place else 40)
    if draw.chance(8) and asked not in _CRASHING:
        tensor = f"dead({draw.tensor(shape, dtype=dtype)})"
    return f"place({tensor}.{asked})" if asked == "memory_config()" else f"{tensor}.{asked}"


@generates("dump_tensor", cases=15)
def _dump(draw: Draw, mesh: str, name: str) -> str:
    """Draw tensors that are written to a file and read back."""
    del mesh
    shape, dtype = draw.shape(1, 4), draw.one(_DTYPES)
    tensor = operand(draw, shape, dtype) if draw.chance(30) else draw.tensor(shape, dtype=dtype, host=100)
    file = "__import__('tempfile').mkdtemp() + '/t.tensorbin'"
    back = draw.one(("ttnn.load_tensor(f)", "ttnn.load_tensor(f, device=m)", "ttnn.load_tensor(f + 'x')"))
    return f"(lambda f: (ttnn.{name}(f, {tensor}), {back})[1])({file})"
