"""Decide what runs where and when: which slots open, what they run, when they close.

A pure state machine: it is told what happened and says what to do. Simulations and the
live controller use it alike, so that what a plan shows is what a run does.
"""

from __future__ import annotations

from meshsweep.dispatch.action import Action, Close, Next, Open, Run, Task
from meshsweep.dispatch.bound import Bound, lower_bound
from meshsweep.dispatch.dispatch import Dispatch
from meshsweep.dispatch.estimate import Estimate
from meshsweep.dispatch.policy import Policy
from meshsweep.dispatch.search import best
from meshsweep.dispatch.simulation import Bar, Timeline, simulate

__all__ = [
    "Action",
    "Bar",
    "Bound",
    "Close",
    "Dispatch",
    "Estimate",
    "Next",
    "Open",
    "Policy",
    "Run",
    "Task",
    "Timeline",
    "best",
    "lower_bound",
    "simulate",
]
