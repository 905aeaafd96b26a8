"""What inbound and outbound services have in common: the set of open connections and its ends.

A `Connection` is what a service keeps of each client connection: it gives the sweep its
deadline (the protocol's own, or the end of a certificate, whichever comes first), takes part in
drains, and calls `ended` exactly once. The protocol inside changes (an HTTP connection may become
a tunnel); the connection stays the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from sidecar.core.ids import Permit, RefusedError
from sidecar.core.reasons import CLIENT_CLOSED, DRAINING, LIFETIME, Reason
from sidecar.core.record import Record
from sidecar.net.tlsbase import NO_TRANSPORT
from sidecar.net.tunnel import Tunnel, reset
from sidecar.net.upstream import Upstream
from sidecar.net.world import Cancel, Ended, World

_NEVER: Final = float("inf")
# Between asking a connection to end and ending it: so long, or that part of a shorter life.
_GRACE_S: Final = 5.0
_GRACE_PART: Final = 0.1


class Inner(Protocol):
    """What a connection is at the moment: a handshake, HTTP, a dial, a tunnel."""

    @property
    def phase(self) -> str:
        """What it is doing, in one word."""

    @property
    def deadline(self) -> float:
        """When to call `expire`."""

    def expire(self, now: float) -> None:
        """The deadline has passed."""

    def drain(self) -> None:
        """Finish what is under way, then close."""

    def cut(self, reason: Reason) -> None:
        """End at once."""


class Connection:
    """One client connection, from accept to close."""

    __slots__ = (
        "_drains", "_ended", "_ends", "inner", "on_end", "peer", "rule", "started", "world",
    )  # fmt: skip

    def __init__(self, world: World, ended: Ended) -> None:
        self.world = world
        self.started = time.monotonic()
        self.peer = ""
        self.rule = ""  # the one that refused the whole connection, if one did
        self.inner: Inner | None = None
        self.on_end: Callable[[Connection], None] | None = None
        self._drains = self._ends = _NEVER
        self._ended: Ended | None = ended
        world.sweep.add(self)
        world.connections.add(self)

    @property
    def deadline(self) -> float:
        """When something about this connection is over."""
        inner = self.inner
        return self._drains if inner is None else min(self._drains, inner.deadline)

    def ends_at(self, when: float) -> None:
        """Set the time (monotonic clock) after which this connection must not go on.

        Shortly before that it is asked to end by itself.
        """
        self._ends = when
        self._drains = when - min(_GRACE_S, (when - self.started) * _GRACE_PART)

    def expire(self, now: float) -> None:
        """Pass the sweep's call to who is concerned."""
        if now >= self._ends:
            self._drains = self._ends = _NEVER
            self.cut(LIFETIME)
        elif now >= self._drains:
            self._drains = self._ends
            self.drain()
        elif self.inner is not None:
            self.inner.expire(now)

    def drain(self) -> None:
        """Finish what is under way, then close."""
        if self.inner is not None:
            self.inner.drain()

    def cut(self, reason: Reason) -> None:
        """End at once, for a reason that the record will name."""
        if self.inner is not None:
            self.inner.cut(reason)

    def run(self, tunnel: Tunnel, idle_s: float) -> None:
        """Go on as a tunnel."""
        self.inner = TunnelRun(tunnel, idle_s)

    def done(self, record: Record) -> None:
        """The connection ended as a tunnel, or never became one."""
        record.duration_s = self.world.clock.wall() - record.started
        record.rule = self.rule or record.rule
        self.world.telemetry.done(record)
        self.end()

    def end(self) -> None:
        """The connection is closed."""
        ended, self._ended = self._ended, None
        if ended is not None:
            self.world.sweep.discard(self)
            self.world.connections.discard(self)
            if self.on_end is not None:
                self.on_end(self)
            ended()

    def info(self, now: float) -> dict[str, Any]:
        """Describe this connection for `/connections`."""
        return {
            "peer": self.peer,
            "age_s": round(now - self.started, 3),
            "state": "" if self.inner is None else self.inner.phase,
        }


class TunnelRun:
    """A tunnel under the sweep: looked at four times in each idle period."""

    phase: Final = "tunnel"

    def __init__(self, tunnel: Tunnel, idle_s: float) -> None:
        self._tunnel = tunnel
        self._idle_s = idle_s
        self.deadline = time.monotonic() + idle_s / 4

    def expire(self, now: float) -> None:
        """Let the tunnel see whether anything moved."""
        self.deadline = now + self._idle_s / 4
        self._tunnel.tick(now, self._idle_s)

    def drain(self) -> None:
        """Tunnels have no end that we could wait for but their own."""
        self._tunnel.drain()

    def cut(self, reason: Reason) -> None:
        """End at once."""
        self._tunnel.close(reason)


class TunnelStart(asyncio.Protocol):
    """The client side of a `tcp` connection until its upstream is there."""

    phase: Final = "dialling"

    def __init__(
        self,
        connection: Connection,
        upstream: Upstream,
        permit: Permit,
        record: Record,
        preface: bytes,
    ) -> None:
        self.deadline = _NEVER
        self._connection = connection
        self._upstream = upstream
        self._permit = permit
        self._record = record
        self._preface = preface
        self._transport: asyncio.Transport = NO_TRANSPORT
        self._stop: Cancel | None = None  # the dial
        self._backlog = b""
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read nothing until there is somewhere to put it."""
        self._transport = cast(asyncio.Transport, transport)
        if self._record.reason is not None:  # ended between accept and now
            self._transport.abort()
            return
        self._transport.pause_reading()
        self._stop = self._connection.world.spawn(self._dial())

    def data_received(self, data: bytes) -> None:
        """Keep what slips in: uvloop begins to read after `connection_made`, paused or not."""
        self._backlog += data
        self._transport.pause_reading()

    def eof_received(self) -> bool:
        """A client may say all it has to say before anybody listens."""
        self._ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client did not wait."""
        if self._stop is not None:
            self._fail(CLIENT_CLOSED, "")

    def expire(self, now: float) -> None:
        """Nothing is due before the dial ends, which has a clock of its own."""

    def drain(self) -> None:
        """A connection that has not begun need not."""
        self._fail(DRAINING, "")

    def cut(self, reason: Reason) -> None:
        """End at once."""
        self._fail(reason, "")

    async def _dial(self) -> None:
        record, began = self._record, self._connection.started
        try:
            dialled = await self._upstream.dial(self._permit, parked=True)
        except RefusedError as refusal:
            self._stop = None
            self._fail(refusal.reason, refusal.detail)
            return
        self._stop = None
        if dialled.lost is not None:
            self._fail(dialled.lost, dialled.address)
            return
        now = time.monotonic()
        record.upstream = dialled.address
        record.upstream_s = now - began
        if dialled.peer:
            record.peer = self._connection.peer = dialled.peer
        if self._preface:
            dialled.transport.write(self._preface)
        tunnel = Tunnel(self._transport, dialled.transport, record, self._connection.done)
        self._connection.run(tunnel, self._upstream.target.idle_s)
        tunnel.start(self._backlog, dialled.backlog)
        for transport, ended in (
            (self._transport, self._ended),
            (dialled.transport, dialled.ended),
        ):
            if ended:
                cast(asyncio.Protocol, transport.get_protocol()).eof_received()

    def _fail(self, reason: Reason, address: str) -> None:
        stop, self._stop = self._stop, None
        if stop is not None:  # or the dial would go on, and make a tunnel for nobody
            stop()
        self._record.reason = reason
        self._record.upstream = address
        self._connection.done(self._record)
        reset(self._transport)
