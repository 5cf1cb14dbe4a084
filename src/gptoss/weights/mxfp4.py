"""Pack and unpack MXFP4: blocks of 32 four-bit numbers that share one power of two.

Letters: E experts, N output features, K input features. Blocks run along K; a byte holds the
even column in its low nibble and the odd one in its high nibble (OCP MX specification 1.0, section 5).
"""

from __future__ import annotations

import torch

__all__ = ["BLOCK", "pack", "unpack"]

BLOCK = 32
_BIAS = 127
_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_VALUES = torch.tensor(_MAGNITUDES + tuple(-value for value in _MAGNITUDES))
# What a byte holds in its low and in its high nibble: 256 values each, looked up without taking nibbles apart.
_EVEN, _ODD = _VALUES.bfloat16().repeat(16), _VALUES.bfloat16().repeat_interleave(16)


def unpack(blocks: torch.Tensor, scales: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """Return [.., K, N] from blocks [.., N, K/32, 16] and scales [.., N, K/32], in ``out`` if given.

    The result is bfloat16, which holds every value exactly.
    """
    *batch, outputs, count, _ = blocks.shape
    if out is None:
        out = torch.empty(*batch, count * BLOCK, outputs, dtype=torch.bfloat16)
    rows = out.view(-1, count, BLOCK // 2, 2, outputs)
    packed = blocks.reshape(-1, outputs, count * BLOCK // 2)
    powers = torch.ldexp(torch.ones_like(scales, dtype=torch.float32), scales.to(torch.int32) - _BIAS)
    for one, codes, power in zip(rows, packed, powers.bfloat16().reshape(-1, outputs, count), strict=True):
        _unpack_one(codes.T.contiguous(), power.T.contiguous(), one)
    return out


def _unpack_one(codes: torch.Tensor, powers: torch.Tensor, rows: torch.Tensor) -> None:
    """Fill rows [K/32, 16, 2, N] from bytes [K/2, N] and powers [K/32, N], a block of rows at a time."""
    for block, power in enumerate(powers):
        # Bytes were transposed, an eighth of what they unpack to; the scratch of one block stays in the cache.
        index = codes[block * BLOCK // 2 : (block + 1) * BLOCK // 2].to(torch.int32).flatten()
        for parity, table in enumerate((_EVEN, _ODD)):
            values = table.index_select(0, index).view(BLOCK // 2, -1)
            torch.mul(values, power, out=rows[block, :, parity])


def pack(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the blocks and scales nearest to weights [.., K, N], K a multiple of 32."""
    if weights.shape[-2] % BLOCK:
        raise ValueError(f"MXFP4 packs {BLOCK} inputs a block; got {weights.shape[-2]} inputs")
    rows = weights.transpose(-1, -2).float()
    rows = rows.reshape(*rows.shape[:-1], -1, BLOCK)
    exponents = torch.frexp(rows.abs().amax(dim=-1)).exponent - 3
    scaled = torch.ldexp(rows, -exponents[..., None])
    codes = (scaled[..., None] - _VALUES).abs().argmin(dim=-1).to(torch.uint8)
    blocks = codes[..., 0::2] | codes[..., 1::2] << 4
    return blocks, (exponents + _BIAS).to(torch.uint8)
