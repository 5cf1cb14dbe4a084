"""What is written is what Hugging Face publishes: names, layout, index and header."""

from __future__ import annotations

import json

import pytest
import torch

from gptoss.config import GptOssConfig
from gptoss.weights import DummyWeights, writer

CONFIG = GptOssConfig(
    hidden_size=64,
    intermediate_size=32,
    num_hidden_layers=2,
    num_local_experts=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    vocab_size=96,
)
EXPERTS = "model.layers.1.mlp.experts"


@pytest.fixture
def directory(tmp_path):
    writer.write(tmp_path, CONFIG, DummyWeights(CONFIG), packed=True, files=3)
    return tmp_path


def header_of(file):
    data = file.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def test_files_are_named_and_indexed_as_published(directory):
    files = [f"model-0000{part}-of-00003.safetensors" for part in (1, 2, 3)]
    index = json.loads((directory / "model.safetensors.index.json").read_text())
    headers = {file: header_of(directory / file) for file in files}

    assert sorted(file.name for file in directory.iterdir()) == ["config.json", *files, "model.safetensors.index.json"]
    assert all(header.pop("__metadata__") == {"format": "pt"} for header in headers.values())
    assert index["weight_map"] == {name: file for file in files for name in headers[file]}
    assert index["metadata"] == {
        "total_size": sum(max(entry["data_offsets"][1] for entry in header.values()) for header in headers.values())
    }


def test_packed_layer_has_the_published_tensors(directory):
    index = json.loads((directory / "model.safetensors.index.json").read_text())["weight_map"]
    entries = {name: header_of(directory / index[name])[name] for name in index if name.startswith(EXPERTS)}

    assert {name.removeprefix(f"{EXPERTS}."): (entry["dtype"], entry["shape"]) for name, entry in entries.items()} == {
        "down_proj_bias": ("BF16", [4, 64]),
        "down_proj_blocks": ("U8", [4, 64, 1, 16]),
        "down_proj_scales": ("U8", [4, 64, 1]),
        "gate_up_proj_bias": ("BF16", [4, 64]),
        "gate_up_proj_blocks": ("U8", [4, 64, 2, 16]),
        "gate_up_proj_scales": ("U8", [4, 64, 2]),
    }
    assert len(index) == 2 * 19 + 3


def test_only_packed_experts_are_called_quantized(directory, tmp_path):
    writer.write(tmp_path / "plain", CONFIG, DummyWeights(CONFIG))

    packed, plain = (json.loads((at / "config.json").read_text()) for at in (directory, tmp_path / "plain"))

    assert packed["quantization_config"]["quant_method"] == "mxfp4"
    assert "model.layers.*.self_attn" in packed["quantization_config"]["modules_to_not_convert"]
    assert "quantization_config" not in plain


def test_experts_that_do_not_fill_a_block_are_refused(tmp_path):
    config = CONFIG.replace(intermediate_size=40)

    with pytest.raises(ValueError, match="packs 32 inputs a block; got 40 inputs"):
        writer.write(tmp_path, config, DummyWeights(config), packed=True)


def test_values_are_rounded_to_bfloat16(tmp_path):
    weights = dict(DummyWeights(CONFIG)) | {"model.norm.weight": torch.full((64,), 1.001)}
    writer.write(tmp_path, CONFIG, weights, files=1)
    file = tmp_path / "model.safetensors"
    entry = header_of(file)["model.norm.weight"]
    base = 8 + int.from_bytes(file.read_bytes()[:8], "little")

    start, end = (base + offset for offset in entry["data_offsets"])

    assert file.read_bytes()[start:end] == b"\x80\x3f" * 64
