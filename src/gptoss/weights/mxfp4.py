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


def unpack(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Return [.., K, N] float32 from blocks [.., N, K/32, 16] and scales [.., N, K/32]."""
    codes = torch.stack([blocks & 0xF, blocks >> 4], dim=-1).flatten(-2)
    values = _VALUES[codes.to(torch.int64)]
    exponents = scales.to(torch.int32)[..., None] - _BIAS
    return torch.ldexp(values, exponents).flatten(-2).transpose(-1, -2).contiguous()


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
