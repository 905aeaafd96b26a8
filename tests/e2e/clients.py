"""Clients: plain TCP, TLS with or without a certificate, and HTTP read by h11.

Python's own `ssl` and h11 share no code with what they test.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import h11

from tests.certs import Leaf
from tests.e2e.harness import PATIENCE_S

CHUNK: Final = 65536


def plain(port: int) -> socket.socket:
    """A TCP connection to a local port."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def context(leaf: Leaf | None = None, made: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """A context with a certificate, or without: a client's that verifies nobody, or `made`."""
    if made is None:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE  # who is asked is not what these clients test
    if leaf is not None:
        with tempfile.TemporaryDirectory() as folder:
            leaf.write_folder(Path(folder))
            made.load_cert_chain(Path(folder, "tls.crt"), Path(folder, "tls.key"))
    return made


def secure(port: int, with_context: ssl.SSLContext) -> ssl.SSLSocket:
    """A TLS connection to a local port."""
    raw = plain(port)
    try:
        # By default Python takes an end without close_notify for one that is in order.
        return with_context.wrap_socket(raw, suppress_ragged_eofs=False)
    except BaseException:
        raw.close()
        raise


def half_close(connection: socket.socket) -> None:
    """Say that nothing more will be sent: FIN, or close_notify with TCP left open."""
    if not isinstance(connection, ssl.SSLSocket):
        connection.shutdown(socket.SHUT_WR)
        return
    connection.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):  # it would like to see the other side's
        connection.unwrap()
    connection.settimeout(PATIENCE_S)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side ends its direction in order."""
    data = bytearray()
    with contextlib.suppress(ssl.SSLZeroReturnError):  # the end, where this side had ended too
        while piece := connection.recv(CHUNK):
            data += piece
    return bytes(data)


def fate(connection: socket.socket) -> str:
    """Read until the connection ends: "closed" if that was in order, else the error's text.

    One that does not end raises `TimeoutError`.
    """
    try:
        read_all(connection)
    except TimeoutError:
        raise
    except OSError as error:
        return str(error)
    finally:
        connection.close()
    return "closed"


def refusal(port: int, with_context: ssl.SSLContext) -> str:
    """How a TLS port ends a connection that it does not want; TLS 1.3 clients learn it late."""
    try:
        connection = secure(port, with_context)
    except TimeoutError:
        raise
    except OSError as error:
        return str(error)
    return fate(connection)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; field names in lower case, 1xx statuses in `interim`."""

    status: int
    fields: dict[str, str]
    body: bytes
    trailers: dict[str, str] = field(default_factory=dict)
    interim: tuple[int, ...] = ()
    version: str = "1.1"

    @property
    def code(self) -> str:
        """The sidecar's reason, if it answered itself."""
        return self.fields.get("x-sidecar-reason", "-")


class Http:
    """A connection that speaks HTTP: raw requests out, answers as h11 reads them in."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._reader = h11.Connection(h11.CLIENT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def ask(self, request: bytes) -> Response:
        """Send one raw request and read its answer."""
        self.send(request)
        return self.answer(request.partition(b" ")[0].decode("latin-1"))

    def get(self, path: str, fields: str = "") -> Response:
        """Ask for a path; `fields` are whole lines."""
        return self.ask(request("GET", path, fields))

    def answer(self, method: str = "GET") -> Response:
        """Read the answer to a request that was sent with `method`."""
        self._expect(method)
        interim: list[int] = []
        while isinstance(head := self._event(), h11.InformationalResponse):
            interim.append(head.status_code)
        assert isinstance(head, h11.Response), head
        body = bytearray()
        while isinstance(event := self._event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage), event
        return Response(
            head.status_code,
            _fields(head.headers),
            bytes(body),
            _fields(event.headers),
            tuple(interim),
            head.http_version.decode(),
        )

    def head(self, method: str = "GET") -> h11.Response:
        """Read the head of an answer only; `piece` reads on."""
        self._expect(method)
        head = self._event()
        assert isinstance(head, h11.Response), head
        return head

    def piece(self) -> bytes:
        """The next piece of a body; nothing at its end."""
        event = self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    def rest(self) -> bytes:
        """What is left of a body."""
        return b"".join(iter(self.piece, b""))

    def is_closed(self) -> bool:
        """Wait for the other side to close in order; False if it sends something instead."""
        return self.connection.recv(1) == b""

    def _expect(self, method: str) -> None:
        if self._reader.our_state is h11.DONE:
            self._reader.start_next_cycle()
        # What h11 wants to know of the request: whether the answer has a body.
        known = method if method in {"GET", "HEAD"} else "POST"
        self._reader.send(h11.Request(method=known, target="/", headers=[("Host", "x")]))
        self._reader.send(h11.EndOfMessage())

    def _event(self) -> object:
        while (event := self._reader.next_event()) is h11.NEED_DATA:
            self._reader.receive_data(self.connection.recv(CHUNK))
        return event


def _fields(headers: object) -> dict[str, str]:
    pairs: Iterator[tuple[bytes, bytes]] = iter(headers)  # type: ignore[call-overload]  # untyped
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


def request(method: str, path: str, fields: str = "", body: bytes = b"") -> bytes:
    """A whole request; `fields` are whole lines, the length is added where there is a body."""
    if body:
        fields += f"content-length: {len(body)}\r\n"
    return f"{method} {path} HTTP/1.1\r\nhost: web.test\r\n{fields}\r\n".encode("latin-1") + body
