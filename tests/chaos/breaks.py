"""Break meshsweep on purpose, one way at a time: a judge that never finds anything proves nothing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import meshsweep
from tests.chaos.agent import Act

__all__ = ["BREAKS", "Break", "install"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A mistake in a module: the text that it replaces, what is done meanwhile, and what the judge must say."""

    name: str
    module: str
    before: str
    after: str
    script: tuple[Act, ...]
    verdict: str


def _act(verb: str, victim: str, *, results: int = 0, after_s: float = 0.0) -> Act:
    return Act(
        verb=verb,
        victim=victim,
        sweeps=(0,),
        after_s=after_s,
        after_results=results,
        pause_s=0.5,
        choice=0.0,
        resets=None,
    )


_WRITES = '        self._log.write("reported", **phases.to_json(), attempt=number, final=is_final)\n'
_SHOWS = "        if is_final:\n            self._progress.finished(phases)\n"

_ALL = (
    Break(
        name="a lease is not taken",
        module="meshsweep.leases.lock",
        before="        fcntl.flock(file, kind | fcntl.LOCK_NB)\n",
        after="        pass\n",
        script=(),
        verdict="two owners",
    ),
    Break(
        name="a result is shown before it is written",
        module="meshsweep.control.results",
        before=_WRITES + _SHOWS,
        after=f"{_SHOWS}            __import__('time').sleep(0.1)\n{_WRITES}        if is_final:\n            pass\n",
        script=(),
        verdict="shown before it was recorded",
    ),
    Break(
        name="a result is not written",
        module="meshsweep.record.events",
        before="        now = round(self._clock(), 6)\n",
        after="        now = round(self._clock(), 6)\n"
        "        if fields.get('outcome') == 'skipped':\n            return now\n",
        script=(),
        verdict="final results, expected one",
    ),
    Break(
        name="a final test runs again",
        module="meshsweep.control.distribution",
        before="        done = self._controller.book.final\n",
        after="        done = frozenset()\n",
        script=(_act("kill", "controller", results=12),),
        verdict="ran again after its final result",
    ),
    Break(
        name="a worker survives its controller",
        module="meshsweep.workers.nursery",
        before='    if not sys.platform.startswith("linux"):\n        return\n',
        after="    return\n",
        script=(_act("stop", "worker", results=3), _act("kill", "controller", after_s=0.1)),
        verdict="outlives its controller",
    ),
)

BREAKS = {one.name: one for one in _ALL}


def install(chosen: Break, folder: Path) -> dict[str, str]:
    """Copy meshsweep with the mistake in it; returns the variables with which a process imports the copy."""
    copy = folder / "meshsweep"
    shutil.copytree(Path(meshsweep.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / f"{chosen.module.replace('.', '/')}.py"
    source = path.read_text(encoding="utf-8")
    if chosen.before not in source:
        raise LookupError(f"{chosen.module}: nothing to break there any more: {chosen.before!r}")
    path.write_text(source.replace(chosen.before, chosen.after, 1), encoding="utf-8")
    return {"PYTHONPATH": str(folder)}
