"""Inbound: mTLS from other workloads in, plain bytes to the application out.

The order of a connection: accept, handshake with the snapshot's context, peer check, policy, and
only then anything that touches the application. A refusal in the handshake is logged and counted
with its reason and ends there.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext
from typing import Final

from pki.names import SpiffeID
from sidecar.core.forwarded import xfcc
from sidecar.core.ids import Denial, Peer, Permit, RefusedError
from sidecar.core.peer import check_path, check_peer
from sidecar.core.policy import Grant, Policy
from sidecar.core.reasons import (
    DRAINING,
    HANDSHAKE_CLOSED,
    HANDSHAKE_LIMIT,
    MALFORMED_CERTIFICATE,
    NO_CERTIFICATE,
    Reason,
)
from sidecar.core.record import Record
from sidecar.core.request import Authorize, Limits, Route, TargetRule, Timeouts
from sidecar.core.x509 import Certificate, MalformedCertificateError
from sidecar.net.http import HttpConnection
from sidecar.net.serving import Connection, TunnelStart
from sidecar.net.tls import TlsConnection
from sidecar.net.upstream import Upstream
from sidecar.net.world import Ended, World
from sidecar.telemetry.oplog import log


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may come in: the peer check and the policy of one listener under one snapshot."""

    own: SpiffeID
    policy: Policy
    roots: frozenset[str]
    revoked: frozenset[tuple[bytes, int]]

    def peer(self, certificate: Certificate, chain_length: int, now: float) -> Peer:
        """Return the verified peer or raise `RefusedError`; runs for resumed sessions too."""
        return check_peer(
            certificate,
            trust_domain=self.own.trust_domain,
            now=now,
            revoked=self.revoked,
            chain_length=chain_length,
        )

    def trusts_as(self, other: Admission) -> bool:
        """Whether a path that `other` let in needs no second look."""
        return self.roots == other.roots and self.revoked == other.revoked

    def path(self, path: list[Certificate], now: float) -> None:
        """Raise `RefusedError` for a path that would not be verified now."""
        check_path(path, roots=self.roots, revoked=self.revoked, now=now)


@dataclass(frozen=True, slots=True)
class InboundSettings:
    """One inbound listener under one snapshot; times in seconds, 0 is no bound."""

    name: str
    http: bool
    context: SSLContext
    admission: Admission
    target_rule: TargetRule
    limits: Limits
    timeouts: Timeouts
    handshake_s: float
    handshakes: int
    lifetime_s: float
    own_not_after: float
    proxy_header: Callable[[TlsConnection, Peer], bytes] | None


@dataclass(slots=True, eq=False)
class _Guest:
    """An admitted connection and what is needed to judge it again."""

    connection: Connection
    layer: TlsConnection
    certificate: Certificate
    http: HttpConnection | None


class Inbound:
    """One inbound listener's way of serving, under one snapshot."""

    def __init__(self, settings: InboundSettings, upstream: Upstream, world: World) -> None:
        self._settings = settings
        self._upstream = upstream
        self._world = world
        self._meter = world.telemetry.listener(settings.name, "inbound")
        self.context = settings.context
        self._handshakes = 0
        self._guests: dict[Connection, _Guest] = {}
        self._heir: Inbound | None = None  # the service of a newer snapshot
        self._retired = False

    def serve(self, sock: socket.socket, ended: Ended) -> None:
        """Take over an accepted socket and begin the handshake."""
        connection = Connection(self._world, ended)
        connection.on_end = self._forget
        if self._handshakes >= self._settings.handshakes:
            sock.close()
            self._refused(connection, HANDSHAKE_LIMIT)
            return
        self._handshakes += 1
        handshake = Handshake(self, connection, time.monotonic() + self._settings.handshake_s)
        connection.inner = handshake
        self._world.spawn(handshake.begin(sock))

    def adopt(self, other: Inbound) -> None:
        """Take over another snapshot's connections, each judged again by this one's rules.

        A peer that would not be let in now does not stay in: policy, revocation and trust bind
        connections that are open, not only those that come.
        """
        other._heir = self  # the same class
        guests, other._guests = other._guests, {}
        new_trust = not self._settings.admission.trusts_as(other._settings.admission)
        for guest in guests.values():
            self._judge_again(guest, new_trust)
        other._upstream.close()

    def retire(self) -> None:
        """Nobody follows: keep no idle upstream connections; what is open drains."""
        self._retired = True
        self._upstream.close()
        for connection in list(self._guests):
            connection.drain()

    def _judge_again(self, guest: _Guest, new_trust: bool) -> None:
        connection = guest.connection
        connection.on_end = self._forget
        self._guests[connection] = guest
        try:
            peer, verdict = self._admit(guest.certificate, guest.layer.chain_length())
            if new_trust:
                self._settings.admission.path(_verified(guest.layer), self._world.clock.wall())
            if guest.http is None:
                _permit_stream(verdict, connection)
            else:
                guest.http.reroute(self._route(peer, verdict), self._upstream)
                _permit_upgraded(guest.http, connection)
        except RefusedError as refusal:
            log.info("connection ended by reload", peer=connection.peer, code=refusal.reason.code)
            connection.cut(refusal.reason)

    def _admit(self, certificate: Certificate, chain_length: int) -> tuple[Peer, Grant | Denial]:
        admission = self._settings.admission
        peer = admission.peer(certificate, chain_length, self._world.clock.wall())
        return peer, admission.policy.connection(peer.spiffe_id)

    def ready(
        self, layer: TlsConnection, connection: Connection, *, inherited: bool = False
    ) -> asyncio.Protocol:
        """Judge a finished handshake; return what goes on, or raise `RefusedError`.

        One that began under an older snapshot is judged by the newest and belongs to it:
        `inherited` says that the peer's path was verified with the trust of that time.
        """
        if self._heir is not None:
            return self._heir.ready(layer, connection, inherited=True)
        if self._retired:
            raise RefusedError(DRAINING)
        certificate = parse_peer(layer)
        peer, verdict = self._admit(certificate, layer.chain_length())
        if inherited:
            self._settings.admission.path(_verified(layer), self._world.clock.wall())
        connection.peer = str(peer.spiffe_id)
        connection.on_end = self._forget
        self._bound(connection, peer)
        if self._settings.http:
            self._meter.handshake(None)
            http = HttpConnection(self._route(peer, verdict), self._upstream, connection)
            self._guests[connection] = _Guest(connection, layer, certificate, http)
            connection.inner = http
            return http
        permit = _permit_stream(verdict, connection)
        self._meter.handshake(None)
        self._guests[connection] = _Guest(connection, layer, certificate, None)
        return self._tunnel(layer, peer, permit, connection)

    def _tunnel(
        self, layer: TlsConnection, peer: Peer, permit: Permit, connection: Connection
    ) -> TunnelStart:
        record = self._record(connection)
        record.rule = permit.rule
        record.protocol = layer.version()
        header = self._settings.proxy_header
        preface = header(layer, peer) if header is not None else b""
        connection.inner = start = TunnelStart(connection, self._upstream, permit, record, preface)
        return start

    def _route(self, peer: Peer, verdict: Grant | Denial) -> Route:
        settings = self._settings
        own = settings.admission.own
        return Route(
            listener=settings.name,
            direction="inbound",
            authorize=_refuse(verdict) if isinstance(verdict, Denial) else verdict.request,
            target_rule=settings.target_rule,
            new_id=self._world.new_id,
            identity=b"x-forwarded-client-cert: %b\r\n" % xfcc(peer, own),
            peer=str(peer.spiffe_id),
            local=str(own),
            limits=settings.limits,
            timeouts=settings.timeouts,
        )

    def _bound(self, connection: Connection, peer: Peer) -> None:
        """A connection never outlives the earlier of both certificates, nor its own maximum."""
        left = min(peer.not_after, self._settings.own_not_after) - self._world.clock.wall()
        if self._settings.lifetime_s:
            left = min(left, self._settings.lifetime_s)
        connection.ends_at(time.monotonic() + left)

    def handshake_over(self) -> None:
        """One handshake less in progress."""
        self._handshakes -= 1

    def failed(self, connection: Connection, reason: Reason, detail: str) -> None:
        """The handshake came to nothing, or its peer was refused."""
        log.info(
            "handshake refused", listener=self._settings.name, code=reason.code,
            peer=connection.peer, detail=detail,
        )  # fmt: skip
        self._refused(connection, reason)

    def _refused(self, connection: Connection, reason: Reason) -> None:
        self._meter.handshake(reason)
        record = self._record(connection)
        record.reason = reason
        connection.done(record)

    def _record(self, connection: Connection) -> Record:
        record = Record("tcp", "inbound", self._settings.name, self._world.clock.wall())
        record.peer = connection.peer
        record.local = str(self._settings.admission.own)
        return record

    def _forget(self, connection: Connection) -> None:
        self._guests.pop(connection, None)


class Handshake:
    """A connection until its peer is known."""

    phase: Final = "handshake"

    def __init__(self, service: Inbound, connection: Connection, deadline: float) -> None:
        self.deadline = deadline
        self._service = service
        self._connection = connection
        self._pending = True
        self._layer = TlsConnection(
            service.context, server_side=True, on_ready=self._ready, on_failed=self._failed
        )

    async def begin(self, sock: socket.socket) -> None:
        """Put the TLS layer on the socket."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self._layer, sock)
        except OSError as error:
            sock.close()
            self._failed(HANDSHAKE_CLOSED, str(error))

    def expire(self, now: float) -> None:
        """The handshake took too long."""
        self.deadline = math.inf
        self._layer.timed_out()

    def drain(self) -> None:
        """A handshake is not worth waiting for."""
        self._layer.abort()

    def cut(self, reason: Reason) -> None:
        """End at once."""
        self._layer.abort()

    def _ready(self, layer: TlsConnection) -> asyncio.Protocol:
        self._over()
        return self._service.ready(layer, self._connection)

    def _failed(self, reason: Reason, detail: str) -> None:
        self._over()
        self._service.failed(self._connection, reason, detail)

    def _over(self) -> None:
        if self._pending:
            self._pending = False
            self._service.handshake_over()


def parse_peer(layer: TlsConnection) -> Certificate:
    """Read the certificate that the other side presented, or raise `RefusedError`."""
    der = layer.peer_der()
    if der is None:
        raise RefusedError(NO_CERTIFICATE)
    return _parsed(der)


def _verified(layer: TlsConnection) -> list[Certificate]:
    """Read the path by which OpenSSL got to a root, or raise `RefusedError`."""
    return [_parsed(der) for der in layer.verified_path()]


def _parsed(der: bytes) -> Certificate:
    try:
        return Certificate.parse(der)
    except MalformedCertificateError as error:
        raise RefusedError(MALFORMED_CERTIFICATE, str(error)) from None


def _permit_stream(verdict: Grant | Denial, connection: Connection) -> Permit:
    """Ask policy for the whole connection at once; raise `RefusedError` if it says no."""
    permit = verdict if isinstance(verdict, Denial) else verdict.stream()
    if isinstance(permit, Denial):
        connection.rule = permit.rule
        raise RefusedError(permit.reason)
    return permit


def _permit_upgraded(http: HttpConnection, connection: Connection) -> None:
    """Ask policy again about a request that became a tunnel; raise `RefusedError` for a no."""
    verdict = http.verdict()
    if isinstance(verdict, Denial):
        connection.rule = verdict.rule
        raise RefusedError(verdict.reason)


def _refuse(denial: Denial) -> Authorize:
    """Answer every request of a peer whom no rule names with the same denial."""

    def authorize(method: str, path: str) -> Permit | Denial:
        del method, path
        return denial

    return authorize
