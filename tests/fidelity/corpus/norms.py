"""Generate calls of softmax and of norms over the last dim."""

from __future__ import annotations

from tests.fidelity.corpus.operands import PLACES, dead, operand, sharding, spoilt_shape
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import FLOATS, INTEGERS, Draw

__all__: list[str] = []

_MESHES = ("1x8", "1x8", "1x8", "1x1", "2x4", "4x8")
_TAKEN = ("B16", "F32", "B8")
_FULL_RANK = 4
_WIDEST = 2880
_WIDTHS = (32, 64, 96, 128, 256, 320, 40, 33, 16, _WIDEST)


def _shape(draw: Draw, *, widest: bool = True) -> list[int]:
    return [*draw.shape(1, 4, front=(1, 1, 2, 3))[:-1], draw.one(_WIDTHS if widest else _WIDTHS[:-1])]


def _weight(draw: Draw, width: int) -> str:
    """Return a weight of ``width``: ROW_MAJOR [.., width / 32, 32] or tiles [.., width]."""
    dtype, tiles = draw.one(("B16", "B16", "B16", "F32", "B8")), -(-width // 32)
    if dtype != "B8" and draw.chance(60):
        return draw.tensor(draw.one(([1, 1, tiles, 32], [1, 1, tiles, 32], [tiles, 32])), dtype=dtype, layout="RM")
    return draw.tensor(draw.one(([1, 1, 1, width], [1, width], [width])), dtype=dtype)


def _spoilt_weight(draw: Draw, width: int) -> str:
    """Return a weight that does not go with ``width``."""
    shapes = (
        [1, 1, width // 32 + 1, 32],
        [width],
        [1, 1, 2, width],
        [1, 1, 1, width + 32],
        [1, 1, width // 16 or 1, 16],
    )
    return draw.tensor(draw.one(shapes), dtype=draw.one(("B16", "F32", "B16")), layout=draw.layout(60))


@generates("softmax", cases=80, meshes=_MESHES)
def _softmax(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5)
    rank = len(shape)
    if draw.chance(25):
        return _spoilt_softmax(draw, name, draw.shape(2, 4))
    dim = draw.one((-1, -1, draw.between(-rank, rank - 1)))
    # Of rows only some dims are taken, not for a rule that makes sense.
    tensor = operand(draw, shape, draw.floating(), row_major=12 if rank == _FULL_RANK else 0)
    options = draw.options((15, f"memory_config={draw.one(PLACES)}"), (15, "numeric_stable=False"))
    return f"ttnn.{name}({tensor}{draw.one((f', dim={dim}', f', {dim}', f', dim={dim}', ''))}{options})"


def _spoilt_softmax(draw: Draw, name: str, shape: list[int]) -> str:
    rank, tensor = len(shape), operand(draw, shape, draw.one(_TAKEN), row_major=0)
    kind = draw.between(0, 4)
    if kind == 0:
        return f"ttnn.{name}({draw.tensor(shape, host=100)}, dim=-1)"
    if kind == 1:
        return f"ttnn.{name}({tensor}, dim={draw.one((rank, rank + 3, -rank - 1))})"
    if kind == 2:
        return (
            f"ttnn.{name}({tensor}, {draw.one(('foo=1', 'dim=0.5', 'dim=[0]', 'dim=None', 'dim=-1, memory_config=1'))})"
        )
    if kind == 3:
        return dead(f"ttnn.{name}(t, dim=-1)", tensor)
    return f"ttnn.{name}({operand(draw, shape, draw.one(INTEGERS))}, dim=-1)"


@generates("rms_norm", cases=110, meshes=_MESHES)
@generates("layer_norm", cases=60)
def _norm(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = _shape(draw, widest=name == "rms_norm")
    if draw.chance(25):
        return _spoilt_norm(draw, name, shape)
    tensor = operand(draw, shape, draw.floating(), row_major=3)
    place = sharding(draw, shape) if draw.chance(15) else draw.one(PLACES)
    weight = _weight(draw, shape[-1])
    extra = shape[-1] < _WIDEST  # more tensors of that width do not fit the real kernels' buffers
    bias = weight if draw.chance(70) else _weight(draw, shape[-1])
    options = draw.options(
        (75, f"weight={weight}"),
        (50, "epsilon=1e-5"),
        (15 * extra, f"bias={bias}"),
        (12 * extra, f"residual_input_tensor={operand(draw, shape, draw.floating(), row_major=0)}"),
        (15, f"memory_config={place}"),
    )
    return f"ttnn.{name}({tensor}{options})"


def _spoilt_norm(draw: Draw, name: str, shape: list[int]) -> str:
    tensor, weight = operand(draw, shape, draw.floating(), row_major=0), _weight(draw, shape[-1])
    kind = draw.between(0, 7)
    if kind < 3:
        return f"ttnn.{name}({tensor}, {draw.one(('weight', 'weight', 'bias'))}={_spoilt_weight(draw, shape[-1])})"
    if kind == 3:
        return f"ttnn.{name}({tensor}, residual_input_tensor={operand(draw, spoilt_shape(draw, shape), row_major=0)})"
    if kind == 4:
        return f"ttnn.{name}({tensor}, {draw.one((weight, '1e-5', 'eps=1e-5', 'weight=1.0', 'epsilon=None'))})"
    if kind == 5 and draw.chance(20):
        return dead(f"ttnn.{name}(t, weight={weight})", tensor)
    if kind == 6:
        return f"ttnn.{name}({draw.tensor(shape, layout='RM')}, weight={weight})"
    return f"ttnn.{name}({operand(draw, shape, draw.one(INTEGERS))}, weight={weight})"


@generates("rms_norm_pre_all_gather", cases=40)
def _before(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = [1, 1, draw.extent(), draw.one(_WIDTHS)] if draw.chance(90) else _shape(draw)
    if draw.chance(25):
        return _spoilt_before(draw, name, shape)
    options = draw.options(
        (25, f"dtype={draw.one(FLOATS)}"),
        (10, f"memory_config={draw.one(PLACES)}"),
        (10, f"residual_input_tensor={operand(draw, shape, row_major=0)}"),
    )
    exact = "compute_kernel_config=ttnn.WormholeComputeKernelConfig(fp32_dest_acc_en=True)"
    options += draw.options((30, exact))
    return f"ttnn.{name}({operand(draw, shape, draw.floating(), row_major=0)}{options})"


def _spoilt_before(draw: Draw, name: str, shape: list[int]) -> str:
    tensor, full = operand(draw, shape, "B8", row_major=0), [1] * (_FULL_RANK - len(shape)) + shape
    residual = operand(draw, spoilt_shape(draw, full), row_major=0)
    return draw.one(
        (
            f"ttnn.{name}({draw.tensor(full, layout='RM')})",
            f"ttnn.{name}({draw.tensor(full, dtype=draw.one(INTEGERS))})",
            f"ttnn.{name}({tensor}, epsilon=1e-5)",
            f"ttnn.{name}({operand(draw, full, 'F32', row_major=0)})",
            f"ttnn.{name}({draw.tensor(full)}, residual_input_tensor={residual})",
        )
    )


@generates("rms_norm_post_all_gather", cases=60)
def _after(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    rows, width = draw.extent(), draw.one(_WIDTHS)
    shape, stats = [1, 1, rows, width], [1, 1, rows, 32 * draw.one((1, 2, 4, 8))]
    if draw.chance(25):
        return _spoilt_after(draw, name, shape, stats)
    options = draw.options(
        (80, f"weight={_weight(draw, width)}"),
        (60, "epsilon=1e-5"),
        (20, f"dtype={draw.one(FLOATS)}"),
        (10, f"memory_config={draw.one(PLACES)}"),
        (8, f"bias={_weight(draw, width)}"),
    )
    tensor = operand(draw, shape, draw.one((*FLOATS, "B16", "B16", "B8")), row_major=0)
    return f"ttnn.{name}({tensor}, {draw.tensor(stats, dtype=draw.one(('B16', 'B16', 'B16', 'B8', 'F32')))}{options})"


def _spoilt_after(draw: Draw, name: str, shape: list[int], stats: list[int]) -> str:
    tensor, other = operand(draw, shape, row_major=0), draw.tensor(stats)
    return draw.one(
        (
            f"ttnn.{name}({draw.tensor(shape, layout='RM')}, {other})",
            f"ttnn.{name}({tensor}, {draw.tensor(spoilt_shape(draw, stats))})",
            f"ttnn.{name}({tensor}, {draw.tensor(stats, dtype=draw.one(('B8', 'I32')))})",
            f"ttnn.{name}({tensor})",
            f"ttnn.{name}({tensor}, {other}, weight={_spoilt_weight(draw, shape[-1])})",
            f"ttnn.{name}({tensor}, {draw.tensor(stats, layout='RM')})",
        )
    )
