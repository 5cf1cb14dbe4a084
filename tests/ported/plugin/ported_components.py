"""Run the components of an early GPT-OSS of tt-metal, of September 2025, against Hugging Face's.

Its own tests draw 20 GB of weights and call forms that later releases of ttnn refuse. Here its classes get a small
model. Each component is tried on each mesh and ends as a line of JSON: its PCC, or the error that stopped it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import ttnn
from models.demos.gpt_oss.moe import MeshConfig
from models.demos.gpt_oss.tt.attention import Attention
from models.demos.gpt_oss.tt.ccl import CCLManager
from models.demos.gpt_oss.tt.experts import Experts
from models.demos.gpt_oss.tt.layer import DecoderLayer
from models.demos.gpt_oss.tt.mlp import MLP
from models.demos.gpt_oss.tt.rms_norm import RMSNorm
from models.demos.gpt_oss.tt.rope import ApplyRotaryPosEmb
from models.demos.gpt_oss.tt.topk import TopKRouter
from transformers import GptOssConfig
from transformers.models.gpt_oss import modeling_gpt_oss as reference

__all__ = ["main"]

MESHES = ((1, 1), (1, 8), (4, 8))
TOKENS = 32
FLOOR, FLOOR_OF_EXPERTS = 0.999, 0.97  # the weights of experts are bfloat4_b, a residual hides them in a whole layer


class Setup:
    """A mesh, a small model, and its Hugging Face layer."""

    def __init__(self, rows: int, cols: int) -> None:
        torch.manual_seed(0)
        ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)
        self.mesh = ttnn.open_mesh_device(ttnn.MeshShape(rows, cols))
        self.config = GptOssConfig(
            num_hidden_layers=2,
            num_local_experts=8,
            num_experts_per_tok=2,
            hidden_size=512,
            intermediate_size=512,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=64,
            vocab_size=256,
            sliding_window=128,
            attn_implementation="eager",
        )
        self.layer = reference.GptOssDecoderLayer(self.config, layer_idx=1).eval()
        for parameter in self.layer.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        self.parallel = MeshConfig(self.mesh.shape, tp=cols)
        self.ccl = CCLManager(self.mesh)

    def state(self, part: str) -> dict[str, torch.Tensor]:
        """Return the weights of one part of the layer."""
        prefix = f"{part}." if part else ""
        return {
            name.removeprefix(prefix): value
            for name, value in self.layer.state_dict().items()
            if name.startswith(prefix)
        }

    def put(self, values: torch.Tensor) -> ttnn.Tensor:
        """Lay values over the mesh, on every device."""
        return ttnn.from_torch(values, device=self.mesh, layout=ttnn.TILE_LAYOUT, dtype=ttnn.bfloat16)

    def rotation(self, tokens: int) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[object, ...]]:
        """Return cosines and sines for the reference, and what the components take."""
        positions = torch.arange(tokens)[None]
        pair = reference.GptOssRotaryEmbedding(self.config)(torch.zeros(1, tokens, 512), positions)
        return pair, (ApplyRotaryPosEmb(self.config), *(self.put(part.unsqueeze(2)) for part in pair))

    def hidden(self, tokens: int) -> torch.Tensor:
        """Return hidden states of one user."""
        return torch.randn(1, tokens, self.config.hidden_size)


def _causal(tokens: int) -> torch.Tensor:
    return torch.triu(torch.full((1, 1, tokens, tokens), -1e4), diagonal=1)


def norm(setup: Setup) -> tuple[ttnn.Tensor, torch.Tensor]:
    """Run RMSNorm with the layer's parallelism."""
    x = setup.hidden(TOKENS)
    module = RMSNorm(setup.mesh, setup.config, setup.state("input_layernorm"), mesh_config=setup.parallel)
    return module(setup.put(x)), setup.layer.input_layernorm(x)


def router(setup: Setup) -> tuple[ttnn.Tensor, torch.Tensor]:
    """Run the router and return its dense scores."""
    x = setup.hidden(TOKENS)
    module = TopKRouter(setup.mesh, setup.config, setup.state("mlp.router"))
    return module(setup.put(x))[0], setup.layer.mlp.router(x)[0]


def _experts(setup: Setup, tokens: int) -> tuple[ttnn.Tensor, torch.Tensor]:
    x = setup.hidden(tokens)
    scores, indices = setup.layer.mlp.router(x)
    module = Experts(setup.mesh, setup.config, setup.state("mlp.experts"), setup.ccl, mesh_config=setup.parallel)
    expected = setup.layer.mlp.experts(x, router_indices=indices, routing_weights=scores)
    return module(setup.put(x), setup.put(scores)), expected


def experts_prefill(setup: Setup) -> tuple[ttnn.Tensor, torch.Tensor]:
    """Run all experts on all tokens."""
    return _experts(setup, TOKENS)


def experts_decode(setup: Setup) -> tuple[ttnn.Tensor, torch.Tensor]:
    """Run the chosen experts on one token."""
    return _experts(setup, 1)


def mlp(setup: Setup) -> tuple[ttnn.Tensor, torch.Tensor]:
    """Run router and experts."""
    x = setup.hidden(TOKENS)
    module = MLP(setup.mesh, setup.config, setup.state("mlp"), setup.ccl, mesh_config=setup.parallel)
    return module(setup.put(x))[0], setup.layer.mlp(x)[0]


def mlp_from_cache(setup: Setup) -> tuple[ttnn.Tensor, torch.Tensor]:
    """Run router and experts whose weights a first start has left on the disk; the second gets zeros."""
    x = setup.hidden(TOKENS)
    with tempfile.TemporaryDirectory() as folder:
        arguments = (setup.ccl, ttnn.bfloat16, folder, setup.parallel)
        MLP(setup.mesh, setup.config, setup.state("mlp"), *arguments)
        zeros = {name: torch.zeros_like(value) for name, value in setup.state("mlp").items()}
        module = MLP(setup.mesh, setup.config, zeros, *arguments)
    return module(setup.put(x))[0], setup.layer.mlp(x)[0]


def _attention(setup: Setup, tokens: int) -> tuple[ttnn.Tensor, torch.Tensor]:
    x = setup.hidden(tokens)
    pair, rotation = setup.rotation(tokens)
    module = Attention(setup.mesh, setup.config, setup.state("self_attn"), 1, setup.ccl, mesh_config=setup.parallel)
    mask = _causal(tokens)
    expected = setup.layer.self_attn(hidden_states=x, position_embeddings=pair, attention_mask=mask)[0]
    position = ttnn.from_torch(torch.zeros(1, dtype=torch.int32), device=setup.mesh, dtype=ttnn.int32)
    return module(setup.put(x), setup.put(mask), rotation, position_idx=position), expected


def attention_prefill(setup: Setup) -> tuple[ttnn.Tensor, torch.Tensor]:
    """Run attention over a prompt."""
    return _attention(setup, TOKENS)


def attention_decode(setup: Setup) -> tuple[ttnn.Tensor, torch.Tensor]:
    """Run attention of one token through the cache."""
    return _attention(setup, 1)


def decoder_prefill(setup: Setup) -> tuple[ttnn.Tensor, torch.Tensor]:
    """Run a whole layer over a prompt."""
    x = setup.hidden(TOKENS)
    pair, rotation = setup.rotation(TOKENS)
    module = DecoderLayer(setup.mesh, setup.config, setup.state(""), 1, setup.ccl, mesh_config=setup.parallel)
    mask = _causal(TOKENS)
    expected = setup.layer(x, position_embeddings=pair, attention_mask=mask)
    expected = expected[0] if isinstance(expected, tuple) else expected
    return module(setup.put(x), setup.put(mask), rotation), expected


COMPONENTS: tuple[Callable[[Setup], tuple[ttnn.Tensor, torch.Tensor]], ...] = (
    norm,
    router,
    experts_prefill,
    experts_decode,
    mlp,
    mlp_from_cache,
    attention_prefill,
    attention_decode,
    decoder_prefill,
)


def _lowest(found: ttnn.Tensor, expected: torch.Tensor) -> float:
    """Return the lowest PCC over the devices."""
    wanted = expected.detach().float().flatten()
    parts = [ttnn.to_torch(part).float().flatten() for part in ttnn.get_device_tensors(found)]
    return min(float(torch.corrcoef(torch.stack([part, wanted]))[0, 1]) for part in parts)


def _lines() -> Iterator[dict[str, object]]:
    for rows, cols in MESHES:
        for component in COMPONENTS:
            line: dict[str, object] = {"test": f"components.py::{component.__name__}[{rows}x{cols}]"}
            try:
                with torch.no_grad():
                    pcc = _lowest(*component(Setup(rows, cols)))
            except Exception as error:  # noqa: BLE001 - whatever stops a component is its result
                first = str(error).strip().splitlines()[0]
                yield line | {"outcome": "failed", "reason": f"{type(error).__name__}: {first}"}
                continue
            floor = FLOOR_OF_EXPERTS if component.__name__.startswith(("experts", "mlp")) else FLOOR
            yield line | {"component": "pcc", "pcc": pcc, "floor": floor}
            yield line | {"outcome": "passed" if pcc >= floor else "failed"}


def main() -> None:
    """Write the lines to the file that PORTED_RECORD names."""
    with Path(os.environ["PORTED_RECORD"]).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in _lines())


if __name__ == "__main__":
    main()
