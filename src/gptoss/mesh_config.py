"""Say how a model is spread over a mesh: which axis splits what, in decode and in prefill.

Tensor parallelism splits widths and heads over columns (axis 1). What rows (axis 0) split is one of two layouts:

- low latency: the chosen experts of a token in decode (expert parallelism), the tokens of a prompt in prefill (sequence
  parallelism); every row knows every user;
- throughput: the users. Each row holds users, prompts and caches of its own; whole experts lie on all devices, and
  tokens travel to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gptoss.config import GptOssConfig

__all__ = ["COL_AXIS", "ROW_AXIS", "TILE", "USERS", "MeshConfig", "MeshConfigError", "Split"]

ROW_AXIS = 0
COL_AXIS = 1
TILE = 32
# As many users as a device decodes at once: one row of a tile for each.
USERS = TILE


class MeshConfigError(ValueError):
    """A split that the mesh or the model's sizes do not allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Ways of tensor, expert and sequence parallelism in one mode."""

    tp: int = 1
    ep: int = 1
    sp: int = 1


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """A mesh shape with its splits, printed as ``MeshConfig(1x8, tp=8)``."""

    shape: tuple[int, int]
    decode: Split
    prefill: Split
    throughput: bool = False

    def __post_init__(self) -> None:
        for mode in ("decode", "prefill"):
            self._check_split(mode, getattr(self, mode))
        if self.decode.tp != self.prefill.tp:
            raise self._error(
                f"decode tp={self.decode.tp} and prefill tp={self.prefill.tp} differ, "
                "but both modes read the same weights"
            )
        if self.throughput and (self.decode.ep, self.prefill.sp) != (1, 1):
            raise self._error(
                f"throughput with decode ep={self.decode.ep} and prefill sp={self.prefill.sp}; "
                "rows hold users there, so both are 1"
            )

    @classmethod
    def of(cls, mesh_device: Any) -> MeshConfig:
        """Return the default splits of a mesh: columns for tp, rows for ep and sp."""
        rows, cols = mesh_device.shape[0], mesh_device.shape[1]
        return cls((rows, cols), decode=Split(tp=cols, ep=rows), prefill=Split(tp=cols, sp=rows))

    @classmethod
    def from_tables(cls, shape: tuple[int, int], decode: Mapping[str, int], prefill: Mapping[str, int]) -> MeshConfig:
        """Build from the ``{tp, ep, sp}`` tables of a mesh declaration."""
        return cls(shape, decode=Split(**decode), prefill=Split(**prefill))

    def for_throughput(self) -> MeshConfig:
        """Return the same split over columns with users over rows and whole experts over all devices."""
        split = Split(tp=self.tp)
        return replace(self, decode=split, prefill=split, throughput=True)

    @property
    def devices(self) -> int:
        """Number of devices."""
        return self.shape[0] * self.shape[1]

    @property
    def user_rows(self) -> int:
        """Rows that share the users out: all of them in the throughput layout, else one that stands for all."""
        return self.shape[0] if self.throughput else 1

    def local_users(self, users: int) -> int:
        """Return how many of the mesh's users one device decodes; raise if it cannot, with what could.

        The decode kernels of ttnn give each user a row of one tile, so a device decodes 32 at most: 128 users need the
        throughput layout on a mesh of four rows, such as 4x8, and a mesh of two rows decodes 64.
        """
        rows = self.user_rows
        if users < 1 or users % rows:
            raise self._error(f"users={users} does not divide by rows={rows}, which share them out")
        if users <= rows * USERS:
            return users // rows
        fact = f"users={users} over rows={rows} leaves {users // rows} for each device, which decodes {USERS} at most"
        if users <= self.shape[0] * USERS:
            raise self._error(f"{fact}; the throughput layout shares them over the mesh's {self.shape[0]} rows")
        raise self._error(f"{fact}; use the throughput layout of a mesh of {-(-users // USERS)} rows or more")

    @property
    def tp(self) -> int:
        """Ways that widths and heads are split over columns."""
        return self.decode.tp

    @property
    def dp(self) -> int:
        """Copies of the model in decode: devices / (tp * ep)."""
        return self.devices // (self.decode.tp * self.decode.ep)

    def check(self, config: GptOssConfig) -> None:
        """Raise if a size of the model does not divide, listing each one that does not."""
        tp, ep, kv_heads = self.tp, self.decode.ep, config.num_key_value_heads
        wanted = [
            ("num_attention_heads", config.num_attention_heads, "tp", tp),
            ("num_key_value_heads", kv_heads, "tp", tp),
            ("intermediate_size", config.intermediate_size, "tp", tp),
            ("num_local_experts", config.num_local_experts, "ep", ep),
            ("num_experts_per_tok", config.num_experts_per_tok, "ep", ep),
            ("num_attention_heads", config.num_attention_heads, "num_key_value_heads", kv_heads),
            ("hidden_size", config.hidden_size, "the tile width", TILE),
            ("head_dim", config.head_dim, "the tile width", TILE),
        ]
        if self.throughput:
            wanted.append(("num_local_experts", config.num_local_experts, "devices", self.devices))
        wrong = [f"{name}={size} does not divide by {by}={parts}" for name, size, by, parts in wanted if size % parts]
        if wrong:
            raise self._error("; ".join(wrong))

    def _check_split(self, mode: str, split: Split) -> None:
        rows, cols = self.shape
        if split.tp not in (1, cols):
            raise self._error(f"{mode} tp={split.tp}; choose 1 or the {cols} columns")
        for name, ways in (("ep", split.ep), ("sp", split.sp)):
            if ways not in (1, rows):
                raise self._error(f"{mode} {name}={ways}; choose 1 or the {rows} rows")
        idle = "sp" if mode == "decode" else "ep"
        if getattr(split, idle) != 1:
            raise self._error(f"{mode} {idle}={getattr(split, idle)}; {mode} has no {idle}, so 1")

    def _error(self, text: str) -> MeshConfigError:
        return MeshConfigError(f"mesh {self.shape[0]}x{self.shape[1]}: {text}")

    def __str__(self) -> str:
        ways = {"tp": self.tp, "ep": self.decode.ep, "sp": self.prefill.sp}
        shown = [f"{name}={count}" for name, count in ways.items() if count > 1]
        if self.throughput:
            shown.append("throughput")
        return f"MeshConfig({', '.join([f'{self.shape[0]}x{self.shape[1]}', *shown])})"
