"""The application of a TCP port learns who called, if it wants to, before the first byte."""

from __future__ import annotations

import queue
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.e2e import apps
from tests.e2e.apps import tcp
from tests.e2e.clients import context, half_close, read_all, secure
from tests.e2e.harness import PATIENCE_S, Sidecar, Site, inbound, spiffe

_SIGNATURE: Final = bytes.fromhex("0d0a0d0a000d0a515549540a")


@dataclass(frozen=True, slots=True)
class Header:
    """A PROXY protocol header, version 2, read as its specification says."""

    command: int
    family: int
    source: tuple[str, int]
    values: dict[int, bytes]  # type -> value of each TLV


def read_header(connection: socket.socket) -> Header:
    start = connection.recv(16, socket.MSG_WAITALL)
    signature, command, family, length = struct.unpack("!12sBBH", start)
    assert signature == _SIGNATURE
    body = connection.recv(length, socket.MSG_WAITALL)
    host, _, port, _ = struct.unpack("!4s4sHH", body[:12])
    return Header(command, family, (socket.inet_ntoa(host), port), _values(body[12:]))


def _values(body: bytes) -> dict[int, bytes]:
    found = {}
    while body:
        kind, length = struct.unpack("!BH", body[:3])
        found[kind] = body[3 : 3 + length]
        body = body[3 + length :]
    return found


class Proxied:
    """An application that wants to know who calls, then echoes."""

    def __init__(self) -> None:
        self.headers: queue.Queue[Header] = queue.Queue()

    def __call__(self, connection: socket.socket) -> None:
        self.headers.put(read_header(connection))
        apps.echo(connection)


@pytest.fixture(scope="module")
def application() -> Proxied:
    return Proxied()


@pytest.fixture(scope="module")
def server(site: Site, loop: str, application: Proxied) -> Iterator[Sidecar]:
    with tcp(application) as proxied, tcp(apps.echo) as bare:
        ports = [
            inbound("proxied", proxied, "tcp", proxy_protocol="v2"),
            inbound("bare", bare, "tcp"),
        ]
        yield site.sidecar("web", {"loop": loop, "inbound": ports})


def test_proxy_protocol(server: Sidecar, application: Proxied, site: Site) -> None:
    """The header says address, TLS version, cipher and SPIFFE ID; the stream follows unharmed."""
    with secure(server.port("proxied"), context(site.leaf("frontend"))) as client:
        name = client.getsockname()
        cipher = client.cipher()
        client.sendall(b"payload")
        half_close(client)
        assert read_all(client) == b"payload"
    header = application.headers.get(timeout=PATIENCE_S)
    assert (header.command, header.family) == (0x21, 0x11)  # PROXY, TCP over IPv4
    assert header.source == name
    assert header.values[0xE0].decode() == spiffe("frontend")
    flags, verified = struct.unpack("!BI", header.values[0x20][:5])
    assert (flags & 0x03, verified) == (0x03, 0)  # TLS, with a certificate, which was verified
    details = _values(header.values[0x20][5:])
    assert details[0x21] == b"TLSv1.3"
    assert cipher is not None
    assert details[0x23].decode() == cipher[0]


def test_proxy_protocol_not_asked_for(server: Sidecar, site: Site) -> None:
    """Without the key the application gets nothing that the client did not send."""
    with secure(server.port("bare"), context(site.leaf("frontend"))) as client:
        client.sendall(b"payload")
        half_close(client)
        assert read_all(client) == b"payload"


def test_proxy_protocol_forged_by_the_client(
    server: Sidecar, application: Proxied, site: Site
) -> None:
    """A header that a client sends is payload: the first one is always the sidecar's."""
    forged = _SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 12) + bytes(12)
    with secure(server.port("proxied"), context(site.leaf("frontend"))) as client:
        client.sendall(forged)
        half_close(client)
        assert read_all(client) == forged
    assert application.headers.get(timeout=PATIENCE_S).values[0xE0].decode() == spiffe("frontend")
