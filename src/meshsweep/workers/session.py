"""xdist's session with workers that come and go while it runs: slots decide, not a fixed number of nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from xdist.dsession import DSession

from meshsweep.workers.reporter import NOTHING
from meshsweep.workers.wire import Exchange

__all__ = ["Session"]

#: How often something is done though no worker says anything.
_TICK_S = 0.2


class Session(DSession):  # type: ignore[misc]
    """Does what the scheduler says after every event, and replaces no worker on its own account.

    The scheduler has more methods than xdist's protocol: ``act`` does what is due, ``passed`` takes in a line,
    ``lost`` and ``recover`` a death, ``ending`` the end of all, and ``gives_up`` tells why that should come early.
    """

    exchange: Exchange
    #: Failed reports of tests in flight: whether they count is known when the test has ended.
    failed: dict[Any, Any]
    #: Whether all that has happened since ``acted_s`` is that workers went on by themselves.
    is_smooth = False
    acted_s = 0.0

    @classmethod
    def adopt(cls, session: DSession) -> Session:
        """Turn xdist's session into this one: xdist offers no way to bring one's own."""
        session.__class__ = cls
        adopted: Session = session
        adopted.exchange = Exchange()
        adopted.failed = {}
        return adopted

    def put(self, event: tuple[str, dict[str, Any]]) -> None:
        """Take in an event from xdist's threads."""
        self.queue.put(event)
        self.exchange.wake()

    def post(self, call: Callable[[], None]) -> None:
        """Have something called between two events; any thread may ask."""
        self.put(("call", {"call": call}))

    def loop_once(self) -> None:
        """Do what is due, then take in what has happened, or nothing for a while."""
        now_s = time.monotonic()
        if not self.is_smooth or now_s - self.acted_s >= _TICK_S:
            self.acted_s = now_s
            self._act()
        self.is_smooth = self._take_lines(_TICK_S)
        before = self.shouldstop
        # No event is taken in once there is a reason to stop: xdist's loop looks at it between two calls.
        while not self.queue.empty() and self.shouldstop == before:
            self.is_smooth = False
            name, arguments = self.queue.get()
            # What the worker had sent by the wire comes first: that it has begun the test which it now reports on.
            self._take_lines(0)
            getattr(self, f"worker_{name}")(**arguments)

    def worker_call(self, call: Callable[[], None]) -> None:
        """Make a call that was posted."""
        call()

    def worker_runtest_protocol_complete(self, node: Any, item_index: int, duration: float) -> None:
        """Take in the end of a test; a failure after which it runs again is none yet, for -x and --maxfail."""
        report = self.failed.pop(node, None)
        super().worker_runtest_protocol_complete(node, item_index, duration)
        if report is not None and not self.sched.repeats(item_index):
            super()._handlefailures(report)

    def worker_errordown(self, node: Any, error: object) -> None:
        """Take in the death of a worker: its test, if it had one, has crashed."""
        self._active_nodes.discard(node)
        self.config.hook.pytest_testnodedown(node=node, error=error)
        if test := self.sched.lost(node, error):
            self.handle_crashitem(test, node)
        self.sched.recover(node)

    def triggershutdown(self) -> None:
        """Tell every worker to end."""
        is_news = not self.shuttingdown
        super().triggershutdown()
        if is_news:
            self.sched.ending()

    def start(self, node: Any) -> None:
        """Count in a worker that has been started."""
        self._active_nodes.add(node)

    def _handlefailures(self, rep: Any) -> None:
        node = getattr(rep, "node", None)
        if not rep.failed or not self.sched.is_flying(node, rep.nodeid):
            # Of a file that could not be collected, or of a teardown that was put off.
            super()._handlefailures(rep)
        else:
            self.failed[node] = rep

    def _take_lines(self, timeout_s: float) -> bool:
        """Take in what workers send; returns whether something came, and each of them has begun its next test."""
        has_come, waits = False, False
        for worker, line in self.exchange.wait(timeout_s):
            index, begun, passed = line.split(" ", 2)
            goes_on = begun != NOTHING
            self.sched.passed(worker, int(index), passed, begun=int(begun) if goes_on else None)
            has_come, waits = True, waits or not goes_on
        return has_come and not waits

    def _act(self) -> None:
        if self.shuttingdown or self.shouldstop:
            return
        self.sched.act()
        if self.sched.tests_finished:
            self.triggershutdown()
        elif reason := self.sched.gives_up():
            # Shown by xdist at the end, and recorded by the controller.
            self._summary_report = reason
            self.triggershutdown()
