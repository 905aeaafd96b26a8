"""Scripts for the exchange: what one side says, what the other side hears.

`Talk` plays the shell around an `Exchange`: it dials when asked, keeps the time, and collects what
would have been written. Tests read like a conversation and see only what a network would see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import h11

from sidecar.core import phases as ex
from sidecar.core.exchange import Exchange
from sidecar.core.ids import Denial, Permit
from sidecar.core.path import plain
from sidecar.core.reasons import Reason
from sidecar.core.record import Record
from sidecar.core.request import Route

PERMIT = Permit("allow[0]")


class FixedEnv:
    """A clock that stands."""

    date = b"date: Mon, 23 Nov 2026 22:00:00 GMT\r\n"
    epoch = 1_000_000.0


def allow_all(method: str, path: str) -> Permit | Denial:
    return PERMIT


def route(**changes: Any) -> Route:
    base = Route(
        listener="web",
        direction="inbound",
        authorize=allow_all,
        target_rule=plain,
        new_id=lambda: b"made-id",
        identity=b"x-forwarded-client-cert: URI=spiffe://demo.local/web\r\n",
        peer="spiffe://demo.local/web",
        local="spiffe://demo.local/app",
    )
    return replace(base, **changes)


class Talk:
    """One client connection, its upstream, and everything that was said."""

    def __init__(self, *, dial: bool = True, reused: bool = False, **changes: Any) -> None:
        self.records: list[Record] = []
        self.exchange = Exchange(route(**changes), FixedEnv(), self.records.append)
        self.now = 100.0
        self.to_client = b""
        self.to_upstream = b""
        self.log: list[str] = []
        self.reused = reused
        self._dial = dial
        self._connected = False
        self.exchange.start(self.now)

    def client(self, data: bytes, chunk: int = 0) -> Talk:
        """The client sends `data`, whole or in pieces of `chunk` bytes."""
        for piece in _pieces(data, chunk):
            self.exchange.feed_client(piece, self.now)
            self._look()
        return self

    def upstream(self, data: bytes, chunk: int = 0) -> Talk:
        """The upstream sends `data`."""
        for piece in _pieces(data, chunk):
            self.exchange.feed_upstream(piece, self.now)
            self._look()
        return self

    def upstream_closes(self, fault: Reason | None = None) -> Talk:
        self._connected = False
        self.exchange.upstream_eof(self.now, reused=self.reused, fault=fault)
        self._look()
        return self

    def client_closes(self) -> Talk:
        self.exchange.client_eof(self.now)
        self._look()
        return self

    def dialled(self) -> Talk:
        self._connected = True
        self.exchange.upstream_ready("127.0.0.1:8080", "", self.now)
        self._look()
        return self

    def dial_fails(self, reason: Reason) -> Talk:
        self.exchange.upstream_failed(reason, "127.0.0.1:8080", self.now)
        self._look()
        return self

    def wait(self, seconds: float) -> Talk:
        """Time passes; what is over its deadline expires."""
        self.now += seconds
        if self.exchange.deadline <= self.now:
            self.exchange.expire(self.now)
            self._look()
        return self

    def _look(self) -> None:
        exchange = self.exchange
        while True:
            self.to_client += b"".join(exchange.to_client)
            exchange.to_client.clear()
            wants, exchange.wants = exchange.wants, 0
            self._act(wants)
            if exchange.has_unread:
                exchange.resume(self.now)
            if self._connected:
                self.to_upstream += b"".join(exchange.to_upstream)
                exchange.to_upstream.clear()
            if not exchange.wants and not exchange.to_client:
                return

    def _act(self, wants: int) -> None:
        for bit, word in WORDS.items():
            if wants & bit:
                self.log.append(word)
        if wants & (ex.RELEASE | ex.DROP):
            self._connected = False
        if wants & ex.DIAL and self._dial:
            self._connected = True
            self.exchange.upstream_ready("127.0.0.1:8080", "", self.now)

    @property
    def answers(self) -> list[tuple[int, bytes]]:
        """(status, body) of everything the client got, by an independent parser."""
        return read_responses(self.to_client)

    @property
    def last(self) -> Record:
        return self.records[-1]

    @property
    def code(self) -> str:
        """The code of the newest record, or `-`."""
        reason = self.last.reason
        return reason.code if reason else "-"


WORDS = {
    ex.RELEASE: "release",
    ex.DROP: "drop",
    ex.DIAL: "dial",
    ex.SWITCH: "switch",
    ex.ABORT: "abort",
    ex.LINGER: "linger",
    ex.CLOSE: "close",
}


def _pieces(data: bytes, chunk: int) -> list[bytes]:
    if not chunk:
        return [data]
    return [data[i : i + chunk] for i in range(0, len(data), chunk)]


def read_responses(data: bytes, methods: tuple[str, ...] = ()) -> list[tuple[int, bytes]]:
    """Parse a stream of responses with h11, as a client that trusts nobody."""
    found: list[tuple[int, bytes]] = []
    rest = data
    while rest:
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        conn = h11.Connection(h11.CLIENT)
        conn.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        conn.send(h11.EndOfMessage())
        conn.receive_data(rest)
        conn.receive_data(b"")
        status, body = _one_response(conn)
        found.append((status, body))
        rest = conn.trailing_data[0]
        if conn.their_state is h11.CLOSED or conn.their_state is h11.MUST_CLOSE:
            rest = conn.trailing_data[0]
    return found


def _one_response(conn: h11.Connection) -> tuple[int, bytes]:
    status, body = 0, b""
    while True:
        event = conn.next_event()
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)) or event is h11.PAUSED:
            return status, body


def read_requests(data: bytes) -> list[tuple[str, str, dict[str, str], bytes]]:
    """Parse a stream of requests with h11: (method, target, fields, body)."""
    found: list[tuple[str, str, dict[str, str], bytes]] = []
    rest = data
    while rest:
        conn = h11.Connection(h11.SERVER)
        conn.receive_data(rest)
        request = conn.next_event()
        assert isinstance(request, h11.Request), request
        body = b""
        while True:
            event = conn.next_event()
            if isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                assert isinstance(event, h11.EndOfMessage), event
                break
        fields = {k.decode(): v.decode("latin-1") for k, v in request.headers}
        found.append((request.method.decode(), request.target.decode(), fields, body))
        rest = conn.trailing_data[0]
    return found


Authorize = Callable[[str, str], Permit | Denial]
