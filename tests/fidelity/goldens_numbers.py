"""Draw calls of the ops that sum, select and normalise along dims, and of the products of matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch

from tests.fidelity.goldens_case import DEVICES, Call, Draw, Input, Made, named

__all__ = ["BUILDERS"]

Builder = Callable[[Draw], Call]
# Each is four times the largest error measured in some ten thousand calls.
SUMMED = 1.2e-6
"""A sum of up to a few hundred float32 terms in another order: 2.8e-7 of the largest result."""
MULTIPLIED = 2e-6
"""A product of up to a few hundred float32 factors in another order: 4.7e-7."""
NORMALISED = 5e-7
"""A sum, a root or an exponential, and a division: 1.1e-7."""
_TILE = 32
# The golden function of linear asks for the length of a bias where it means its rank.
_LENGTH_TAKEN_FOR_RANK = 2


def _dims(draw: Draw, rank: int) -> Any:
    return draw.choice(None, draw.integer(-rank, rank - 1), [0, rank - 1] if rank > 1 else [0])


def _reduction(draw: Draw, *, integers: bool = False) -> Call:
    given = draw.floats(draw.shape(1, 4), layout=draw.choice("TILE", "ROW_MAJOR"))
    if integers and draw.chance(0.25):
        given = draw.integers(given.parts[0].shape, -1000, 1000)
    kwargs = {"dim": _dims(draw, given.parts[0].dim()), "keepdim": draw.chance()}
    if draw.chance(0.3):
        kwargs["scalar"] = draw.choice(0.5, 2.0)
    return Call(args=(given,), kwargs=kwargs, tolerance=SUMMED, text=str(kwargs))


def _extremum(draw: Draw) -> Call:
    return replace(_total(draw), tolerance=0.0)


def _total(draw: Draw) -> Call:
    return _reduction(draw, integers=True)


def _spread(draw: Draw) -> Call:
    call = _reduction(draw)
    kwargs = dict(call.kwargs)
    shape = call.args[0].parts[0].shape
    if min(shape) < 2:
        call = Call(args=(draw.floats((5, 7)),))
        kwargs["dim"] = draw.choice(None, -1, 0)
    if draw.chance(0.4):
        kwargs["correction"] = draw.chance()
    return Call(args=call.args, kwargs=kwargs, tolerance=SUMMED, text=str(kwargs))


def _prod(draw: Draw) -> Call:
    shape = draw.shape(2, 3, most=12)
    # Without a dim, or with a single one, it is for a single device.
    kwargs = {"dim": draw.integer(-len(shape), len(shape) - 1), "keepdim": draw.chance()}
    return Call(args=(draw.floats(shape),), kwargs=kwargs, tolerance=MULTIPLIED, text=str(kwargs))


def _argmax(draw: Draw) -> Call:
    layout = draw.choice("TILE", "ROW_MAJOR")
    given = draw.floats(draw.shape(1, 4), "float32", layout=layout)
    rank = given.parts[0].dim()
    dim = draw.integer(-rank, rank - 1) if layout == "TILE" or draw.chance(0.7) else None
    return Call(args=(given,), kwargs={"dim": dim, "keepdim": draw.chance() and dim is not None})


def _cumsum(draw: Draw) -> Call:
    given = draw.floats(draw.shape(2, 4))
    kwargs = {"reverse_order": True} if draw.chance(0.3) else {}
    return Call(
        args=(given, draw.integer(0, given.parts[0].dim() - 1)), kwargs=kwargs, tolerance=SUMMED, text=str(kwargs)
    )


def _distinct(draw: Draw, shape: tuple[int, ...], dim: int, dtype: str) -> Input:
    """Return numbers no two of which are equal along ``dim``, so that an order is unique."""
    parts = []
    for _ in range(DEVICES):
        order = torch.rand(shape, generator=draw.generator).argsort(dim)
        parts.append((order.float() - shape[dim] // 2) / 8)
    return Input(tuple(parts), dtype)


def _topk(draw: Draw) -> Call:
    shape = draw.shape(2, 4, least=4, most=64)
    dim = draw.choice(-1, -1, draw.integer(0, len(shape) - 1))
    given = _distinct(draw, shape, dim, draw.choice("float32", "bfloat16"))
    kwargs = {"dim": dim, "largest": draw.chance(0.7)}
    return Call(args=(given, draw.integer(1, shape[dim])), kwargs=kwargs, text=str(kwargs))


def _topk_of_equals(draw: Draw) -> Call:
    """Let many numbers be equal: the lowest index comes first, as a stable order has it."""
    given = draw.floats((draw.integer(1, 3), draw.integer(8, 64)), "bfloat16")
    few = Input(tuple(part.round() for part in given.parts), given.dtype)
    kwargs = {"dim": -1, "largest": draw.chance(0.7), "stable": True}
    return Call(args=(few, draw.integer(1, 8)), kwargs=kwargs, text="equals")


def _topk_of_labels(draw: Draw) -> Call:
    """Return labels of the largest numbers instead of their places."""
    given = _distinct(draw, (draw.integer(1, 40), 64), -1, "bfloat16")
    labels = draw.integers(given.parts[0].shape, 0, 60000, "uint16")
    return Call(args=(given, 32), kwargs={"indices_tensor": labels}, text="labels")


def _ordered(draw: Draw) -> Call:
    build: Builder = draw.choice(_topk, _topk, _topk, _topk_of_equals, _topk_of_labels)
    return build(draw)


def _softmax(draw: Draw) -> Call:
    given = draw.floats(draw.shape(1, 4), scale=draw.choice(1.0, 10.0))
    rank = given.parts[0].dim()
    return Call(args=(given,), kwargs={"dim": draw.integer(-rank, rank - 1)}, tolerance=NORMALISED)


def _vector(draw: Draw, width: int) -> Input:
    shape = draw.choice((width,), (1, width), (1, 1, 1, width))
    return draw.floats(shape, draw.choice("float32", "bfloat16"), shared=draw.chance())


def _norm(draw: Draw) -> Call:
    width = draw.choice(32, 40, 64, 360)
    given = draw.floats((*draw.shape(1, 3, most=20), width))
    kwargs: dict[str, Any] = {"epsilon": draw.choice(1e-5, 1e-6, 1e-2)}
    if draw.chance(0.7):
        kwargs["weight"] = _vector(draw, width)
    if draw.chance(0.3):
        kwargs["bias"] = _vector(draw, width)
    if draw.chance(0.3):
        kwargs["residual_input_tensor"] = draw.floats(given.parts[0].shape, given.dtype)
    return Call(args=(given,), kwargs=kwargs, tolerance=NORMALISED, text=" ".join(kwargs))


def _precise(library: ModuleType) -> Any:
    return library.WormholeComputeKernelConfig(fp32_dest_acc_en=True)


def _norm_statistics(draw: Draw) -> Call:
    given = draw.floats((1, 1, draw.integer(1, 40), draw.choice(32, 64, 360)))
    kwargs: dict[str, Any] = {
        "dtype": named(draw.choice("float32", "bfloat16")),
        "compute_kernel_config": Made(_precise),
    }
    if draw.chance(0.3):
        kwargs["residual_input_tensor"] = draw.floats(given.parts[0].shape, given.dtype)
    return _unrounded(Call(args=(given,), kwargs=kwargs, tolerance=SUMMED))


def _norm_from_statistics(draw: Draw) -> Call:
    width, rows, shards = draw.choice(32, 64, 96), draw.integer(1, 40), draw.choice(1, 2, 4)
    given = draw.floats((1, 1, rows, width))
    parts = []
    for _ in range(DEVICES):
        stats = torch.zeros(1, 1, rows, _TILE * shards)
        stats[..., ::_TILE] = torch.rand(1, 1, rows, shards, generator=draw.generator) * width * 2
        parts.append(stats)
    kwargs: dict[str, Any] = {"epsilon": draw.choice(1e-5, 1e-2), "compute_kernel_config": Made(_precise)}
    if draw.chance(0.7):
        kwargs["weight"] = _vector(draw, width)
    return Call(args=(given, Input(tuple(parts), "float32")), kwargs=kwargs, tolerance=NORMALISED)


def _factors(
    draw: Draw, *, turned_a: bool = False, turned_b: bool = False, one_weight: bool = False
) -> tuple[Input, Input]:
    rows, inner, cols = draw.integer(1, 70), draw.choice(1, 17, 32, 64, 300), draw.integer(1, 70)
    batch = draw.choice((), (2,), (1, 3), (2, 2))
    second_batch = () if one_weight else draw.choice((), batch, tuple(1 for _ in batch))
    first = (*batch, inner, rows) if turned_a else (*batch, rows, inner)
    second = (*second_batch, cols, inner) if turned_b else (*second_batch, inner, cols)
    weight = draw.choice("float32", "bfloat16", "bfloat8_b", "bfloat4_b")
    return draw.floats(first), draw.floats(second, weight)


def _matmul(draw: Draw) -> Call:
    turned = {"transpose_a": draw.chance(0.2), "transpose_b": draw.chance(0.2)}
    first, second = _factors(draw, turned_a=turned["transpose_a"], turned_b=turned["transpose_b"])
    kwargs: dict[str, Any] = {name: value for name, value in turned.items() if value}
    if draw.chance(0.2):
        kwargs["activation"] = draw.choice("relu", "silu", "gelu")
    if draw.chance(0.2):
        kwargs["dtype"] = named("bfloat16")
    return _unrounded(Call(args=(first, second), kwargs=kwargs, tolerance=SUMMED, text=" ".join(kwargs)))


def _unrounded(call: Call) -> Call:
    """Leave the rounding of the golden result to the comparison, which knows that it may fall either way."""
    return replace(call, golden_kwargs={**call.kwargs, "dtype": named("float32")})


def _linear(draw: Draw) -> Call:
    call = _matmul(draw)
    if "transpose_b" in call.kwargs or draw.chance(0.3):
        return call
    width = call.args[1].parts[0].shape[-1]
    bias = draw.floats(draw.choice((width,), (1, width)), "float32")
    # Else it cuts the bias.
    if len(bias.parts[0]) == _LENGTH_TAKEN_FOR_RANK:
        return call
    return _unrounded(replace(call, kwargs={**call.kwargs, "bias": bias}, text=f"{call.text} bias"))


def _program(library: ModuleType, tiles: int) -> Any:
    return library.MatmulMultiCoreReuseMultiCast1DProgramConfig(
        compute_with_storage_grid_size=library.CoreCoord(8, 1),
        in0_block_w=1,
        out_subblock_h=1,
        out_subblock_w=1,
        out_block_h=1,
        out_block_w=1,
        per_core_M=2,
        per_core_N=tiles,
        fuse_batch=False,
        fused_activation=None,
        mcast_in0=True,
    )


def _minimal_matmul(draw: Draw) -> Call:
    first, second = _factors(draw, one_weight=True)
    if draw.chance():
        return Call(args=(first, second), tolerance=SUMMED)
    bias = draw.floats((second.parts[0].shape[-1],), "float32")
    if bias.parts[0].numel() == _LENGTH_TAKEN_FOR_RANK:
        return Call(args=(first, second), tolerance=SUMMED)
    kwargs, golden = {"bias_tensor": bias}, {"bias": bias}
    return Call(args=(first, second), kwargs=kwargs, golden_kwargs=golden, tolerance=SUMMED, text="bias")


def _fast_reduce(draw: Draw) -> Call:
    given = draw.floats((*draw.shape(2, 2, most=4), 32 * draw.integer(1, 2), 32 * draw.integer(1, 2)))
    dims = draw.choice([0], [1], [0, 1])
    return Call(args=(given,), kwargs={"dims": dims}, golden_kwargs={"dim": dims, "keepdim": True}, tolerance=SUMMED)


def _sparse_matmul(draw: Draw) -> Call:
    experts, rows, inner, cols = draw.integer(2, 6), draw.integer(1, 40), draw.choice(32, 64), draw.choice(32, 64)
    paired = draw.chance()
    tokens = 1 if paired else draw.integer(1, 3)
    first = draw.floats((1, experts if paired else tokens, rows, inner))
    second = draw.floats((1, experts, inner, cols), draw.choice("float32", "bfloat16", "bfloat4_b"))
    wanted = tuple(draw.whole((1, 1, tokens, experts), 0, 1).float() for _ in range(DEVICES))
    kwargs = {
        "sparsity": Input(wanted, "bfloat16", "ROW_MAJOR"),
        "is_input_a_sparse": paired,
        "program_config": Made(lambda library: _program(library, 2)),
    }
    return Call(args=(first, second), kwargs=kwargs, tolerance=SUMMED, text="both sparse" if paired else "b sparse")


BUILDERS: dict[str, Builder] = {
    "argmax": _argmax,
    "cumsum": _cumsum,
    "experimental.fast_reduce_nc": _fast_reduce,
    "experimental.minimal_matmul": _minimal_matmul,
    "layer_norm": _norm,
    "linear": _linear,
    "matmul": _matmul,
    "max": _extremum,
    "mean": _reduction,
    "min": _extremum,
    "prod": _prod,
    "rms_norm": _norm,
    "rms_norm_post_all_gather": _norm_from_statistics,
    "rms_norm_pre_all_gather": _norm_statistics,
    "softmax": _softmax,
    "sparse_matmul": _sparse_matmul,
    "std": _spread,
    "sum": _total,
    "topk": _ordered,
    "var": _spread,
}
