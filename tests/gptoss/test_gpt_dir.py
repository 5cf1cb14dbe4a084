"""GPT_DIR: a run takes its weights from there, says so, and fails where they are damaged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gptoss.config import GptOssConfig
from gptoss.weights import Checkpoint, DummyWeights, writer
from meshsweep import loader

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tiny():
    return GptOssConfig(**loader.load(ROOT / "matrix").scales["tiny"].config)


@pytest.fixture
def run_with(tmp_path):
    """Return a function that runs tests with GPT_DIR in a run of their own, and what the summary says of each."""

    def run(directory, *tests):
        cell = ["--mesh", "1x8", "--dtype", "bfloat8_b", "--scale", "tiny"]
        home = tmp_path / "runs"
        subprocess.run(
            [sys.executable, "-m", "meshsweep", "run", *cell, "--home", home, *tests],
            cwd=ROOT,
            env=os.environ | {"GPT_DIR": str(directory)},
            capture_output=True,
            timeout=600,
            check=False,
        )
        (summary,) = home.rglob("summary.json")
        return json.loads(summary.read_text())["results"]

    return run


def test_checkpoint_loaded_model_generates_too(tiny, tmp_path, run_with):
    # Other weights than the made-up ones, in a directory that only GPT_DIR names.
    directory = tmp_path / "tiny-seed-1"
    writer.write(directory, tiny, DummyWeights(tiny, seed=1), packed=True)

    (result,) = run_with(directory, "tests/layouts/test_generation.py")

    assert result["outcome"] == "passed", result["message"]
    assert result["properties"]["weights"] == Checkpoint(directory, tiny).source
    assert re.fullmatch("tiny-seed-1 [0-9a-f]{16}", result["properties"]["weights"])
    assert result["properties"]["top1.generation"] >= 0.8


def test_damaged_checkpoint_fails_the_run(tiny, tmp_path, run_with):
    directory = tmp_path / "damaged"
    writer.write(directory, tiny, DummyWeights(tiny, seed=1), packed=True)
    file = directory / "model-00002-of-00002.safetensors"
    file.write_bytes(file.read_bytes()[:-100])

    result, *_ = run_with(directory, "tests/unit/test_core_components.py", "-k", "rms_norm")

    assert result["outcome"] == "failed"
    assert re.search(rf"{file}: tensor \S+ expected \d+ bytes at \d+, found \d+; .*truncated", result["message"])
    assert "weights" not in result["properties"]
