"""A wrong formula in an op is seen where the emulator's numbers meet ttnn's golden functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import ttemu
from tests.fidelity import goldens
from tests.fidelity.libraries import Libraries
from tests.fidelity.test_goldens import OPS, run

Break = Callable[[Callable[..., Any]], Callable[..., Any]]


def alter(monkeypatch: pytest.MonkeyPatch, broken: Break) -> None:
    """Break every op that the comparison finds in the emulator."""
    found = goldens.find
    monkeypatch.setattr(
        goldens,
        "find",
        lambda library, name: broken(found(library, name)) if library is ttemu else found(library, name),
    )


def _one_step_up(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an op whose largest number on every device is one step of its format larger, 2**-18 in float32."""

    def stepped(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        first = result[0] if isinstance(result, (list, tuple)) else result
        if isinstance(first, torch.Tensor):
            _step(first.view(1, 1, -1))
        else:
            data = first.buffer.data.expand(*first.span, *first.extents).clone()
            _step(data.view(*first.span, -1))
            first.buffer.data = data
        return result

    return stepped


def _step(devices: torch.Tensor) -> None:
    for numbers in devices.flatten(0, 1):
        size = numbers.abs().double()
        place = int(torch.where(size.isfinite(), size, -1.0).argmax())
        if numbers.dtype is torch.bfloat16:
            numbers.view(torch.int16)[place] += 1
        elif numbers.is_floating_point():
            numbers[place] = numbers[place] * (1 + 2.0**-18) + (numbers[place] == 0)
        else:
            numbers[place] = numbers[place] + 1


@pytest.mark.parametrize("op", OPS)
def test_one_step_too_many_is_seen(libraries: Libraries, op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alter(monkeypatch, _one_step_up)

    row = run(libraries, op, cases=12)

    assert row.differing + sum(count for _, count in row.exceptions) > row.cases // 2


def _unscaled_sink(function: Callable[..., Any]) -> Callable[..., Any]:
    def attend(query: Any, *args: Any, attention_sink: Any = None, scale: float | None = None, **options: Any) -> Any:
        used = scale or query.shape[-1] ** -0.5
        sink = None if attention_sink is None else ttemu.multiply(attention_sink, 1 / used)
        return function(query, *args, attention_sink=sink, scale=scale, **options)

    return attend


def _wider_window(function: Callable[..., Any]) -> Callable[..., Any]:
    def attend(*args: Any, sliding_window_size: int | None = None, **options: Any) -> Any:
        window = None if sliding_window_size is None else sliding_window_size + 2
        return function(*args, sliding_window_size=window, **options)

    return attend


def _next_users_pages(function: Callable[..., Any]) -> Callable[..., Any]:
    def attend(query: Any, key: Any, value: Any, table: Any, *args: Any, **options: Any) -> Any:
        pages = ttemu.to_torch(ttemu.get_device_tensors(table)[0]).flip(-1)
        turned = ttemu.from_torch(pages, dtype=ttemu.int32, device=table.device())
        return function(query, key, value, turned, *args, **options)

    return attend


def _without(name: str) -> Break:
    """Break an op so that it does not look at one of its options."""

    def broken(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            options.pop(name, None)
            return function(*args, **options)

        return run

    return broken


def _through_bfloat16(function: Callable[..., Any]) -> Callable[..., Any]:
    def multiply(first: Any, *args: Any, dtype: Any = None, **options: Any) -> Any:
        product = function(first, *args, dtype=ttemu.bfloat16, **options)
        return ttemu.typecast(product, dtype or first.dtype)

    return multiply


def _through_int32(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda given, dtype: function(function(given, ttemu.int32), dtype)


def _dense(function: Callable[..., Any]) -> Callable[..., Any]:
    def multiply(*args: Any, sparsity: Any, **options: Any) -> Any:
        return function(*args, sparsity=ttemu.ones_like(sparsity), **options)

    return multiply


_ATTENTION = "transformer.scaled_dot_product_attention"
_DECODE = "transformer.scaled_dot_product_attention_decode"
_PAGED = "transformer.paged_scaled_dot_product_attention_decode"
_CHUNKED = "transformer.chunked_scaled_dot_product_attention"


@pytest.mark.parametrize(
    ("op", "broken"),
    [
        (_ATTENTION, _unscaled_sink),
        (_DECODE, _unscaled_sink),
        (_PAGED, _unscaled_sink),
        (_ATTENTION, _wider_window),
        (_DECODE, _wider_window),
        (_PAGED, _next_users_pages),
        (_CHUNKED, _next_users_pages),
        ("matmul", _through_bfloat16),
        ("typecast", _through_int32),
        ("sparse_matmul", _dense),
        ("topk", _without("largest")),
        ("std", _without("correction")),
        ("std", _without("scalar")),
        ("rms_norm", _without("epsilon")),
        ("rms_norm", _without("residual_input_tensor")),
        ("layer_norm", _without("bias")),
        ("rms_norm_post_all_gather", _without("weight")),
        ("gelu", _without("fast_and_approximate_mode")),
        ("plus_one", _without("skip_negative_entries")),
        ("update_cache", _without("batch_offset")),
        ("softmax", lambda _: lambda given, dim: ttemu.exp(given)),
        ("reduce_scatter", lambda _: ttemu.mesh_partition),
        ("all_reduce", lambda function: lambda *args, **options: ttemu.multiply(function(*args, **options), 0.5)),
    ],
)
def test_a_wrong_formula_is_seen(
    libraries: Libraries,
    monkeypatch: pytest.MonkeyPatch,
    op: str,
    broken: Break,
) -> None:
    alter(monkeypatch, broken)

    row = run(libraries, op)

    assert any(" differ, at " in text or "should hold the same" in text for text in row.differences)
    assert not any("incompatible" in text or "unexpected" in text for text in row.differences)
