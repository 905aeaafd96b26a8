"""The client side of an HTTP connection: carries bytes and time to the exchange and back.

All decisions are in `core.exchange`. What is left here is plumbing: after each feed look once at
what the exchange wants, write, and see that neither side is read faster than the other can take.
"""

from __future__ import annotations

import asyncio
import time
from typing import cast

from sidecar.core import phases as ex
from sidecar.core.exchange import Exchange
from sidecar.core.ids import Denial, Permit, RefusedError
from sidecar.core.reasons import Reason
from sidecar.core.request import Route
from sidecar.net.serving import Connection
from sidecar.net.tlsbase import NO_TRANSPORT
from sidecar.net.tunnel import Tunnel, reset
from sidecar.net.upstream import Upstream, UpstreamConnection, fault_of
from sidecar.net.world import Cancel
from sidecar.telemetry.oplog import log

_monotonic = time.monotonic


class HttpConnection(asyncio.Protocol):
    """One client connection and the upstream connection that it is using."""

    __slots__ = (
        "_client_full", "_connection", "_reading", "_source", "_stop_dialling", "_transport",
        "_upstream", "_upstream_full", "exchange",
    )  # fmt: skip

    def __init__(self, route: Route, upstream: Upstream, connection: Connection) -> None:
        world = connection.world
        self.exchange = Exchange(route, world.clock, world.telemetry.done)
        self._connection = connection
        self._source = upstream
        self._transport: asyncio.Transport = NO_TRANSPORT
        self._upstream: UpstreamConnection | None = None
        self._stop_dialling: Cancel | None = None
        self._client_full = False
        self._upstream_full = False
        self._reading = True

    @property
    def phase(self) -> str:
        """What the connection is doing, in one word."""
        return self.exchange.phase

    @property
    def deadline(self) -> float:
        """When the exchange gives up waiting."""
        return self.exchange.deadline

    def expire(self, now: float) -> None:
        """Tell the exchange that its deadline has passed."""
        self.exchange.expire(now)
        self._look()

    def drain(self) -> None:
        """Finish the exchange under way, then close."""
        self.exchange.drain()
        self._look()

    def reroute(self, route: Route, upstream: Upstream) -> None:
        """Serve the next request under another snapshot."""
        self.exchange.reroute(route)
        self._source = upstream

    def verdict(self) -> Permit | Denial | None:
        """Ask policy again about the request that became a tunnel, if one did.

        Raises `RefusedError` for a path that the present rules cannot be asked about.
        """
        record, route = self.exchange.record, self.exchange.route
        if self.exchange.phase is not ex.TUNNEL or record is None:
            return None
        path, _ = route.target_rule(record.path)
        return route.authorize(record.method, path)

    def cut(self, reason: Reason) -> None:
        """End at once."""
        self.exchange.cut(reason, _monotonic())
        self._look()

    # --- the client's transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request, unless it has been ended between accept and now."""
        self._transport = cast(asyncio.Transport, transport)
        if self.exchange.phase is ex.CLOSED:
            self._transport.abort()
        else:
            self.exchange.start(_monotonic())

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self.exchange.feed_client(data, _monotonic())
        self._look()

    def eof_received(self) -> bool:
        """The client sends no more, and may still want its answer."""
        self.exchange.client_eof(_monotonic())
        self._look()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        if self.exchange.phase is not ex.TUNNEL:
            self.exchange.client_lost(_monotonic())
            self._look()
            self._connection.end()

    def pause_writing(self) -> None:
        """The client is slow: stop reading what would go to it."""
        self._client_full = True
        if self._upstream is not None:
            self._upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._client_full = False
        if self._upstream is not None:
            self._upstream.transport.resume_reading()

    # --- the upstream's connection ---

    def from_upstream(self, data: bytes) -> None:
        """Bytes from the upstream."""
        self.exchange.feed_upstream(data, _monotonic())
        self._look()

    def upstream_gone(self, error: Exception | None) -> None:
        """The upstream connection ended."""
        connection, self._upstream = self._upstream, None
        reused = connection is not None and connection.reused
        self.exchange.upstream_eof(_monotonic(), reused=reused, fault=fault_of(error))
        self._look()

    def pause_client(self) -> None:
        """The upstream is slow: stop reading the client."""
        self._upstream_full = True
        self._set_reading()

    def resume_client(self) -> None:
        """The upstream caught up."""
        self._upstream_full = False
        self._set_reading()

    # --- what the exchange wants ---

    def _look(self) -> None:
        """Carry out what the last feed asked for, until it asks for nothing more."""
        exchange = self.exchange
        while True:
            if exchange.to_client:
                self._transport.write(b"".join(exchange.to_client))
                exchange.to_client.clear()
            wants, exchange.wants = exchange.wants, 0
            if wants:
                self._act(wants)
            if exchange.has_unread:
                exchange.resume(_monotonic())
            if exchange.to_upstream and self._upstream is not None:
                self._upstream.transport.write(b"".join(exchange.to_upstream))
                exchange.to_upstream.clear()
            if not exchange.wants and not exchange.to_client:
                break
        if exchange.backlogged or not self._reading:
            self._set_reading()

    def _act(self, wants: int) -> None:
        if self.exchange.detail:
            self._explain()
        if wants & (ex.RELEASE | ex.DROP):
            self._let_go(reusable=bool(wants & ex.RELEASE) and not self._client_full)
        if wants & ex.DIAL:
            self._dial()
        if wants & ex.SWITCH:
            self._switch()
        elif wants & ex.ABORT:
            reset(self._transport)
        elif wants & ex.LINGER:
            if self._transport.can_write_eof():
                self._transport.write_eof()
        elif wants & ex.CLOSE:
            self._transport.close()

    def _explain(self) -> None:
        """Put into the operational log what the access log's code leaves open."""
        exchange, route = self.exchange, self.exchange.route
        log.info(
            "message refused", listener=route.listener, peer=route.peer, detail=exchange.detail
        )
        exchange.detail = ""

    def _let_go(self, *, reusable: bool) -> None:
        if self._stop_dialling is not None:
            self._stop_dialling()
            self._stop_dialling = None
        connection, self._upstream = self._upstream, None
        self._upstream_full = False
        if connection is None:
            return
        if reusable:
            connection.upstream.give_back(connection)
        else:
            connection.drop()

    def _dial(self) -> None:
        connection = None if self.exchange.fresh else self._source.take()
        if connection is not None:
            self._use(connection)
            return
        permit = self.exchange.permit
        assert permit is not None
        self._stop_dialling = self._connection.world.spawn(self._dial_new(permit))

    async def _dial_new(self, permit: Permit) -> None:
        try:
            connection = await self._source.dial(permit)
        except RefusedError as refusal:
            self._stop_dialling = None
            self.exchange.upstream_failed(refusal.reason, refusal.detail, _monotonic())
        else:
            self._stop_dialling = None
            self._use(connection)
        self._look()

    def _use(self, connection: UpstreamConnection) -> None:
        self._upstream = connection
        connection.owner = self
        if self._client_full:
            connection.transport.pause_reading()
        self.exchange.upstream_ready(connection.address, connection.peer, _monotonic())

    def _switch(self) -> None:
        """Join both connections into a tunnel; this object is out of the way from here on."""
        connection, record = self._upstream, self.exchange.record
        assert connection is not None
        assert record is not None
        connection.owner = None
        tunnel = Tunnel(self._transport, connection.transport, record, self._connection.done)
        self._connection.run(tunnel, self._source.target.idle_s)
        tunnel.start(self.exchange.rest_client, self.exchange.rest_upstream)

    def _set_reading(self) -> None:
        reading = not (self.exchange.backlogged or self._upstream_full)
        if reading is not self._reading:
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()
