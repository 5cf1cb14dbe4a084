"""The process that workers are forked from is begun before pytest has started."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.assertion.rewrite import AssertionRewriter

import meshsweep
from meshsweep import plugin
from meshsweep.workers import headstart
from meshsweep.workers.nursery import PARENT
from meshsweep.workers.zygote import Zygote, can_fork

from .project import Project
from .test_zygote import ENVIRONMENTS, gone

pytestmark = pytest.mark.skipif(not can_fork(), reason="workers are forked on Linux alone")

CHILDREN = """
    import os
    from pathlib import Path

    def test_1(cell):
        assert not Path(f"/proc/self/task/{os.getpid()}/children").read_text()
"""


def test_pytest_takes_our_modules_as_they_are() -> None:
    """Workers are forked with them imported: else pytest warns that it cannot rewrite their asserts any more."""
    assert AssertionRewriter.is_rewrite_disabled(str(meshsweep.__doc__))
    assert AssertionRewriter.is_rewrite_disabled(str(plugin.__doc__))


@pytest.fixture
def config() -> Any:
    """As much of pytest's as is asked for."""
    return SimpleNamespace(pluginmanager=pytest.PytestPluginManager())


def test_process_is_begun_where_a_command_has_started_pytest(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PARENT, str(os.getppid()))
    headstart.pytest_addoption(config.pluginmanager)
    begun = headstart.claim(config, is_needed=True)
    assert isinstance(begun, Zygote)
    begun.close()

    assert gone([begun.pid])
    assert headstart.claim(config, is_needed=False) is None


def test_process_that_is_not_needed_ends(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PARENT, str(os.getppid()))
    headstart.pytest_addoption(config.pluginmanager)
    begun = next(plugin for plugin in config.pluginmanager.get_plugins() if isinstance(plugin, Zygote))

    assert headstart.claim(config, is_needed=False) is None
    assert gone([begun.pid])


def test_nothing_is_begun_elsewhere(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARENT, raising=False)
    headstart.pytest_addoption(config.pluginmanager)

    assert headstart.claim(config, is_needed=False) is None


def test_process_is_begun_late_where_it_was_not_begun_early(config: Any) -> None:
    begun = headstart.claim(config, is_needed=True)
    assert isinstance(begun, Zygote)
    begun.close()


def test_process_that_nobody_needs_is_not_waited_for() -> None:
    """It is still importing: there is no worker that it would have to let end."""
    made = Zygote()
    made.close()

    assert made._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("arguments", [("-n0",), ()])
def test_only_workers_are_forked(project: Project, arguments: tuple[str, ...]) -> None:
    """Without workers no such process is left beside the tests, and a worker has none of its own."""
    project.declare(environments=ENVIRONMENTS + "[environments.fake]\nabout = 'none'\nbackend = 'ttnn'\n")
    project.suite(CHILDREN)
    for environment in ("forked", "spawned"):
        done = project.meshsweep("run", "--cell", "1x1-bfloat16-tiny", "--env", environment, *arguments)
        assert done.code == 0, done.lines
