"""Matrix products are the same however a weight is cut into blocks; integers make every order of sums exact."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import ttemu as ttnn
from ttemu.ops import product


def whole_numbers(*shape: int, seed: int) -> torch.Tensor:
    return torch.randint(-8, 9, shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1, 1, 5, 300), (1, 1, 300, 170)),
        ((1, 1, 5, 300), (1, 3, 300, 170)),
        ((4, 1, 5, 300), (1, 3, 300, 170)),
        ((4, 3, 1, 5, 300), (1, 3, 2, 300, 170)),
        ((4, 3, 2, 5, 300), (4, 3, 1, 300, 170)),
    ],
)
@pytest.mark.parametrize("scratch", [300 * 64, 1 << 20])
def test_blocks_of_columns_join_to_the_product(
    first: tuple[int, ...], second: tuple[int, ...], scratch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "_SCRATCH", scratch)
    left, right = whole_numbers(*first, seed=0), whole_numbers(*second, seed=1)
    expected = torch.matmul(left.double(), right.double())

    assert torch.equal(product.multiply_matrices(left, right), expected.float())
    assert torch.equal(product.multiply_matrices(left, right, torch.bfloat16), expected.bfloat16())


def test_weight_is_never_float32_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = torch.empty

    def noted(*sizes: int, **options: object) -> torch.Tensor:
        result = real(*sizes, **options)
        made.append(result.numel() if result.dtype is torch.float32 else 0)
        return result

    monkeypatch.setattr(product, "_SCRATCH", 1 << 14)
    monkeypatch.setattr(product, "_scratch", product._Scratch())
    monkeypatch.setattr(product, "load", lambda data: data.float() if data.numel() < 1 << 14 else pytest.fail("whole"))
    monkeypatch.setattr(torch, "empty", noted)
    product.multiply_matrices(torch.ones(1, 4, 512), torch.ones(8, 512, 512, dtype=torch.bfloat16), torch.bfloat16)

    assert max(made) == 1 << 14


def test_scratch_stays_and_is_one_for_each_thread() -> None:
    scratch = product._Scratch()
    with ThreadPoolExecutor(max_workers=1) as pool:
        other = pool.submit(lambda: scratch.of(64).data_ptr()).result()

    assert scratch.of(64).data_ptr() == scratch.of(32).data_ptr() != other


def test_bfloat16_result_is_rounded_once_whatever_follows(single: ttnn.MeshDevice) -> None:
    values, weight = whole_numbers(32, 512, seed=0), whole_numbers(512, 512, seed=1)
    x, w = (ttnn.from_torch(data, ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, device=single) for data in (values, weight))
    exact = torch.matmul(values.float(), weight.float())
    block = ttnn.to_torch(ttnn.from_torch(exact, ttnn.bfloat8_b))

    assert torch.equal(ttnn.to_torch(ttnn.matmul(x, w)), exact.bfloat16())
    assert torch.equal(ttnn.to_torch(ttnn.matmul(x, w, activation="relu")), exact.relu().bfloat16())
    assert torch.equal(ttnn.to_torch(ttnn.matmul(x, w, dtype=ttnn.float32)), exact)
    assert torch.equal(ttnn.to_torch(ttnn.matmul(x, w, dtype=ttnn.bfloat8_b)), block)
    given = ttnn.zeros((32, 512), ttnn.float32, ttnn.TILE_LAYOUT, single)
    assert torch.equal(ttnn.to_torch(ttnn.matmul(x, w, optional_output_tensor=given)), exact)


def test_processors_dot_products_differ_in_last_bits_only(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = torch.randn(32, 512).bfloat16(), torch.randn(2, 512, 256).bfloat16()
    exact = product.multiply_matrices(left[None], right)
    monkeypatch.setattr(product, "_mode", ["float32"])
    product.set_products("bfloat16")

    rounded = product.multiply_matrices(left[None], right, torch.bfloat16)

    assert (rounded.float() - exact).abs().max() <= exact.abs().max() * 2**-8
    assert (rounded != exact.bfloat16()).float().mean() < 0.01
    assert torch.equal(product.multiply_matrices(left[None], right), exact), "a float32 result stays in float32"


def test_environment_chooses_products() -> None:
    code = "import ttemu; from ttemu.ops import product; print(product._mode)"
    plain = {name: value for name, value in os.environ.items() if name != "TTEMU_PRODUCTS"}
    modes = [
        subprocess.check_output([sys.executable, "-c", code], env=plain | {"TTEMU_PRODUCTS": asked}, text=True).strip()
        for asked in ("float32", "bfloat16")
    ]

    assert modes == ["['float32']", "['bfloat16']"]


@pytest.mark.parametrize(
    ("capabilities", "mode"), [({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16"), ({}, "float32")]
)
def test_processor_chooses_products_by_itself(
    capabilities: dict[str, bool], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "_mode", [""])
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)

    product.set_products("auto")

    assert product._mode == [mode]


def test_unknown_products_are_refused() -> None:
    with pytest.raises(ValueError, match="products 'fast': expected one of 'auto', 'float32', 'bfloat16'"):
        product.set_products("fast")
