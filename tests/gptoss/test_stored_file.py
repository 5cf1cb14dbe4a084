"""Files of a checkpoint: their tensors tile them, and one that changes once it is open is noticed."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest
import torch

from gptoss.config import GptOssConfig
from gptoss.weights import DummyWeights, checkpoint, writer
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


@pytest.fixture
def single(tmp_path):
    """Return the one file of a checkpoint."""
    writer.write(tmp_path, CONFIG, DummyWeights(CONFIG), files=1)
    return tmp_path / checkpoint.SINGLE


@pytest.fixture
def packed(tmp_path):
    """Return the directory of a checkpoint of two files with packed experts."""
    writer.write(tmp_path, CONFIG, DummyWeights(CONFIG), packed=True)
    return tmp_path


def message_of(file):
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(file.parent, CONFIG)
    return str(caught.value).replace(str(file), "FILE")


def rewrite_header(file, change):
    """Change what a file's header lists, and nothing of its values."""
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    return 8 + len(text)


def test_tensors_that_share_bytes_are_refused(single):
    one, other = (f"model.layers.0.self_attn.{kind}_proj.bias" for kind in "kv")
    base = rewrite_header(single, lambda header: header[other].update(data_offsets=header[one]["data_offsets"]))

    message = message_of(single)

    first, *_ = message.splitlines()
    told = re.fullmatch(
        rf"FILE: tensor {other} expected at (\d+), where {one} ends, found at (\d+); "
        "offsets leave no gap and share no byte: fetch it again",
        first,
    )
    assert told, message
    assert int(told[1]) - int(told[2]) == 128
    assert int(told[2]) > base


def test_file_with_more_than_its_tensors_is_refused(single):
    whole = single.stat().st_size
    single.write_bytes(single.read_bytes() + b"more")

    assert message_of(single) == (
        f"FILE: expected {whole} bytes, where model.norm.weight ends, found {whole + 4}; fetch it again"
    )


@pytest.mark.parametrize("change", ["shorter", "rewritten"])
def test_file_that_changes_after_opening_is_noticed(packed, change):
    read = Checkpoint(packed, CONFIG)
    for file in packed.glob("*.safetensors"):
        data = file.read_bytes()
        file.write_bytes(data[:-4000] if change == "shorter" else data)
        os.utime(file, ns=(1, 1))

    with pytest.raises(
        CheckpointError, match=r"safetensors: tensor \S+ expected in a file of \d+ bytes, found \d+; .* start again"
    ):
        read.expert(GATE_UP, 3)


def test_other_weights_under_an_old_time_are_noticed(packed):
    read = Checkpoint(packed, CONFIG)
    writer.write(packed, CONFIG, other := DummyWeights(CONFIG, seed=1), packed=True)
    for file in packed.glob("*.safetensors"):
        entry = next(entry for entry in read._entries.values() if entry.file.path == file)
        os.utime(file, ns=(entry.file.modified_ns,) * 2)
        assert file.stat().st_size == entry.file.size_bytes

    with pytest.raises(CheckpointError, match="the file has changed since it was opened: start again"):
        read.expert(GATE_UP, 3)
    assert torch.equal(Checkpoint(packed, CONFIG)["lm_head.weight"], other["lm_head.weight"])


def test_file_put_in_the_place_of_another_is_noticed(packed):
    read = Checkpoint(packed, CONFIG)
    for file in packed.glob("*.safetensors"):
        copy = file.with_suffix(".copy")
        shutil.copy2(file, copy)
        copy.replace(file)

    with pytest.raises(CheckpointError, match="the file has changed since it was opened: start again"):
        read["model.norm.weight"]


def test_file_that_goes_after_opening_is_named(packed):
    read = Checkpoint(packed, CONFIG)
    for file in packed.glob("*.safetensors"):
        file.unlink()

    with pytest.raises(CheckpointError) as caught:
        read.expert(GATE_UP, 3)

    assert re.fullmatch(
        rf"DIR/model-0000\d-of-00002.safetensors: tensor {GATE_UP}_blocks cannot be read: No such file or directory; "
        "the file has changed since it was opened: fetch it again and start again",
        str(caught.value).replace(str(packed), "DIR"),
    )
