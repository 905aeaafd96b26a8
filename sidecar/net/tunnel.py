"""An opaque stream between two transports (skeleton)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sidecar.core.reasons import Reason
from sidecar.core.record import Record


class Tunnel:
    """Two connections that write into each other."""

    def __init__(
        self,
        client: asyncio.Transport,
        upstream: asyncio.Transport,
        record: Record,
        done: Callable[[Record], None],
    ) -> None:
        raise NotImplementedError

    @property
    def peers(self) -> tuple[str, str]:
        raise NotImplementedError

    def start(self, client_backlog: bytes = b"", upstream_backlog: bytes = b"") -> None:
        raise NotImplementedError

    def tick(self, now: float, idle_s: float) -> None:
        raise NotImplementedError

    def drain(self) -> None:
        raise NotImplementedError

    def close(self, reason: Reason | None = None) -> None:
        raise NotImplementedError
