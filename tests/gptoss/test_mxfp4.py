"""MXFP4 bytes mean what the OCP specification says."""

from __future__ import annotations

import pytest
import torch

from gptoss.weights import mxfp4


def test_bytes_unpack_low_nibble_first():
    blocks = torch.zeros(1, 1, 16, dtype=torch.uint8)
    blocks[0, 0, :4] = torch.tensor([0x21, 0x43, 0x65, 0xF7], dtype=torch.uint8)
    scales = torch.tensor([[127]], dtype=torch.uint8)

    column = mxfp4.unpack(blocks, scales)[:, 0]

    assert column[:8].tolist() == [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -6.0]
    assert column[8:].abs().max() == 0


def test_scale_is_a_power_of_two():
    blocks = torch.full((1, 2, 16), 0x11, dtype=torch.uint8)
    scales = torch.tensor([[128, 120]], dtype=torch.uint8)

    column = mxfp4.unpack(blocks, scales)[:, 0]

    assert column[:32].tolist() == [1.0] * 32
    assert column[32:].tolist() == [0.5 * 2.0**-7] * 32


def test_outputs_are_rows_in_storage_and_columns_in_use():
    blocks = torch.zeros(3, 2, 16, dtype=torch.uint8)
    blocks[1] = 0x22

    weights = mxfp4.unpack(blocks, torch.full((3, 2), 127, dtype=torch.uint8))

    assert weights.shape == (64, 3)
    assert weights.sum(dim=0).tolist() == [0.0, 64.0, 0.0]


def test_what_mxfp4_holds_survives_packing():
    generator = torch.Generator().manual_seed(3)
    blocks = torch.randint(0, 256, (2, 5, 3, 16), dtype=torch.uint8, generator=generator)
    scales = torch.randint(110, 140, (2, 5, 3), dtype=torch.uint8, generator=generator)
    weights = mxfp4.unpack(blocks, scales)

    assert torch.equal(mxfp4.unpack(*mxfp4.pack(weights)), weights)


def test_packing_rounds_to_the_nearest():
    weights = torch.zeros(32, 1)
    weights[:4, 0] = torch.tensor([6.0, 2.4, -2.6, 0.2])

    assert mxfp4.unpack(*mxfp4.pack(weights))[:4, 0].tolist() == [6.0, 2.0, -3.0, 0.0]


def test_every_byte_at_every_scale_is_exact():
    codes = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    magnitudes = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], dtype=torch.float64)

    for scale in range(0, 253, 4):
        column = mxfp4.unpack(codes, torch.full((1, 16), scale, dtype=torch.uint8))[:, 0]

        for row in range(512):
            code = (row // 2 >> 4 * (row % 2)) & 15
            value = magnitudes[code & 7] * (-1) ** (code >> 3) * 2.0 ** (scale - 127)
            assert column[row].double() == value


def test_room_that_is_given_is_filled():
    generator = torch.Generator().manual_seed(4)
    blocks = torch.randint(0, 256, (2, 3, 2, 16), dtype=torch.uint8, generator=generator)
    scales = torch.randint(110, 140, (2, 3, 2), dtype=torch.uint8, generator=generator)
    room = torch.full((2, 64, 3), torch.nan, dtype=torch.bfloat16)

    made = mxfp4.unpack(blocks, scales, room)

    assert made is room
    assert all(torch.equal(room[e], mxfp4.unpack(blocks[e], scales[e])) for e in range(2))


def test_ragged_input_is_refused():
    with pytest.raises(ValueError, match="packs 32 inputs a block; got 40 inputs"):
        mxfp4.pack(torch.zeros(40, 2))
