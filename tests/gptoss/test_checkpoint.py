"""Checkpoint directories: what is read back, and what is said about a broken one."""

from __future__ import annotations

import json
import re

import pytest
import torch

from gptoss.config import GptOssConfig
from gptoss.weights import DummyWeights, checkpoint, mxfp4
from gptoss.weights.checkpoint import Checkpoint, CheckpointError

CONFIG = GptOssConfig(
    hidden_size=64,
    intermediate_size=32,
    num_hidden_layers=1,
    num_local_experts=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    vocab_size=96,
)
GATE_UP = "model.layers.0.mlp.experts.gate_up_proj"
DOWN = "model.layers.0.mlp.experts.down_proj"


@pytest.fixture
def weights():
    return DummyWeights(CONFIG)


@pytest.fixture
def directory(tmp_path, weights):
    checkpoint.write(tmp_path, weights)
    return tmp_path


def test_plain_weights_come_back_exactly(directory, weights):
    read = Checkpoint(directory, CONFIG)

    assert list(read) == list(weights)
    assert len(read) == len(weights)
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_one_expert_is_read_alone(directory, weights):
    assert torch.equal(Checkpoint(directory, CONFIG).expert(DOWN, 2), weights.expert(DOWN, 2))


def test_packed_experts_come_back_as_packed(tmp_path, weights):
    checkpoint.write(tmp_path, weights, packed=True)
    read = Checkpoint(tmp_path, CONFIG)

    expected = mxfp4.unpack(*mxfp4.pack(weights[GATE_UP]))

    assert torch.equal(read[GATE_UP], expected)
    assert torch.equal(read.expert(GATE_UP, 3), expected[3])
    assert torch.equal(read["lm_head.weight"], weights["lm_head.weight"])


def test_packed_layout_is_the_published_one(tmp_path, weights):
    checkpoint.write(tmp_path, weights, packed=True)

    entries = checkpoint._entries(tmp_path)

    assert entries[f"{GATE_UP}_blocks"].shape == (4, 64, 2, 16)
    assert entries[f"{GATE_UP}_scales"].shape == (4, 64, 2)
    assert entries[f"{DOWN}_blocks"].shape == (4, 64, 1, 16)


def test_single_file_needs_no_index(directory, weights):
    checkpoint.write(directory, weights, files=1)
    (directory / "model-00001-of-00001.safetensors").rename(directory / "model.safetensors")
    (directory / checkpoint.INDEX).unlink()

    assert torch.equal(Checkpoint(directory, CONFIG)[DOWN], weights[DOWN])


def test_real_safetensors_reads_what_we_write(directory, weights):
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")

    stored = {}
    for file in sorted(directory.glob("*.safetensors")):
        stored |= safetensors.load_file(file)

    assert all(torch.equal(stored[name].float(), weights[name]) for name in weights)


def message_of(directory, config=CONFIG):
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(directory, config)
    return str(caught.value).replace(str(directory), "DIR")


def test_truncated_file_is_named(directory):
    file = directory / "model-00002-of-00002.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-100])

    assert re.fullmatch(
        r"DIR/model-00002-of-00002.safetensors: tensor \S+ expected (\d+) bytes at \d+, "
        r"found \d+; the file is truncated",
        message_of(directory),
    )


def test_file_cut_in_its_header_is_named(directory):
    file = directory / "model-00001-of-00002.safetensors"
    file.write_bytes(file.read_bytes()[:50])

    assert message_of(directory).startswith("DIR/model-00001-of-00002.safetensors: 50 bytes, but its header alone has")


def test_missing_file_is_named(directory):
    (directory / "model-00002-of-00002.safetensors").unlink()

    assert message_of(directory) == (
        "DIR/model-00002-of-00002.safetensors: missing, but model.safetensors.index.json names it; fetch it again"
    )


def test_empty_directory_is_named(tmp_path):
    assert message_of(tmp_path) == ("DIR: no model.safetensors.index.json and no model.safetensors; name a checkpoint")


def test_misnamed_tensor_is_named(directory):
    index = directory / checkpoint.INDEX
    places = json.loads(index.read_text())
    places["weight_map"]["model.norm.wait"] = places["weight_map"].pop("model.norm.weight")
    index.write_text(json.dumps(places))

    assert message_of(directory) == (
        f"DIR/{places['weight_map']['model.norm.wait']}: "
        "tensor model.norm.wait is in model.safetensors.index.json but not in the file"
    )


def test_absent_tensor_is_named(tmp_path, weights):
    partial = {name: weights[name] for name in weights if name != "model.norm.weight"}
    checkpoint.write(tmp_path, partial)

    assert message_of(tmp_path) == "DIR: tensor model.norm.weight expected with shape [64], found none"


def test_every_wrong_shape_is_listed(directory):
    faults = message_of(directory, CONFIG.replace(vocab_size=128)).splitlines()

    assert [re.sub(r"model-\d+-of-\d+", "FILE", fault) for fault in faults] == [
        "DIR/FILE.safetensors: tensor model.embed_tokens.weight expected shape [128, 64], found [96, 64]",
        "DIR/FILE.safetensors: tensor lm_head.weight expected shape [128, 64], found [96, 64]",
    ]


def test_wrong_packed_shape_is_listed(tmp_path, weights):
    checkpoint.write(tmp_path, weights, packed=True)

    fault = message_of(tmp_path, CONFIG.replace(num_local_experts=8))

    assert f"tensor {GATE_UP}_scales expected shape [8, 64, 2], found [4, 64, 2]" in fault


def test_unknown_dtype_is_named(directory):
    file = directory / "model-00001-of-00002.safetensors"
    file.write_bytes(file.read_bytes().replace(b'"BF16"', b'"F8_X"', 1))

    assert "has dtype F8_X; expected one of F32, F16, BF16, U8" in message_of(directory)


def test_unknown_expert_tensor_is_a_key_error(directory):
    with pytest.raises(KeyError, match="side_proj"):
        Checkpoint(directory, CONFIG).expert("side_proj", 0)
