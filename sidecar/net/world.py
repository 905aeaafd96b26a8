"""What every part of the data path shares: the clock, the sweep, telemetry and owned tasks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from sidecar.core.reasons import Reason
from sidecar.net.sweep import Clock, Sweep
from sidecar.telemetry.metrics import Telemetry

Ended = Callable[[], None]
Cancel = Callable[[], object]


class Open(Protocol):
    """An open connection, as the whole process sees it."""

    def cut(self, reason: Reason) -> None:
        """End at once, for a reason that the log will name."""

    def info(self, now: float) -> dict[str, Any]:
        """Describe it; `now` is the monotonic clock's."""


@dataclass(slots=True)
class World:
    """One for each process; `request_ids` is seeded with randomness by whoever makes it."""

    clock: Clock
    sweep: Sweep
    telemetry: Telemetry
    id_prefix: bytes
    connections: set[Open] = field(default_factory=set)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def new_id(self) -> bytes:
        """Make a request id: unique because the prefix is random and the number is counted."""
        return b"%b%012x" % (self.id_prefix, next(self._numbers))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Cancel:
        """Run a coroutine that handles its own failures, and hold it; return how to stop it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task.cancel
