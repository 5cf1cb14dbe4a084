"""The reference, the checkpoint reader and the writer agree with Hugging Face's own implementation.

transformers comes with the extra ``dev``: without it these tests fail, they do not skip. It is imported by the tests
that need it, since it takes seconds and every worker collects this file.
"""

from __future__ import annotations

import importlib

import pytest
import torch

from gptoss.config import GptOssConfig
from gptoss.reference import Reference, ReferenceCache
from gptoss.weights import Checkpoint, DummyWeights, hf_config, writer

CONFIG = GptOssConfig(
    hidden_size=96,
    intermediate_size=64,
    num_hidden_layers=2,
    num_local_experts=8,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=32,
    vocab_size=100,
    sliding_window=16,
    initial_context_length=64,
    max_position_embeddings=2048,
)
# Two float32 programs that sum in different orders; logits are about 2.
TOLERANCE = 1e-5
TOKENS = torch.randint(0, 100, (40,), generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def transformers():
    """Return the package, cut off from the network before it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield importlib.import_module("transformers")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return a directory of bfloat16 weights."""
    directory = tmp_path_factory.mktemp("plain")
    writer.write(directory, CONFIG, DummyWeights(CONFIG))
    return directory


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Return a directory with MXFP4 experts."""
    directory = tmp_path_factory.mktemp("packed")
    writer.write(directory, CONFIG, DummyWeights(CONFIG), packed=True, files=3)
    return directory


@pytest.fixture(scope="module")
def oracle(transformers, plain):
    """Return transformers' model of the bfloat16 weights, in float32."""
    return load(transformers, plain)


def load(transformers, directory, **options):
    """Return what transformers makes of a directory, after it found every tensor and no other."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        directory,
        dtype=torch.float32,
        attn_implementation="eager",
        experts_implementation="eager",
        output_loading_info=True,
        **options,
    )
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    return model.eval()


def test_prefill_matches_hugging_face(oracle, plain):
    with torch.no_grad():
        expected = oracle(TOKENS[None]).logits[0]

    actual = Reference(CONFIG, Checkpoint(plain, CONFIG)).model(TOKENS, layers=2)

    assert (actual - expected).abs().max() < TOLERANCE


def test_decode_across_the_window_matches_hugging_face(transformers, oracle, plain):
    reference, caches = Reference(CONFIG, Checkpoint(plain, CONFIG)), [ReferenceCache(), ReferenceCache()]
    theirs = transformers.DynamicCache(config=oracle.config)
    lengths, errors = [], []

    for start, end in ((0, 12), *((t, t + 1) for t in range(12, 24))):
        with torch.no_grad():
            expected = oracle(TOKENS[None, start:end], past_key_values=theirs, use_cache=True).logits[0]
        actual = reference.model(TOKENS[start:end], layers=2, caches=caches)
        errors.append((actual - expected).abs().max())
        lengths.append([layer.keys.shape[2] for layer in theirs.layers])

    assert max(errors) < TOLERANCE
    assert lengths[0] == [12, 12]
    # It keeps one position less than the window, to which the next token comes.
    assert lengths[-1] == [CONFIG.sliding_window - 1, 24]


def test_packed_experts_match_hugging_face(transformers, packed):
    model = load(transformers, packed, quantization_config=transformers.Mxfp4Config(dequantize=True))
    weights, theirs = Checkpoint(packed, CONFIG), model.state_dict()

    assert set(theirs) == set(weights)
    assert all(torch.equal(theirs[name], weights[name].float()) for name in weights)
    with torch.no_grad():
        expected = model(TOKENS[None]).logits[0]
    assert (Reference(CONFIG, weights).model(TOKENS, layers=2) - expected).abs().max() < TOLERANCE


def test_what_hugging_face_saves_is_read(oracle, tmp_path):
    oracle.save_pretrained(tmp_path, max_shard_size="200KB")

    weights = Checkpoint(tmp_path, CONFIG)

    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert hf_config.read(tmp_path) == CONFIG
    assert all(torch.equal(weights[name], tensor) for name, tensor in oracle.state_dict().items())
