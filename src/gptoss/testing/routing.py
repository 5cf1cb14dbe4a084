"""Judge which experts a router has chosen: the same sets as the reference, and why not where they differ.

The K-th and the next best expert of a token are sometimes so close that rounding decides. Such a near tie is told apart
from a wrong choice by the reference's own scores. Letters: T tokens, E experts, K experts per token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

__all__ = ["Difference", "Routing", "compare_experts"]

# A score is rounded to bfloat16 twice, as a product and with its bias, each time by at most this share of it.
ROUNDING = 2 * 2.0**-9

# Differences are named, but not all of them.
SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One token whose experts differ from the reference's, and the scores that parted them."""

    device: tuple[int, int]
    token: int
    chosen: tuple[int, ...]
    expected: tuple[int, ...]
    least_expected: float
    most_chosen: float

    @property
    def distance(self) -> float:
        """How far the reference puts its least expert above the best one that was chosen instead."""
        return self.least_expected - self.most_chosen

    @property
    def is_near_tie(self) -> bool:
        """Whether rounding both scores to bfloat16 explains the difference."""
        as_many = len(self.chosen) == len(self.expected)
        return as_many and _is_tie(self.least_expected, self.most_chosen)

    def __str__(self) -> str:
        kind = "a near tie" if self.is_near_tie else "no tie"
        sets = f"chose {_listed(self.chosen)}, expected {_listed(self.expected)}"
        return (
            f"device {self.device}, token {self.token}: {sets}; "
            f"scores {self.most_chosen:.5g} and {self.least_expected:.5g}, {self.distance:.3g} apart: {kind}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """A verdict on all tokens of all devices, true if no choice differs beyond the near ties allowed."""

    subject: str
    tokens: int
    differences: tuple[Difference, ...]
    near_ties_allowed: int
    waived: bool = False

    @property
    def near_ties(self) -> int:
        """Tokens whose experts differ by a near tie on some device."""
        return len({one.token for one in self.differences if one.is_near_tie})

    def __bool__(self) -> bool:
        return self.waived or (
            self.near_ties <= self.near_ties_allowed and all(one.is_near_tie for one in self.differences)
        )

    def __str__(self) -> str:
        if self.waived:
            return f"values waived ({self.subject})"
        differ = len({one.token for one in self.differences})
        # What is wrong before what is close.
        worst = sorted(self.differences, key=lambda one: one.is_near_tie)[:SHOWN]
        counted = f"{differ} of {self.tokens} tokens have other experts, {self.near_ties} by a near tie"
        return "; ".join([f"{counted} ({self.near_ties_allowed} allowed)", *map(str, worst), self.subject])

    __repr__ = __str__


def compare_experts(
    routing: Mapping[tuple[int, int], torch.Tensor],
    scores: torch.Tensor,
    *,
    k: int,
    subject: str,
    near_ties: int = 0,
) -> Routing:
    """Return whether the experts with a weight in each device's ``routing`` [.., T, E] are the best K of ``scores``.

    ``scores`` [T, E] are the reference's. A token whose sets differ is allowed where that is a near tie, for at most
    ``near_ties`` tokens: none where inputs were drawn to be clear.
    """
    found = tuple(_differences(routing, scores, k))
    return Routing(subject=subject, tokens=len(scores), differences=found, near_ties_allowed=near_ties)


def _differences(routing: Mapping[tuple[int, int], torch.Tensor], scores: torch.Tensor, k: int) -> Iterator[Difference]:
    """Yield the tokens of each device whose experts differ."""
    tokens, experts = scores.shape
    ordered = scores.argsort(dim=-1, descending=True, stable=True)
    expected = [frozenset(best.tolist()) for best in ordered[:, :k]]
    for device, weights in routing.items():
        rows = weights.reshape(-1, experts)
        if len(rows) != tokens:
            raise ValueError(f"device {device}: weights of {len(rows)} tokens, scores of {tokens}")
        for token, row in enumerate(rows):
            # A NaN is a choice too, and a wrong one.
            chosen = frozenset(row.ne(0).nonzero().flatten().tolist())
            if chosen != expected[token]:
                yield _difference(device, token, chosen, expected[token], scores[token])


def _difference(
    device: tuple[int, int], token: int, chosen: frozenset[int], expected: frozenset[int], scores: torch.Tensor
) -> Difference:
    instead, left_out = sorted(chosen - expected), sorted(expected - chosen)
    return Difference(
        device=device,
        token=token,
        chosen=tuple(instead),
        expected=tuple(left_out),
        # The least clear of what differs: the whole difference is a tie only if its widest part is.
        least_expected=float(scores[left_out].max()) if left_out else float("nan"),
        most_chosen=float(scores[instead].min()) if instead else float("nan"),
    )


def _is_tie(one: float, other: float) -> bool:
    """Return whether two scores are as one once both are rounded."""
    return one - other <= ROUNDING * (abs(one) + abs(other))


def _listed(experts: tuple[int, ...]) -> str:
    return f"expert {', '.join(map(str, experts))}" if experts else "no expert"
