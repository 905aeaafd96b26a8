"""A small HTTP/1.1 server for the pages, on its own listening socket.

It has to answer when the data path is full, draining or under attack, so it shares nothing with
it, and its limits favour whoever comes next: when all places are taken the oldest connection goes,
so a probe gets through however many idle clients sit there. A connection has ten seconds from its
start, or from its last answer, to the end of its next request.
"""

from __future__ import annotations

import asyncio
import socket
import time
from http import HTTPStatus
from typing import Final, Self, cast

import httptools

from sidecar.admin.pages import Answer, Request, Scope, Subject, respond
from sidecar.telemetry.oplog import log

REQUEST_BYTES: Final = 8 << 10  # head and body; also what may come in ahead of an answer
CONNECTIONS: Final = 64
DEADLINE_S: Final = 10.0
_UNREAD_BYTES: Final = 1 << 20  # answers that pile up before a client that asks and never reads


class AdminServer:
    """One port with pages about `subject`; `deadline_s` and `connections` are its limits."""

    def __init__(
        self,
        subject: Subject,
        scope: Scope,
        *,
        deadline_s: float = DEADLINE_S,
        connections: int = CONNECTIONS,
    ) -> None:
        self.subject = subject
        self.scope: Final = scope
        self.deadline_s: Final = deadline_s
        self._limit = connections
        self._open: dict[asyncio.Transport, None] = {}  # the oldest first
        self._server: asyncio.Server | None = None

    async def listen(self, sock: socket.socket) -> Self:
        """Serve on a bound socket, which is the server's from here on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), sock=sock)
        return self

    @classmethod
    async def start(cls, sock: socket.socket, subject: Subject, scope: Scope) -> Self:
        """Make a server and let it listen."""
        return await cls(subject, scope).listen(sock)

    def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
        for transport in list(self._open):
            transport.abort()

    def opened(self, transport: asyncio.Transport) -> None:
        """Make room for a new connection."""
        if len(self._open) >= self._limit:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.abort()
        self._open[transport] = None

    def closed(self, transport: asyncio.Transport) -> None:
        """A connection is gone."""
        self._open.pop(transport, None)


class _Connection(asyncio.Protocol):
    """One client: requests one after another until it closes, errs or is too slow."""

    def __init__(self, server: AdminServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._received = 0  # bytes since the last answer
        self._over = False  # the last answer is on its way
        self._target = b""
        self._headers: dict[str, str] = {}

    # --- the transport's side --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._client = _address(self._transport.get_extra_info("peername"))
        self._deadline = self._loop.call_later(self._server.deadline_s, self._transport.abort)
        self._server.opened(self._transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._deadline.cancel()
        self._server.closed(self._transport)
        del self._parser  # it refers back to this object

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._received += len(data)
        if self._received > REQUEST_BYTES:
            self._refuse(431, f"a request has at most {REQUEST_BYTES} bytes")
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # answered like any other; the rest is another protocol
            self._end()
        except httptools.HttpParserError:
            self._refuse(400, "not well-formed HTTP/1.1")

    # --- the parser's side -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = {}

    def on_url(self, piece: bytes) -> None:
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_message_complete(self) -> None:
        if self._over:
            return
        if self._transport.get_write_buffer_size() > _UNREAD_BYTES:
            self._over = True
            self._transport.abort()
            return
        method = self._parser.get_method().decode("ascii")
        request = Request(method, self._target.decode("latin-1"), self._client, self._headers)
        answer = self._answer(request)
        keep = self._parser.should_keep_alive()
        self._send(answer, keep=keep, body=b"" if method == "HEAD" else answer.body)

    # --- answers ---------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Answer:
        try:
            return respond(request, self._server.subject, self._server.scope)
        except Exception as error:  # noqa: BLE001  # the boundary: a page that fails is a 500
            log.crashed("admin page failed", error, target=request.target)
            return Answer(500, b"the page failed; the operational log says why\n")

    def _refuse(self, status: int, why: str) -> None:
        if not self._over:
            body = f"{why}\n".encode()
            self._send(Answer(status, body), keep=False, body=body)

    def _send(self, answer: Answer, *, keep: bool, body: bytes) -> None:
        self._transport.write(_head(answer, keep=keep) + body)
        self._received = 0
        self._deadline.cancel()
        self._deadline = self._loop.call_later(self._server.deadline_s, self._transport.abort)
        if not keep:
            self._end()

    def _end(self) -> None:
        """Close our side; reading on until the client closes keeps a reset off the answer."""
        if not self._over:
            self._over = True
            self._transport.write_eof()


def _head(answer: Answer, *, keep: bool) -> bytes:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())  # RFC 9110 section 6.6.1
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Date: {date}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
    ]
    if answer.allow:
        lines.append(f"Allow: {answer.allow}")
    if not keep:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _address(peername: object) -> str:
    """Return the IP address of a peer, "" for one on a UNIX socket."""
    return str(peername[0]) if isinstance(peername, tuple) else ""
