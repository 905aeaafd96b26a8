"""Outbound: plain bytes from the application in, mTLS to another workload out.

There is no peer to judge on this side: whoever can reach the loopback port is the application.
What is checked is the other end. The server's identity must be one that the route expects, before
the first byte is sent to it.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from sidecar.core.ids import Denial, Permit
from sidecar.core.reasons import CLIENT_CLOSED
from sidecar.core.record import Record
from sidecar.core.request import Limits, Route, TargetRule, Timeouts
from sidecar.net.http import HttpConnection
from sidecar.net.serving import Connection, TunnelStart
from sidecar.net.upstream import Upstream
from sidecar.net.world import Ended, World


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """One outbound listener under one snapshot."""

    name: str
    http: bool
    permit: Permit
    local: str
    target_rule: TargetRule
    limits: Limits
    timeouts: Timeouts


class Outbound:
    """One outbound listener's way of serving, under one snapshot."""

    def __init__(self, settings: OutboundSettings, upstream: Upstream, world: World) -> None:
        self._settings = settings
        self._upstream = upstream
        self._world = world
        self._open: dict[Connection, HttpConnection | None] = {}
        self._route = Route(
            listener=settings.name,
            direction="outbound",
            authorize=self._authorize,
            target_rule=settings.target_rule,
            new_id=world.new_id,
            local=settings.local,
            limits=settings.limits,
            timeouts=settings.timeouts,
        )

    def _authorize(self, method: str, path: str) -> Permit | Denial:
        del method, path
        return self._settings.permit

    def serve(self, sock: socket.socket, ended: Ended) -> None:
        """Take over an accepted socket."""
        connection = Connection(self._world, ended)
        connection.on_end = self._forget
        protocol: HttpConnection | TunnelStart
        if self._settings.http:
            protocol = HttpConnection(self._route, self._upstream, connection)
            self._open[connection] = protocol
        else:
            permit, record = self._settings.permit, self._record()
            protocol = TunnelStart(connection, self._upstream, permit, record, b"")
            self._open[connection] = None
        connection.inner = protocol
        self._world.spawn(self._begin(sock, protocol, connection))

    async def _begin(
        self, sock: socket.socket, protocol: asyncio.Protocol, connection: Connection
    ) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, sock)
        except OSError:
            sock.close()
            record = self._record()
            record.reason = CLIENT_CLOSED
            connection.done(record)

    def adopt(self, other: Outbound) -> None:
        """Take over another snapshot's connections; their next request goes out by this one."""
        taken, other._open = other._open, {}  # the same class
        for connection, http in taken.items():
            connection.on_end = self._forget
            self._open[connection] = http
            if http is not None:
                http.reroute(self._route, self._upstream)
        other._upstream.close()

    def retire(self) -> None:
        """Nobody follows: keep no idle upstream connections; what is open drains."""
        self._upstream.close()
        for connection in list(self._open):
            connection.drain()

    def _record(self) -> Record:
        record = Record("tcp", "outbound", self._settings.name, self._world.clock.wall())
        record.local = self._settings.local
        return record

    def _forget(self, connection: Connection) -> None:
        self._open.pop(connection, None)
