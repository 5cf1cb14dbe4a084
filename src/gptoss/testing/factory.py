"""Set a test up in one line, and compare what it computed with what it should have.

Letters: S sequence, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
import ttnn
from loguru import logger

from gptoss.ccl import CCLManager
from gptoss.component import place, tile_up
from gptoss.config import ConfigError, GptOssConfig
from gptoss.mesh_config import TILE, MeshConfig
from gptoss.reference import Reference
from gptoss.testing.bench import Bench, bench_of, bind
from gptoss.testing.comparison import Comparison, Limits, compare, copies
from gptoss.testing.draws import Draws
from gptoss.testing.generation import Generation, compare_generation
from gptoss.testing.routing import Routing, compare_experts
from gptoss.weights import DummyWeights, Weights, hf_config
from gptoss.weights.checkpoint import Checkpoint, OtherModelError
from gptoss.weights.tensor_cache import at

__all__ = ["Bench", "Setup", "TestFactory", "bind"]

Built = TypeVar("Built")
Verdict = TypeVar("Verdict", Comparison, Routing, Generation)

# Twice what a token chooses, so that a router that chooses wrongly is seen; 0.4 GB at the real widths.
POOL = 8
POOL_ABOVE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """All that a test needs, by key or by attribute."""

    mesh_device: Any
    config: GptOssConfig
    mesh_config: MeshConfig
    state_dict: Mapping[str, torch.Tensor]
    ccl_manager: CCLManager
    dtype: Any
    layers: int
    reference: Reference

    def __getitem__(self, key: str) -> Any:
        keys = [field.name for field in fields(self)]
        if key not in keys:
            raise KeyError(f"setup has no {key!r}; choose one of {', '.join(keys)}")
        return getattr(self, key)

    def build(self, component: Callable[..., Built], **options: Any) -> Built:
        """Return a component in the cell's dtype, spread as the cell spreads it."""
        chosen: dict[str, Any] = {"mesh_config": self.mesh_config, "dtype": self.dtype} | options
        return component(self.mesh_device, self.config, self.state_dict, self.ccl_manager, **chosen)

    def with_weights(self, state_dict: Mapping[str, torch.Tensor]) -> Setup:
        """Return this setup over other weights, after a test has changed the sizes."""
        return replace(self, state_dict=state_dict, reference=Reference(self.config, state_dict))

    @property
    def draws(self) -> Draws:
        """Random inputs that suit this model."""
        return Draws(self.reference)

    @property
    def length(self) -> int:
        """A prompt length in whole tiles that is longer than the sliding window."""
        return tile_up(self.config.sliding_window + TILE // 2)

    def over_columns(self, dim: int) -> tuple[int | None, int | None]:
        """Return the split of a tensor whose ``dim`` the tensor parallelism cuts."""
        return (None, dim) if self.mesh_config.tp > 1 else (None, None)

    def send(self, host: torch.Tensor) -> Any:
        """Return [S, N] as [1, 1, S, N] in bfloat16, copied to every device."""
        return place(self.mesh_device, host[None, None])


class TestFactory:
    """What the tests of the guide call."""

    # Not a test class, whatever its name says to pytest.
    __test__ = False

    @staticmethod
    def setup_test(mesh_device: Any, *, dtype: Any = None, layers: int | None = None, **config_overrides: Any) -> Setup:
        """Return the setup of the cell that ``mesh_device`` is open for, some sizes changed."""
        bench = bench_of(mesh_device)
        config = _config(bench, config_overrides)
        mesh_config = MeshConfig.from_tables(_shape(mesh_device), bench.decode, bench.prefill)
        state_dict = _weights(bench, config, own_sizes=bool(config_overrides))
        return Setup(
            mesh_device=mesh_device,
            config=config,
            mesh_config=mesh_config,
            state_dict=state_dict,
            ccl_manager=CCLManager(mesh_device),
            dtype=getattr(ttnn, bench.dtype) if dtype is None else dtype,
            layers=bench.layers if layers is None else layers,
            reference=Reference(config, state_dict),
        )

    @staticmethod
    def compare_tensors(
        actual: Any,
        expected: torch.Tensor,
        mesh_device: Any,
        pcc_threshold: float | None = None,
        *,
        component: str | None = None,
        dims: tuple[int | None, int | None] = (None, None),
        about: object = None,
    ) -> Comparison:
        """Return whether every copy of ``actual`` is as ``expected``, within a component's floor.

        ``dims`` says which dim of ``actual`` the mesh rows and columns split; None means copies. ``about`` is
        printed with the verdict, to tell apart what a test compares more than once.
        """
        bench = bench_of(mesh_device)
        limits = _limits(bench, component, pcc_threshold)
        verdict = compare(
            actual,
            expected,
            mesh_shape=_shape(mesh_device),
            limits=limits,
            subject=_subject(bench, component, about),
            dims=dims,
            values=bench.values,
        )
        numbers = {name: getattr(verdict, name) for name in ("pcc", "max_error", "rms_error", "slope_error")}
        return _told(bench, verdict, component, numbers | {"floor": limits.pcc})

    @staticmethod
    def compare_experts(
        routing: Any,
        scores: torch.Tensor,
        mesh_device: Any,
        *,
        k: int,
        component: str,
        dims: tuple[int | None, int | None] = (None, None),
        near_ties: int = 0,
    ) -> Routing:
        """Return whether weights [.., T, E] on every device choose the best K experts of ``scores`` [T, E].

        At most ``near_ties`` tokens may differ, and only where rounding explains it; how many did is recorded.
        """
        bench = bench_of(mesh_device)
        found = copies(routing, _shape(mesh_device), dims)
        verdict = compare_experts(found, scores, k=k, subject=_subject(bench, component, None), near_ties=near_ties)
        waived = replace(verdict, waived=not bench.values)
        return _told(bench, waived, component, {"near_ties": verdict.near_ties})

    @staticmethod
    def compare_generation(
        outputs: Sequence[Any],
        tokens: torch.Tensor,
        mesh_device: Any,
        *,
        component: str,
        dims: tuple[int | None, int | None] = (None, None),
    ) -> Generation:
        """Return whether every copy of logits chooses ``tokens`` [N] often enough, of the prompt's and each step's.

        ``outputs`` are logits [1, 1, S, V] of the prompt, whose last row chooses the first token, then [1, 1, 1, V].
        """
        bench = bench_of(mesh_device)
        bounds, size = bench.floor(component), len(tokens)
        joined = copies(TestFactory.in_sequence(outputs), _shape(mesh_device), dims)
        verdict = compare_generation(
            [copy[..., -size:, :] for copy in joined.values()],
            tokens,
            least_top1=1.0 if bounds.top1 is None else bounds.top1,
            least_top5=1.0 if bounds.top5 is None else bounds.top5,
            subject=_subject(bench, component, None),
        )
        waived = replace(verdict, waived=not bench.values)
        return _told(bench, waived, component, {"top1": verdict.top1, "top5": verdict.top5})

    @staticmethod
    def in_sequence(outputs: Sequence[Any]) -> list[torch.Tensor]:
        """Return the outputs of single tokens [1, 1, 1, N] as one [1, 1, S, N] of each device, on the host.

        Judged together they tell an error from chance better than one by one.
        """
        shards = zip(*(ttnn.get_device_tensors(output) for output in outputs), strict=True)
        return [torch.cat([ttnn.to_torch(shard) for shard in device], dim=2) for device in shards]

    @staticmethod
    def copies(
        actual: Any, mesh_device: Any, dims: tuple[int | None, int | None] = (None, None)
    ) -> dict[tuple[int, int], torch.Tensor]:
        """Return every whole copy of a mesh tensor on the host, by its first device."""
        return copies(actual, _shape(mesh_device), dims)

    @staticmethod
    def _generate_dummy_state_dict(config: GptOssConfig) -> DummyWeights:
        """Return made-up weights for the sizes that ``config`` has now."""
        return DummyWeights(config)


def _shape(mesh_device: Any) -> tuple[int, int]:
    return mesh_device.shape[0], mesh_device.shape[1]


def _config(bench: Bench, overrides: Mapping[str, Any]) -> GptOssConfig:
    try:
        return GptOssConfig(**{**bench.config, **overrides})
    except ConfigError as error:
        raise ConfigError(f"setup_test: {error}") from error


def _weights(bench: Bench, config: GptOssConfig, *, own_sizes: bool) -> Weights:
    """Return the checkpoint's weights, or made-up ones where there is none of these sizes; record which."""
    weights: Weights = _made_up(config) if bench.checkpoint is None or own_sizes else _checkpoint(bench, config)
    weights.cache = at(bench.weight_cache) if bench.weight_cache else None
    bench.record("weights", weights.source)
    return weights


def _made_up(config: GptOssConfig) -> DummyWeights:
    """Return weights whose routers keep to a few experts, others in every test, where a layer's are gigabytes."""
    values = 3 * config.hidden_size * config.intermediate_size * config.num_local_experts
    pool = POOL if values * torch.bfloat16.itemsize > POOL_ABOVE_BYTES else None
    return DummyWeights(config, pool=pool, pool_seed=torch.initial_seed())


def _checkpoint(bench: Bench, config: GptOssConfig) -> Weights:
    assert bench.checkpoint is not None
    try:
        return Checkpoint(bench.checkpoint, config)
    except OtherModelError as error:
        raise OtherModelError(
            f"{error}\n{bench.checkpoint} is not of the cell's scale {bench.scale}; {_remedy(bench)}"
        ) from error


def _remedy(bench: Bench) -> str:
    assert bench.checkpoint is not None
    found = hf_config.read(bench.checkpoint)
    fitting = [name for name, sizes in bench.scales.items() if GptOssConfig(**sizes) == found]
    return f"run with --scale {fitting[0]}" if fitting else "declare a scale of its sizes in matrix/scales.toml"


def _subject(bench: Bench, component: str | None, about: object) -> str:
    parts = [component or "tensor", bench.dtype, bench.mesh, bench.scale, f"seed {torch.initial_seed()}"]
    return ", ".join(parts if about is None else [*parts, str(about)])


def _limits(bench: Bench, component: str | None, pcc_threshold: float | None) -> Limits:
    bounds = bench.floor(component) if component else Bench(mesh=bench.mesh).floor("")
    try:
        return Limits.of(bounds, pcc=pcc_threshold)
    except ValueError as error:
        raise ValueError(f"component {component!r} has {error}") from error


def _told(bench: Bench, verdict: Verdict, component: str | None, numbers: Mapping[str, object]) -> Verdict:
    """Return the verdict once its numbers are recorded, or that values were waived, and it is in the log."""
    if verdict.waived:
        bench.record("waived", next(bench.waived))
    elif component:
        for name, number in numbers.items():
            bench.record(f"{name}.{component}", number)
    logger.log("DEBUG" if verdict else "ERROR", "{}", verdict)
    return verdict
