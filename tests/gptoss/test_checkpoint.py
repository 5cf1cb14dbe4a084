"""Checkpoint directories: what is read back, and what is said about a broken one."""

from __future__ import annotations

import json
import os
import re

import pytest
import torch

from gptoss.config import GptOssConfig
from gptoss.weights import DummyWeights, checkpoint, mxfp4, writer
from gptoss.weights.checkpoint import Checkpoint, CheckpointError, OtherModelError

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
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def weights():
    return DummyWeights(CONFIG)


@pytest.fixture
def directory(tmp_path, weights):
    writer.write(tmp_path, CONFIG, weights)
    return tmp_path


@pytest.fixture
def packed(tmp_path, weights):
    writer.write(tmp_path, CONFIG, weights, packed=True)
    return tmp_path


def test_plain_weights_come_back_exactly(directory, weights):
    read = Checkpoint(directory, CONFIG)

    assert list(read) == list(weights)
    assert len(read) == len(weights)
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_one_expert_is_read_alone(directory, weights):
    assert torch.equal(Checkpoint(directory, CONFIG).expert(DOWN, 2), weights.expert(DOWN, 2))


def test_rows_are_read_alone(directory, weights):
    rows = Checkpoint(directory, CONFIG).rows("model.embed_tokens.weight", [5, 95, 5])

    assert torch.equal(rows, weights["model.embed_tokens.weight"][[5, 95, 5]])


def test_packed_experts_come_back_as_packed(packed, weights):
    read = Checkpoint(packed, CONFIG)

    expected = mxfp4.unpack(*mxfp4.pack(weights[GATE_UP]))

    assert torch.equal(read[GATE_UP], expected)
    assert torch.equal(read.expert(GATE_UP, 3), expected[3])
    assert torch.equal(read["lm_head.weight"], weights["lm_head.weight"])


def test_single_file_needs_no_index(tmp_path, weights):
    writer.write(tmp_path, CONFIG, weights, files=1)

    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert torch.equal(Checkpoint(tmp_path, CONFIG)[DOWN], weights[DOWN])


def test_identity_changes_with_the_bytes(directory):
    before = Checkpoint(directory, CONFIG).identity
    file = directory / SECOND
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)

    after = Checkpoint(directory, CONFIG).identity

    assert Checkpoint(directory, CONFIG).identity == after
    assert before["files"][FIRST] == after["files"][FIRST]
    assert before["files"][SECOND] != after["files"][SECOND]


def test_identity_changes_with_the_sizes_though_times_agree(tmp_path, weights):
    identities = []
    for vocab in (96, 64):
        config = CONFIG.replace(vocab_size=vocab)
        writer.write(tmp_path, config, DummyWeights(config), files=1)
        os.utime(tmp_path / checkpoint.SINGLE, ns=(0, 0))
        identities.append(Checkpoint(tmp_path, config).identity["files"][checkpoint.SINGLE])

    # The third element, the time of the last change, differs whatever is written.
    (size, modified, _, header), (other_size, other_modified, _, other_header) = identities
    assert modified == other_modified == 0
    assert size != other_size
    assert header != other_header


def message_of(directory, config=CONFIG):
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(directory, config)
    return str(caught.value).replace(str(directory), "DIR")


def test_truncated_file_is_named(directory):
    file = directory / SECOND
    file.write_bytes(file.read_bytes()[:-100])

    assert re.fullmatch(
        rf"DIR/{SECOND}: tensor \S+ expected (\d+) bytes at \d+, found \d+; the file is truncated",
        message_of(directory),
    )


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        (b"", "a header of 0 bytes is none of safetensors; the file is empty or something else"),
        (b"\x90\x01", "2 bytes, but its header alone has 400; it is truncated"),
        (b"\x02" + b"\0" * 7 + b"[]", "its header holds a list, expected a table of tensors"),
        (b"\x03" + b"\0" * 7 + b'{"a', "its header is not JSON in UTF-8 (Unterminated string"),
        (b"\x04" + b"\0" * 7 + b'{"\xff"', "its header is not JSON in UTF-8 ('utf-8' codec can't decode byte 0xff"),
    ],
    ids=["empty", "cut", "list", "broken", "not-utf8"],
)
def test_broken_header_is_named(directory, start, fault):
    (directory / FIRST).write_bytes(start)

    message = message_of(directory)

    assert message.startswith(f"DIR/{FIRST}: {fault}")
    assert len(message.splitlines()) == 1, "tensors of a file that cannot be read are not missing once more"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"dtype": "F8_X"}, "has dtype F8_X; expected one of F32, F16, BF16, U8"),
        ({"shape": [32]}, "expected 64 bytes for BF16 [32], found 128"),
        ({"shape": "64"}, "has entry {'dtype': 'BF16', 'shape': '64', 'data_offsets': [0, 128]}; expected a dtype's"),
        ({"data_offsets": [0]}, "has entry {'dtype': 'BF16', 'shape': [64], 'data_offsets': [0]}; expected dtype,"),
        ({"data_offsets": [10**9, 10**9 + 128]}, "found 0; the file is truncated"),
    ],
    ids=["dtype", "size", "kind", "offsets", "far"],
)
def test_broken_entry_is_named(tmp_path, weights, change, fault):
    writer.write(tmp_path, CONFIG, weights, files=1)
    file, name = tmp_path / checkpoint.SINGLE, "model.norm.weight"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header[name] |= {"data_offsets": [0, 128]} | change
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])

    message = message_of(tmp_path)

    assert message.startswith(f"DIR/model.safetensors: tensor {name} ")
    assert fault in message


def test_missing_file_is_named_once(packed):
    (packed / SECOND).unlink()

    assert message_of(packed) == f"DIR/{SECOND}: missing, but {checkpoint.INDEX} names it; fetch it again"


@pytest.mark.parametrize(
    ("index", "fault"),
    [
        (b"{", "not JSON in UTF-8 (Expecting property name"),
        (b"\xff\xfe", "not JSON in UTF-8 ('utf-8' codec can't decode byte 0xff"),
        (b"[]", "no weight_map; expected a table of tensors and their files"),
        (b'{"weight_map": {"a": 3}}', "places a in 3; expected a file beside the index"),
        (b'{"weight_map": {"a": "../a.safetensors"}}', "places a in '../a.safetensors'; expected a file beside"),
    ],
)
def test_broken_index_is_named(directory, index, fault):
    (directory / checkpoint.INDEX).write_bytes(index)

    assert message_of(directory).startswith(f"DIR/{checkpoint.INDEX}: {fault}")


def test_directory_without_weights_is_named(directory):
    for file in directory.glob("model*"):
        file.unlink()

    assert message_of(directory) == "DIR: no model.safetensors.index.json and no model.safetensors; name a checkpoint"


def test_absent_directory_is_named(tmp_path):
    assert message_of(tmp_path / "nowhere") == (
        "DIR: no such directory; name one that holds config.json and model.safetensors.index.json"
    )


def test_index_with_a_name_that_no_file_has(directory):
    index = directory / checkpoint.INDEX
    places = json.loads(index.read_text())
    places["weight_map"]["model.norm.wait"] = places["weight_map"].pop("model.norm.weight")
    index.write_text(json.dumps(places))

    file = places["weight_map"]["model.norm.wait"]
    assert message_of(directory).splitlines() == [
        f"DIR/{file}: tensor model.norm.wait is in model.safetensors.index.json but not in the file; fetch both again",
        f"DIR: tensor model.norm.weight expected with shape [64], found none in {FIRST}, {SECOND}; fetch them again",
    ]


def test_misnamed_tensor_is_shown_beside_its_like(tmp_path, weights):
    renamed = {name.replace("model.norm.weight", "model.norm.scale"): weights[name] for name in weights}
    writer.write(tmp_path, CONFIG, renamed, files=5)
    places = json.loads((tmp_path / checkpoint.INDEX).read_text())["weight_map"]

    assert message_of(tmp_path) == (
        "DIR: tensor model.norm.weight expected with shape [64], found none in model-00001-of-00005.safetensors, "
        "model-00002-of-00005.safetensors, model-00003-of-00005.safetensors, 2 more files, "
        f"but {places['model.norm.scale']} holds model.norm.scale of shape [64]; rename it there"
    )


FIT = "it does not fit config.json: fetch both again"
KIND = "write it in what was expected, or fetch it again"


def test_every_wrong_tensor_is_listed(tmp_path, weights):
    wrong = dict(weights) | {"lm_head.weight": torch.zeros(96, 32), GATE_UP: torch.zeros(8, 64, 64)}
    writer.write(tmp_path, CONFIG, wrong, packed=True)

    faults = message_of(tmp_path).splitlines()

    assert [re.sub(r"model-\d+-of-\d+", "FILE", fault) for fault in faults] == [
        f"DIR/FILE.safetensors: tensor {GATE_UP}_blocks expected shape [4, 64, 2, 16], found [8, 64, 2, 16]; {FIT}",
        f"DIR/FILE.safetensors: tensor {GATE_UP}_scales expected shape [4, 64, 2], found [8, 64, 2]; {FIT}",
        f"DIR/FILE.safetensors: tensor lm_head.weight expected shape [96, 64], found [96, 32]; {FIT}",
    ]


def test_wrong_kind_is_named(tmp_path, weights):
    blocks, scales = mxfp4.pack(weights[DOWN])
    wrong = {name: weights[name] for name in weights if name != DOWN} | {
        f"{DOWN}_blocks": blocks,
        f"{DOWN}_scales": scales,
    }
    writer.write(tmp_path, CONFIG, wrong, files=1)

    assert message_of(tmp_path).splitlines() == [
        f"DIR/model.safetensors: tensor {DOWN}_blocks expected dtype U8, found BF16; {KIND}",
        f"DIR/model.safetensors: tensor {DOWN}_scales expected dtype U8, found BF16; {KIND}",
    ]


def test_other_sizes_are_named_before_shapes(directory):
    with pytest.raises(OtherModelError) as caught:
        Checkpoint(directory, CONFIG.replace(vocab_size=128, rope_theta=10000.0))

    assert str(caught.value).replace(str(directory), "DIR").splitlines() == [
        "DIR/config.json: vocab_size expected 128, found 96",
        "DIR/config.json: rope_theta expected 10000.0, found 150000.0",
    ]


def test_unknown_expert_tensor_is_a_key_error(directory):
    with pytest.raises(KeyError, match="side_proj"):
        Checkpoint(directory, CONFIG).expert("side_proj", 0)
