"""What every part of the data path shares: the clock, the sweep, telemetry and owned tasks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from sidecar.net.sweep import Clock, Sweep
from sidecar.telemetry.metrics import Telemetry


@dataclass(slots=True)
class World:
    """One for each process; `request_ids` is seeded with randomness by whoever makes it."""

    clock: Clock
    sweep: Sweep
    telemetry: Telemetry
    id_prefix: bytes
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def new_id(self) -> bytes:
        """Make a request id: unique because the prefix is random and the number is counted."""
        return b"%b%012x" % (self.id_prefix, next(self._numbers))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine that handles its own failures, and hold it until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


Ended = Callable[[], None]
