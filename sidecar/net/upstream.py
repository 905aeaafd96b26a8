"""Connections to where the bytes go: the application (plain) or another workload (mTLS).

An upstream keeps connections that may serve another request and hands out the one used last, so
that few stay warm and the rest time out. Dialling wants a `Permit`: no code path reaches an
application without policy's word. On the mTLS side the server's identity is checked before the
first byte is sent, in the callback that ends the handshake, not afterwards by whoever dialled.

Our idle time-out towards an upstream must be shorter than the upstream's own, or a request is
written into a connection that is just being closed: that is why outbound idles 60 s and inbound
keeps its side open for 75 s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext, SSLError
from typing import Protocol, cast

from sidecar.config import Address
from sidecar.core.ids import Permit, RefusedError
from sidecar.core.reasons import (
    HANDSHAKE_TIMEOUT,
    UPSTREAM_CLOSED,
    UPSTREAM_CONNECT_TIMEOUT,
    UPSTREAM_UNREACHABLE,
    Reason,
)
from sidecar.net.contexts import reason_of
from sidecar.net.sweep import Sweep
from sidecar.net.tls import TlsConnection
from sidecar.net.tlsbase import NO_TRANSPORT
from sidecar.telemetry.oplog import log


class Owner(Protocol):
    """Who uses an upstream connection at the moment."""

    def from_upstream(self, data: bytes) -> None:
        """Bytes came."""

    def upstream_gone(self, error: Exception | None) -> None:
        """It ended; without an error if the other side said so in order."""

    def pause_client(self) -> None:
        """The upstream takes no more for now."""

    def resume_client(self) -> None:
        """It takes bytes again."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How to originate mTLS: `check` turns the finished handshake into the server's SPIFFE ID.

    It raises `RefusedError` for a server that is not the expected one.
    """

    context: SSLContext
    check: Callable[[TlsConnection], str]
    server_name: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """Where an upstream is and how long to wait for it (seconds)."""

    addresses: tuple[Address, ...]
    tls: Tls | None
    connect_s: float
    handshake_s: float
    idle_s: float
    max_idle: int


class UpstreamConnection(asyncio.Protocol):
    """One connection to an upstream: idle, or owned by one client connection."""

    __slots__ = (
        "_ended", "_parked", "address", "backlog", "deadline", "ended", "lost", "owner", "peer",
        "reused", "transport", "upstream",
    )  # fmt: skip

    def __init__(self, upstream: Upstream, address: str, *, parked: bool) -> None:
        self.upstream = upstream
        self.address = address
        self.peer = ""
        self.owner: Owner | None = None
        self.reused = False
        self.deadline = float("inf")
        self.transport: asyncio.Transport = NO_TRANSPORT
        self._parked = parked
        self.backlog = b""  # what a server that speaks first said to a parked connection
        self.ended = False  # it has even ended its direction
        self.lost: Reason | None = None  # or all of it
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; a parked one delivers nothing until a tunnel takes it over."""
        self.transport = cast(asyncio.Transport, transport)
        if self._parked:
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Hand bytes on; an idle upstream has nothing to say."""
        if self.owner is not None:
            self.owner.from_upstream(data)
        elif self._parked:
            self.backlog += data
            self.transport.pause_reading()
        else:
            self.transport.abort()

    def eof_received(self) -> bool | None:
        """The upstream is done, in order."""
        if self._parked:
            self.ended = True
            return True
        self._gone(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.lost = fault_of(exc) or UPSTREAM_CLOSED
        self._gone(exc)

    def _gone(self, error: Exception | None) -> None:
        if self._ended:
            return
        self._ended = True
        self.upstream.forget(self)
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.upstream_gone(error)

    def pause_writing(self) -> None:
        """The upstream is slow: stop reading what would go to it."""
        if self.owner is not None:
            self.owner.pause_client()

    def resume_writing(self) -> None:
        """The upstream caught up."""
        if self.owner is not None:
            self.owner.resume_client()

    def expire(self, now: float) -> None:
        """Idle for long enough."""
        self.deadline = float("inf")
        self.upstream.forget(self)
        self.transport.close()

    def drop(self) -> None:
        """Close without ceremony; whatever still comes is nobody's."""
        self.owner = None
        self._ended = True
        self.upstream.forget(self)
        self.transport.abort()


def fault_of(error: Exception | None) -> Reason | None:
    """Say why a connection ended; None if it ended in order."""
    if error is None:
        return None
    return reason_of(error)[0] if isinstance(error, SSLError) else UPSTREAM_CLOSED


class Upstream:
    """One destination and its idle connections."""

    def __init__(self, target: Target, sweep: Sweep) -> None:
        self.target = target
        self._sweep = sweep
        self._idle: list[UpstreamConnection] = []
        self._next = 0
        self.closed = False

    def take(self) -> UpstreamConnection | None:
        """Return the connection that became idle last, or None."""
        while self._idle:
            connection = self._idle.pop()
            self._sweep.discard(connection)
            if not connection.transport.is_closing():
                connection.reused = True
                return connection
        return None

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection that can serve another request."""
        connection.owner = None
        if self.closed or len(self._idle) >= self.target.max_idle:
            connection.drop()
            return
        if connection.transport.is_closing():
            return
        connection.transport.resume_reading()
        connection.deadline = time.monotonic() + self.target.idle_s
        self._idle.append(connection)
        self._sweep.add(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """Take a connection out of the idle ones, if it is there."""
        self._sweep.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close what is idle and keep nothing any more; what is in use ends by itself."""
        self.closed = True
        for connection in list(self._idle):
            connection.drop()

    async def dial(self, permit: Permit, *, parked: bool = False) -> UpstreamConnection:
        """Open a new connection, trying each address once, or raise `RefusedError`.

        Its detail is the address that was tried last; the operational log has the words for each.
        """
        addresses = self.target.addresses
        self._next = (self._next + 1) % len(addresses)
        failure: RefusedError | None = None
        for address in addresses[self._next :] + addresses[: self._next]:
            try:
                return await self._dial_one(address, parked)
            except RefusedError as refusal:
                reason, where = refusal.reason, str(address)
                log.warning("dial failed", upstream=where, code=reason.code, detail=refusal.detail)
                failure = RefusedError(reason, where)
        assert failure is not None
        raise failure

    async def _dial_one(self, address: Address, parked: bool) -> UpstreamConnection:
        connection = UpstreamConnection(self, str(address), parked=parked)
        try:
            if self.target.tls is None:
                await self._open(address, lambda: connection)
            else:
                await self._shake_hands(self.target.tls, connection, address)
        except BaseException:  # a cancelled dial may have got its socket already
            connection.drop()
            raise
        return connection

    async def _shake_hands(
        self, tls: Tls, connection: UpstreamConnection, address: Address
    ) -> None:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        layer = _client_layer(tls, connection, ready)
        connection.transport = layer
        await self._open(address, lambda: layer)
        try:
            async with asyncio.timeout(self.target.handshake_s):
                await ready
        except TimeoutError:
            raise RefusedError(HANDSHAKE_TIMEOUT) from None

    async def _open(self, address: Address, factory: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.target.connect_s):
                if address.is_unix:
                    await loop.create_unix_connection(factory, address.path)
                else:
                    await loop.create_connection(factory, address.host, address.port)
        except TimeoutError:
            raise RefusedError(UPSTREAM_CONNECT_TIMEOUT) from None
        except OSError as error:
            raise RefusedError(UPSTREAM_UNREACHABLE, str(error)) from None


def _client_layer(
    tls: Tls, connection: UpstreamConnection, ready: asyncio.Future[None]
) -> TlsConnection:
    """Make the TLS layer whose handshake resolves `ready` or fails it."""

    def on_ready(layer: TlsConnection) -> asyncio.Protocol:
        connection.peer = tls.check(layer)
        if not ready.done():
            ready.set_result(None)
        return connection

    def on_failed(reason: Reason, detail: str) -> None:
        if not ready.done():
            ready.set_exception(RefusedError(reason, detail))

    return TlsConnection(
        tls.context,
        server_side=False,
        server_hostname=tls.server_name,
        on_ready=on_ready,
        on_failed=on_failed,
    )
