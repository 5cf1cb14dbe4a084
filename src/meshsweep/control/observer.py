"""What a scheduler tells of what happens, and asks where more than slots decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from meshsweep.dispatch import Dispatch
from meshsweep.planning.slots import Slot
from meshsweep.results.attempts import Again
from meshsweep.workers.crew import Worker

__all__ = ["Observer"]


class Observer(Protocol):
    """Who writes down what happens, and decides which tests there are and which of them run again."""

    def collected(self, ids: Sequence[str]) -> Dispatch:
        """Take in the collection; returns the dispatch of what is to run."""

    def suspects(self) -> frozenset[int]:
        """Return the chips that must be looked at before they are used."""

    def examined(self, slot: Slot) -> None:
        """Take in that the chips of a slot are going to be looked at, before anything else uses them."""

    def judged(self, slot: Slot, spoiled: frozenset[int]) -> None:
        """Take in what came of that: the chips that are not used again."""

    def tell(self) -> dict[str, object]:
        """Return what every worker is told."""

    def started(self, worker: Worker) -> None:
        """Take in a worker that has been started."""

    def ready(self, worker: Worker) -> None:
        """Take in a worker that has collected."""

    def ended(self, worker: Worker, error: str, how: str = "died") -> None:
        """Take in a worker that has ended; where it died with its error, and with how its process ended."""

    def offered(self, test: str, worker: Worker) -> None:
        """Take in a test, right before its worker is offered it."""

    def sent(self, test: str, worker: Worker) -> None:
        """Take in a test, right before it is sent, or when its worker has begun it by itself."""

    def is_late(self, worker: Worker) -> bool:
        """Return, when a test has ended, whether its worker is being killed even so."""

    def finished(self, test: str, worker: Worker, result: str | float) -> Again | None:
        """Take in the end of a test; returns whether, and where not, it runs again."""

    def is_condemned(self, worker: Worker) -> bool:
        """Return, after a test has ended, whether its worker could not open its slot's mesh, or is being killed."""

    def ending(self, worker: Worker) -> None:
        """Take in that a worker was told to end."""

    def again(self, test: str) -> Again | None:
        """Return whether, and where not, a test runs again in which its worker died."""

    def given_up(self, test: str, reason: str) -> None:
        """Take in a test that cannot run any more."""
