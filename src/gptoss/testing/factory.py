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
from gptoss.testing.comparison import Comparison, Floor, compare, copies
from gptoss.testing.draws import Draws
from gptoss.weights import DummyWeights
from gptoss.weights.checkpoint import Checkpoint

__all__ = ["Bench", "Setup", "TestFactory", "bind"]

Built = TypeVar("Built")


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
        floor = _floor(bench, component, pcc_threshold)
        verdict = compare(
            actual,
            expected,
            mesh_shape=_shape(mesh_device),
            floor=floor,
            subject=_subject(bench, component, about),
            dims=dims,
            values=bench.values,
        )
        if verdict.waived:
            bench.record("waived", next(bench.waived))
        elif component:
            bench.record(f"pcc.{component}", verdict.pcc)
            bench.record(f"max_error.{component}", verdict.max_error)
            bench.record(f"floor.{component}", floor.pcc)
        logger.log("DEBUG" if verdict else "ERROR", "{}", verdict)
        return verdict

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


def _weights(bench: Bench, config: GptOssConfig, *, own_sizes: bool) -> Mapping[str, torch.Tensor]:
    """Return the checkpoint's weights, or made-up ones where there is none of these sizes."""
    if bench.checkpoint is None or own_sizes:
        return DummyWeights(config)
    return Checkpoint(bench.checkpoint, config)


def _subject(bench: Bench, component: str | None, about: object) -> str:
    parts = [component or "tensor", bench.dtype, bench.mesh, bench.scale, f"seed {torch.initial_seed()}"]
    return ", ".join(parts if about is None else [*parts, str(about)])


def _floor(bench: Bench, component: str | None, pcc_threshold: float | None) -> Floor:
    bounds = bench.floor(component) if component else Bench(mesh=bench.mesh).floor("")
    return Floor(pcc=bounds.pcc if pcc_threshold is None else pcc_threshold, max_error=bounds.max_error)
