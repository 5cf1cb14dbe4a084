"""What tests of the model stand on: setting one up, drawing its inputs, judging its outputs."""

from __future__ import annotations

from gptoss.testing.bench import Bench, bind
from gptoss.testing.factory import Setup, TestFactory

__all__ = ["Bench", "Setup", "TestFactory", "bind"]
