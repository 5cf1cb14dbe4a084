"""Weights on disk: what is found again, what is made anew, and what goes wrong without harm."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
import ttnn

from gptoss.ccl import CCLManager
from gptoss.component import Component, place
from gptoss.config import GptOssConfig
from gptoss.mesh_config import MeshConfig
from gptoss.model import Model
from gptoss.moe.expert_bank import ExpertBank, WholeExpertBank
from gptoss.moe.router import TopKRouter
from gptoss.weights import Checkpoint, DummyWeights, writer
from gptoss.weights.tensor_cache import TensorCache, at, code_digest, digest_of

CONFIG = GptOssConfig(
    hidden_size=64,
    intermediate_size=64,
    num_hidden_layers=2,
    num_local_experts=8,
    num_attention_heads=8,
    num_key_value_heads=8,
    head_dim=32,
    vocab_size=96,
)
NORM = "model.norm.weight"


class Maker:
    """A component that counts how often it had to make its tensor."""

    def __init__(self, mesh, directory, weights=None, config=CONFIG, kind=Component, **options):
        self.mesh, self.made = mesh, 0
        weights = weights or DummyWeights(CONFIG)
        weights.cache = TensorCache(directory)
        self.component = kind(mesh, config, weights, CCLManager(mesh), **options)

    def host(self):
        self.made += 1
        return self.component.state_dict["lm_head.weight"].float().T[None, None]

    def load(self, name="head", **options):
        settings = {"dims": (None, -1), "dtype": ttnn.bfloat8_b} | options
        return self.component.cached(name, self.host, **settings)


def values(tensor):
    return [ttnn.to_torch(shard) for shard in ttnn.get_device_tensors(tensor)]


def are_equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(values(one), values(other), strict=True))


@pytest.mark.parametrize("dtype", [ttnn.bfloat16, ttnn.bfloat8_b, ttnn.bfloat4_b], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("dims", [(None, None), (None, -1), (2, 3)])
def test_second_process_makes_nothing(mesh, tmp_path, dtype, dims):
    first, second = Maker(mesh, tmp_path), Maker(mesh, tmp_path)
    plain = place(mesh, first.host(), dims=dims, dtype=dtype)

    made, found = first.load(dims=dims, dtype=dtype), second.load(dims=dims, dtype=dtype)

    assert (first.made, second.made) == (2, 0)
    assert are_equal(made, plain)
    assert are_equal(found, plain)
    for tensor in (made, found):
        assert (tensor.dtype, tensor.layout, tensor.shape) == (plain.dtype, plain.layout, plain.shape)
        assert tensor.memory_config() == plain.memory_config()


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"layer": 1}, {}),
        ({"mesh_config": MeshConfig.from_tables((2, 4), {"ep": 2}, {"tp": 1})}, {}),
        ({"weights": DummyWeights(CONFIG, seed=1)}, {}),
        ({"weights": DummyWeights(CONFIG.replace(num_local_experts=4))}, {}),
        ({"config": CONFIG.replace(swiglu_limit=5.0)}, {}),
        ({"kind": type("Tail", (Component,), {})}, {}),
        ({"dtype": ttnn.bfloat4_b}, {}),
        ({}, {"name": "tail"}),
        ({}, {"dtype": ttnn.bfloat16}),
        ({}, {"dims": (None, -2)}),
        ({}, {"layout": ttnn.ROW_MAJOR_LAYOUT, "dtype": ttnn.bfloat16}),
        ({}, {"experts": (1, 2)}),
    ],
    ids=[
        "layer",
        "split",
        "seed",
        "sizes",
        "config",
        "component",
        "cell",
        "name",
        "dtype",
        "dims",
        "layout",
        "experts",
    ],
)
def test_whatever_matters_makes_it_anew(mesh, tmp_path, options, settings):
    Maker(mesh, tmp_path).load()
    other = Maker(mesh, tmp_path, **options)

    other.load(**settings)

    assert other.made == 1


def test_another_mesh_makes_it_anew(tmp_path, open_mesh):
    alone = MeshConfig.from_tables((1, 1), {}, {})
    for shape in ((2, 4), (1, 8), (1, 1)):
        with open_mesh(*shape) as mesh:
            maker = Maker(mesh, tmp_path, mesh_config=alone)
            maker.load(dims=(None, None))

            assert maker.made == 1


def test_other_code_makes_it_anew(mesh, tmp_path, monkeypatch):
    Maker(mesh, tmp_path).load()
    monkeypatch.setattr("gptoss.component.code_digest", lambda: "other")
    other = Maker(mesh, tmp_path)

    other.load()

    assert other.made == 1


@pytest.mark.parametrize("file", ["model/part/rows.py", "library/convert.py", "library/_ttnn.so"])
def test_code_is_told_by_its_sources(tmp_path, file):
    for path in ("model/part/rows.py", "library/convert.py", "library/_ttnn.so"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("before")
    before = digest_of(tmp_path / "model", tmp_path / "library")

    (tmp_path / file).write_text("after it")

    assert digest_of(tmp_path / "model", tmp_path / "library") != before
    assert code_digest() != before


def test_other_bytes_in_a_checkpoint_make_it_anew(mesh, tmp_path):
    directory, cache = tmp_path / "weights", tmp_path / "cache"
    seen = []
    for seed in (0, 0, 1):
        if not seen or seed:
            writer.write(directory, CONFIG, DummyWeights(CONFIG, seed=seed))
        maker = Maker(mesh, cache, Checkpoint(directory, CONFIG))
        seen.append((maker.load(), maker.made))

    assert [made for _, made in seen] == [1, 0, 1]
    assert are_equal(seen[0][0], seen[1][0])
    assert not are_equal(seen[1][0], seen[2][0])


def test_weights_that_nothing_tells_apart_are_not_kept(mesh, tmp_path):
    class Changed(DummyWeights):
        identity = None

    for _ in range(2):
        maker = Maker(mesh, tmp_path, Changed(CONFIG))
        maker.load()

        assert maker.made == 1
    assert not list(tmp_path.iterdir())


def cut(directory):
    (file,) = directory.glob("*.tensorbin")
    file.write_bytes(file.read_bytes()[:-1])


def flip(directory):
    (file,) = directory.glob("*.tensorbin")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def lose(directory):
    (file,) = directory.glob("*.tensorbin")
    file.unlink()


def garble(directory):
    (file,) = directory.glob("*.json")
    file.write_bytes(b"\xff{")


def rename(directory):
    (file,) = directory.glob("*.json")
    record = json.loads(file.read_text())
    record["key"]["layer"] = 7
    file.write_text(json.dumps(record))


@pytest.mark.parametrize("harm", [cut, flip, lose, garble, rename])
def test_what_is_not_whole_is_made_anew(mesh, tmp_path, harm):
    first, second, third = (Maker(mesh, tmp_path) for _ in range(3))
    expected = values(first.load())
    harm(tmp_path)

    second.load()
    found = third.load()

    assert (first.made, second.made, third.made) == (1, 1, 0)
    assert all(torch.equal(a, b) for a, b in zip(values(found), expected, strict=True))


FILL = """
import sys, time
from pathlib import Path
import torch, ttemu
ttemu.install()
import ttnn
from gptoss.weights.tensor_cache import TensorCache

cache, made = TensorCache(Path(sys.argv[1])), 0
def make():
    global made
    made += 1
    return ttnn.from_torch(torch.full((64, 1024), float(number)), dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT)
(cache.directory / f"ready-{sys.argv[2]}").touch()
while len(list(cache.directory.glob("ready-*"))) < 2:
    time.sleep(0.001)
for number in range(40):
    values = ttnn.to_torch(cache.get({"tensor": f"t{number}"}, make))
    assert (values == number).all(), (number, values)
print(made)
"""


def test_processes_fill_it_at_once(tmp_path):
    command = [sys.executable, "-c", FILL, str(tmp_path)]
    together = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "ab"]
    made = [int(process.communicate()[0] or 0) for process in together]

    late = TensorCache(tmp_path)
    found = [ttnn.to_torch(late.get({"tensor": f"t{number}"}, pytest.fail)) for number in range(40)]

    assert [process.returncode for process in together] == [0, 0]
    assert all(count > 0 for count in made)
    assert sum(made) >= 40
    assert all((tensor == number).all() for number, tensor in enumerate(found))
    assert not list(tmp_path.glob(".filling-*"))


@contextmanager
def small_files():
    """Let no file of this process grow beyond 8 KiB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 13, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_is_said_once(mesh, tmp_path, messages):
    maker = Maker(mesh, tmp_path)
    expected = place(mesh, maker.host())

    with small_files():
        loaded = [maker.load(name, dims=(None, None), dtype=ttnn.bfloat16) for name in ("one", "two")]

    assert maker.made == 3
    assert all(are_equal(tensor, expected) for tensor in loaded)
    assert [message.split(": ")[:2] for message in messages] == [[str(tmp_path), "no longer filled"]]
    assert messages[0].endswith("; the run goes on without it")
    assert not list(tmp_path.iterdir())


def test_what_killed_processes_left_is_removed(mesh, tmp_path):
    left, busy = tmp_path / ".filling-left", tmp_path / ".filling-busy"
    for room in (left, busy):
        room.mkdir()
        (room / "values.tensorbin").touch()
    os.utime(left, (0, 0))

    Maker(mesh, tmp_path).load()

    assert not left.exists()
    assert busy.exists()


def test_path_that_is_a_file_is_said(mesh, tmp_path, messages):
    file = tmp_path / "file"
    file.touch()
    maker = Maker(mesh, file)

    maker.load()

    assert maker.made == 1
    assert len(messages) == 1


@pytest.fixture
def messages():
    """Return the warnings that are logged from now on."""
    from loguru import logger

    found = []
    sink = logger.add(lambda message: found.append(message.record["message"]), level="WARNING")
    yield found
    logger.remove(sink)


def test_process_has_one_cache_of_a_directory(tmp_path):
    assert at(tmp_path) is at(tmp_path)


def build(mesh, directory, part, **options):
    weights = Counted(CONFIG)
    weights.cache = TensorCache(directory)
    return part(mesh, CONFIG, weights, CCLManager(mesh), **options), weights


class Counted(DummyWeights):
    """Weights that note what was asked of them."""

    def __init__(self, config):
        super().__init__(config)
        self.asked = []

    def __getitem__(self, name):
        self.asked.append(name)
        return super().__getitem__(name)

    def expert(self, name, index):
        self.asked.append(name)
        return super().expert(name, index)


LARGE = re.compile(r"embed_tokens|lm_head|[qkvo]_proj.weight|experts.*_proj$")


@pytest.mark.parametrize("dtype", [ttnn.bfloat8_b, ttnn.bfloat4_b], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("throughput", [False, True])
def test_whole_model_is_found_again(mesh, tmp_path, dtype, throughput):
    layout = MeshConfig.of(mesh).for_throughput() if throughput else MeshConfig.of(mesh)
    options = {"dtype": dtype, "mesh_config": layout}
    tokens = torch.arange(32).expand(layout.user_rows, -1).squeeze(0)
    plain = Model(mesh, CONFIG, DummyWeights(CONFIG), CCLManager(mesh), **options)
    first, cold = build(mesh, tmp_path, Model, **options)

    second, warm = build(mesh, tmp_path, Model, **options)

    assert {name for name in cold.asked if LARGE.search(name)} == {name for name in warm if LARGE.search(name)}
    assert not [name for name in warm.asked if LARGE.search(name)]
    for model in (first, second):
        assert are_equal(model.prefill(tokens), plain.prefill(tokens))


def test_pool_of_a_router_does_not_come_from_disk(mesh, tmp_path):
    for pool_seed in (1, 2):
        weights, others = (DummyWeights(CONFIG, pool=4, pool_seed=pool_seed) for _ in range(2))
        weights.cache = TensorCache(tmp_path)
        cached, plain = (TopKRouter(mesh, CONFIG, source, CCLManager(mesh)) for source in (weights, others))

        assert are_equal(cached.bias, plain.bias)


@pytest.mark.parametrize("dtype", [ttnn.bfloat8_b, ttnn.bfloat4_b], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(
    ("kind", "sets"),
    [
        (ExpertBank, [(0, 1, 2, 3), (4, 5, 6, 7), (1, 2, 5, 7), (0, 2, 5, 6)]),
        (WholeExpertBank, [tuple(None if at in gone else at for at in range(8)) for gone in ((), (1,), (2,), (1, 2))]),
    ],
    ids=["split", "whole"],
)
def test_entries_do_not_grow_with_sets(mesh, tmp_path, dtype, kind, sets):
    layout = MeshConfig.of(mesh).for_throughput() if kind is WholeExpertBank else MeshConfig.of(mesh)
    bank, _ = build(mesh, tmp_path, kind, limit_bytes=0, dtype=dtype, mesh_config=layout)

    def entries():
        return {json.loads(file.read_text())["key"]["experts"][0] for file in tmp_path.glob("mlp.experts.*.json")}

    bank.load(sets[0])
    bank.load(sets[1])
    before = len(list(tmp_path.iterdir()))
    for ids in sets[2:]:
        bank.load(ids)

    assert len(list(tmp_path.iterdir())) == before, entries()


def test_experts_of_changing_sets_are_found_one_by_one(mesh, tmp_path):
    options = {"limit_bytes": 4 * 3 * 64 * 64 * 4}
    plain = ExpertBank(mesh, CONFIG, DummyWeights(CONFIG), CCLManager(mesh), **options)
    bank, weights = build(mesh, tmp_path, ExpertBank, **options)
    bank.load((0, 1, 2, 3))
    bank.load((4, 5, 6, 7))
    weights.asked.clear()

    mixed, expected = bank.load((1, 2, 5, 7)), plain.load((1, 2, 5, 7))

    assert not [name for name in weights.asked if LARGE.search(name)]
    for name in ("gate", "up", "down"):
        assert are_equal(getattr(mixed, name), getattr(expected, name))
