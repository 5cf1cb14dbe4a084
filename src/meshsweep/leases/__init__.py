"""Lend the chips of a host to one process at a time, whoever runs it.

Every chip has two files in one directory per host, and a kernel lock on each. ``.lock`` is the reservation: a
controller holds it for the life of a slot, over any number of workers. ``.use`` is held by the very process that
opens the devices, from before it does until it dies. A reservation is complete when ``.use`` is free too, so a worker
that outlives its controller never meets another one on its chips.

The kernel frees the locks of a process however it ends. What files say or that they exist means nothing: only held
locks count.
"""

from __future__ import annotations

__all__: list[str] = []
