"""One clock and one look at all deadlines, instead of a timer for each connection.

A timer that is set and cancelled for every request costs more than the request's policy check;
a number that is compared four times a second costs nothing. So whatever waits has a `deadline`
(seconds of the monotonic clock, infinity for none), and the sweep calls `expire(now)` on what is
over it. A timeout therefore comes late by at most one interval, and never early.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Final, Protocol

from sidecar.telemetry.oplog import log

INTERVAL_S: Final = 0.25


class Waiting(Protocol):
    """Something with a deadline."""

    @property
    def deadline(self) -> float:
        """When to call `expire`, in seconds of the monotonic clock."""

    def expire(self, now: float) -> None:
        """The deadline has passed; set a later one, or end."""


class Clock:
    """The time as the data path reads it: a wall clock offset, and the Date field ready made."""

    __slots__ = ("date", "epoch")

    def __init__(self) -> None:
        self.epoch = 0.0
        self.date = b""
        self.update()

    def update(self) -> None:
        """Follow the wall clock, which may be set; `now` never is."""
        wall = time.time()
        self.epoch = wall - time.monotonic()
        self.date = b"date: %b\r\n" % formatdate(wall, usegmt=True).encode("ascii")

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class Sweep:
    """All that waits in this process; `each_pass` is called at the end of each pass."""

    def __init__(
        self, clock: Clock, each_pass: Callable[[], None], interval: float = INTERVAL_S
    ) -> None:
        self._clock = clock
        self._each_pass = each_pass
        self._interval = interval
        self._waiting: set[Waiting] = set()
        self.add = self._waiting.add
        self.discard = self._waiting.discard

    def __len__(self) -> int:
        return len(self._waiting)

    def pass_over(self, now: float) -> None:
        """Expire everything whose deadline has passed."""
        self._clock.update()
        for item in [item for item in self._waiting if item.deadline <= now]:
            try:
                item.expire(now)
            except Exception as error:  # noqa: BLE001  one connection must not end all time-outs
                log.crashed("a connection failed at its deadline", error)
                self.discard(item)
        self._each_pass()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            self.pass_over(time.monotonic())
