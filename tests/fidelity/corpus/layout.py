"""Generate calls that change how a tensor is held: layout, memory config, dtype, life and death."""

from __future__ import annotations

from tests.fidelity.corpus.placing import TILE, anything, place, shards, spoiled_tensor
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_LINE = ("1x8", "1x8", "1x1")
_MOST = (*_LINE, "2x4")
_INTERLEAVED = ("L1", "DRAM")
_NOT_DEAD = ("host", "number")
_NO_TENSOR = ("number",)


@generates("to_layout", cases=110, meshes=_MOST)
def _to_layout(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5)
    target = draw.one(("TL", "RM"))
    tensor = anything(draw, shape, 50, faults=_NOT_DEAD)
    form = target if draw.chance(90) else f"layout={target}"
    options = draw.options((15, f"dtype={draw.dtype()}"), (15, f"memory_config={draw.one(_INTERLEAVED)}"))
    return f"ttnn.{name}({tensor}, {form}{options})"


@generates("tilize", "tilize_with_zero_padding", cases=50)
def _tilize(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5)
    if name == "tilize" and draw.chance(80):
        shape[-1] = draw.one((32, 64, 96))
        shape[-2:-1] = [draw.one((32, 64))] * len(shape[-2:-1])
    tensor = draw.tensor(shape, dtype=draw.dtype(), layout=draw.layout(90), place=place(draw, shape))
    tensor = spoiled_tensor(draw, tensor, _NO_TENSOR) if draw.chance(6) else tensor
    word = "dtype" if name == "tilize" else "output_dtype"
    options = draw.options((15, f"{word}={draw.dtype()}"), (15, "memory_config=L1"), (15, "use_multicore=True"))
    return f"ttnn.{name}({tensor}{options})"


@generates("untilize", cases=40)
def _untilize(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    tensor = anything(draw, draw.shape(1, 4), 12, faults=_NO_TENSOR)
    return f"ttnn.{name}({tensor}{draw.options((15, 'memory_config=L1'), (15, 'use_multicore=True'))})"


def _target(draw: Draw, shape: list[int]) -> str:
    """Return a memory config: interleaved, sharded to fit, or sharded so that it does not."""
    if draw.chance(30):
        return draw.one(_INTERLEAVED)
    if draw.chance(70):
        return shards(draw, shape)
    other = [*shape[:-1], shape[-1] + draw.one((0, TILE))]
    odd = (
        shards(draw, other),
        "HS(32, 32, 1)",
        "WS(20, 32, 2)",
        "BS(32, 32, 9, 1)",
        "ttnn.L1_WIDTH_SHARDED_MEMORY_CONFIG",
    )
    return draw.one(odd)


@generates("to_memory_config", cases=110, meshes=_MOST)
def _to_memory_config(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(2, 4)
    where = place(draw, shape, 30)
    tensor = draw.tensor(shape, dtype=draw.dtype(), place=where)
    tensor = spoiled_tensor(draw, tensor, _NOT_DEAD) if draw.chance(6) else tensor
    form = draw.one(("", "", "", "memory_config="))
    return f"ttnn.{name}({tensor}, {form}{_target(draw, shape)}{draw.options((15, f'dtype={draw.floating()}'))})"


@generates("interleaved_to_sharded", cases=70)
def _to_shards(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(2, 4)
    tensor = draw.tensor(shape, dtype=draw.dtype(), place=place(draw, shape, 5))
    tensor = spoiled_tensor(draw, tensor) if draw.chance(6) else tensor
    return f"ttnn.{name}({tensor}, {_target(draw, shape)}{draw.options((10, draw.floating()))})"


@generates("sharded_to_interleaved", cases=50)
def _to_interleaved(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(2, 4)
    tensor = draw.tensor(shape, dtype=draw.dtype(), place=place(draw, shape, 85))
    tensor = spoiled_tensor(draw, tensor, _NO_TENSOR) if draw.chance(6) else tensor
    options = draw.options((60, draw.one(_INTERLEAVED))) + draw.options((6, f"output_dtype={draw.floating()}"))
    return f"ttnn.{name}({tensor}{options})"


@generates("clone", cases=50)
def _clone(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 4)
    options = draw.options((30, f"dtype={draw.dtype()}"), (30, f"memory_config={draw.one(_INTERLEAVED)}"))
    return f"ttnn.{name}({anything(draw, shape, faults=_NO_TENSOR)}{options})"


@generates("reallocate", "move", "identity", cases=25)
def _again(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 4)
    options = draw.options((40, f"memory_config={draw.one(_INTERLEAVED)}"))
    faults = _NO_TENSOR if name == "identity" else ("host", "dead", "number")
    return f"ttnn.{name}({anything(draw, shape, faults=faults)}{options})"


@generates("create_sharded_memory_config", cases=60, meshes=_LINE)
def _sharded_config(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    rows, cols = draw.one((1, 1, 2, 4, 7)), draw.one((1, 2, 4, 8))
    shape = [draw.one((32, 64, 128, 256)) * draw.one((1, 1, rows)), draw.one((32, 64, 256)) * draw.one((1, cols))]
    shape = [*[draw.one((1, 1, 2)) for _ in range(draw.one((0, 2)))], *shape]
    if draw.chance(10):
        shape[-1] += draw.one((1, 32))
    grid = draw.one(
        (
            f"ttnn.CoreGrid(y={rows}, x={cols})",
            f"ttnn.CoreGrid(y={rows}, x={cols})",
            f"ttnn.num_cores_to_corerangeset({rows * cols}, ttnn.CoreCoord(8, 7), True)",
        )
    )
    kind = draw.one(("WIDTH", "HEIGHT", "BLOCK"))
    options = draw.options(
        (20, "orientation=ttnn.ShardOrientation.COL_MAJOR"), (25, "use_height_and_width_as_shard_shape=True")
    )
    return f"place(ttnn.{name}({draw.one((shape, tuple(shape)))}, {grid}, ttnn.ShardStrategy.{kind}{options}))"


@generates("MemoryConfig", cases=40)
def _config(draw: Draw, mesh: str, name: str) -> str:
    del mesh, name
    one, other = (draw.one(_CONFIGS) for _ in range(2))
    return draw.one(
        (
            f"{one} == {other}",
            f"{one} != {other}",
            f"{one}.is_sharded()",
            f"hash({one}) == hash({one})",
            f"str({one}.memory_layout)",
            f"{one}.shard_spec is None",
            f"{one}.buffer_type == {other}.buffer_type",
            f"str({one}.buffer_type)",
        )
    )


_CONFIGS = (
    "L1",
    "DRAM",
    "HS(32, 64, 2)",
    "WS(32, 64, 2)",
    "BS(32, 64, 2, 2)",
    "HS(32, 64, 4)",
    "ttnn.L1_WIDTH_SHARDED_MEMORY_CONFIG",
    "ttnn.MemoryConfig()",
    "ttnn.MemoryConfig(ttnn.TensorMemoryLayout.INTERLEAVED, ttnn.BufferType.L1)",
    "ttnn.MemoryConfig(buffer_type=ttnn.BufferType.L1)",
    "ttnn.MemoryConfig(ttnn.TensorMemoryLayout.HEIGHT_SHARDED, ttnn.BufferType.L1)",
    "ttnn.MemoryConfig(memory_layout=ttnn.TensorMemoryLayout.INTERLEAVED)",
)


@generates("ShardSpec", cases=30)
def _spec(draw: Draw, mesh: str, name: str) -> str:
    del mesh, name
    one, other = (f"{draw.one(_CONFIGS[2:6])}.shard_spec" for _ in range(2))
    return draw.one(
        (
            f"{one} == {other}",
            f"list({one}.shape)",
            f"{one}.grid.num_cores()",
            f"{one}.num_cores()",
            f"str({one}.orientation)",
            f"{one}.grid == {other}.grid",
            f"str({one}.grid.bounding_box().end)",
            f"len({one}.grid.ranges())",
        )
    )
