"""TCP under pressure: floods, stalls, limits, churn. Each listener has its own small bounds."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.certs import Leaf
from tests.e2e import apps
from tests.e2e.apps import TcpApplication, tcp
from tests.e2e.clients import context, fate, half_close, plain, read_all, refusal, secure
from tests.e2e.harness import Sidecar, Site, inbound, open_descriptors, spiffe, until

LISTENERS: dict[str, dict[str, Any]] = {
    "usual": {},
    # The time is long, so that no place is given up while the flood comes in.
    "few-handshakes": {"limits": {"handshakes": 4}, "timeouts": {"handshake": 60}},
    "one-handshake": {"limits": {"handshakes": 1}},
    "impatient": {"timeouts": {"handshake": 0.3}},
    "three": {"limits": {"connections": 3}},
    "one": {"limits": {"connections": 1}},
    "idle": {"timeouts": {"idle": 0.4}},
    "mortal": {"limits": {"lifetime": 0.5}},
}


@pytest.fixture(scope="module")
def echo() -> Iterator[TcpApplication]:
    with tcp(apps.echo) as application:
        yield application


@pytest.fixture(scope="module")
def server(site: Site, loop: str, echo: TcpApplication) -> Sidecar:
    ports = [inbound(name, echo, "tcp", **bounds) for name, bounds in LISTENERS.items()]
    return site.sidecar("web", {"loop": loop, "inbound": ports})


@pytest.fixture(scope="module")
def friend(site: Site) -> ssl.SSLContext:
    return context(site.leaf("frontend"))


def ask(port: int, friend: ssl.SSLContext) -> bytes:
    """One connection from handshake to end; what the echo sent back."""
    with secure(port, friend) as client:
        client.sendall(b"hello")
        half_close(client)
        return read_all(client)


def held(server: Sidecar, listener: str) -> float:
    return server.metric("sidecar_connections_open", listener=listener)


def test_handshake_flood(server: Sidecar, friend: ssl.SSLContext) -> None:
    """Connections that never say anything take the places of a listener, and of no other.

    More than the bound are refused with the reason; when the flood ends the listener serves.
    """
    log = server.watch()
    port = server.port("few-handshakes")
    with contextlib.ExitStack() as flood:
        for _ in range(40):
            flood.enter_context(plain(port))
        until(lambda: len(log.lines(listener="few-handshakes", code="MTLS-E502")) == 36)
        assert held(server, "few-handshakes") == 4
        assert refusal(port, friend) != "closed"
        assert ask(server.port("usual"), friend) == b"hello"
    until(lambda: held(server, "few-handshakes") == 0)
    assert ask(port, friend) == b"hello"
    assert server.metric("sidecar_handshakes_total", result="MTLS-E502") >= 36


def test_handshake_limit_at_its_edge(server: Sidecar, friend: ssl.SSLContext) -> None:
    """With one place: the first is served, the second refused; a finished one is no handshake."""
    port = server.port("one-handshake")
    with secure(port, friend) as first:
        first.sendall(b"x")
        assert first.recv(1) == b"x"
        assert ask(port, friend) == b"hello"
        with plain(port):
            until(lambda: held(server, "one-handshake") == 2)
            assert refusal(port, friend) != "closed"


def test_tls_handshake_timeout(server: Sidecar, friend: ssl.SSLContext) -> None:
    """Who does not finish a handshake in time is cut, with or without having begun it."""
    log = server.watch()
    port = server.port("impatient")
    with plain(port) as silent, plain(port) as begun, plain(port) as drop_by_drop:
        begun.sendall(b"\x16\x03\x01\x02\x00")  # the head of a record, and nothing in it
        with contextlib.suppress(OSError):
            for byte in b"\x16\x03\x01\x02\x00" + bytes(500):
                drop_by_drop.sendall(bytes([byte]))
                drop_by_drop.settimeout(0.02)
                with contextlib.suppress(TimeoutError):
                    if not drop_by_drop.recv(1):
                        break
        for connection in (silent, begun):
            assert fate(connection)
    until(lambda: len(log.lines(listener="impatient", code="MTLS-E122")) == 3)
    assert ask(port, friend) == b"hello"


def test_max_concurrent_conns(server: Sidecar, friend: ssl.SSLContext) -> None:
    """Three fit, the fourth is refused with the reason, and one that ends makes room for one."""
    log = server.watch()
    port = server.port("three")
    with contextlib.ExitStack() as open_now:
        clients = [open_now.enter_context(secure(port, friend)) for _ in range(3)]
        for client in clients:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        assert refusal(port, friend) != "closed"
        assert log.line(listener="three", code="MTLS-E501")["flags"] == "LIMIT"
        half_close(clients[0])
        assert read_all(clients[0]) == b""
        until(lambda: held(server, "three") == 2)
        assert ask(port, friend) == b"hello"


def test_semaphore_churn(server: Sidecar, friend: ssl.SSLContext) -> None:
    """A listener for one connection serves a hundred in turn: each end gives its place back.

    Ends of every kind: in order, by reset, in the middle of a handshake, refused by policy.
    """
    port = server.port("one")
    for number in range(100):
        match number % 4:
            case 0:
                assert ask(port, friend) == b"hello"
            case 1:
                client = secure(port, friend)
                apps.reset(client)
                client.close()
            case 2:
                plain(port).close()
            case _:
                half = plain(port)
                half.sendall(b"\x16\x03\x01")
                apps.reset(half)
                half.close()
        until(lambda: held(server, "one") == 0, lambda: server.admin("/connections"))
    assert ask(port, friend) == b"hello"


def test_connection_churn(server: Sidecar, friend: ssl.SSLContext) -> None:
    """Hundreds of short connections from many threads leave no descriptor and no connection."""
    port = server.port("usual")
    assert ask(port, friend) == b"hello"
    until(lambda: held(server, "usual") == 0)
    before = open_descriptors(server.process.pid)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ask(port, friend), range(400)))
    assert answers == [b"hello"] * 400
    until(lambda: held(server, "usual") == 0)
    until(lambda: open_descriptors(server.process.pid) <= before)


def test_idle_reaper(server: Sidecar, friend: ssl.SSLContext) -> None:
    """A silent tunnel is closed in order and says IDLE; one that moves now and then is not."""
    log = server.watch()
    port = server.port("idle")
    with secure(port, friend) as busy, secure(port, friend) as silent:
        silent.sendall(b"x")
        assert silent.recv(1) == b"x"
        silent.settimeout(0.05)
        while True:
            busy.sendall(b"y")
            assert busy.recv(1) == b"y"
            with contextlib.suppress(TimeoutError):
                assert silent.recv(1) == b""
                break
        log.line(listener="idle", code="MTLS-E503", bytes_in=1)
        busy.sendall(b"z")
        assert busy.recv(1) == b"z"


def test_max_conn_lifetime(server: Sidecar, friend: ssl.SSLContext) -> None:
    """A connection ends at its maximum age however busy it is, and says LIFE."""
    log = server.watch()
    with secure(server.port("mortal"), friend) as client:
        with contextlib.suppress(OSError):
            while True:
                client.sendall(b"x")
                if client.recv(1) == b"":
                    break
        line = log.line(listener="mortal", peer=spiffe("frontend"))
        assert (line["flags"], line["code"]) == ("LIFE", "MTLS-E505")
    assert ask(server.port("mortal"), friend) == b"hello"


def test_connection_ends_with_the_certificate(server: Sidecar, site: Site) -> None:
    """An open connection does not outlive the certificate that opened it (threat 3)."""
    short: Leaf = site.ca.leaf(spiffe("frontend"), not_after=time.time() + 2)
    log = server.watch()
    with secure(server.port("usual"), context(short)) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        assert fate(client) is not None
    log.line(listener="usual", code="MTLS-E505", bytes_in=1)


def test_accept_error_recovery(site: Site, loop: str, echo: TcpApplication) -> None:
    """Out of descriptors, the accept loop waits; with some again it serves (threat 28)."""
    limited = site.sidecar(
        "web", {"loop": loop, "inbound": [inbound("usual", echo, "tcp")]}, descriptors=64
    )
    friend = context(site.leaf("frontend"))
    port = limited.port("usual")
    with contextlib.ExitStack() as crowd:
        for _ in range(100):
            crowd.enter_context(plain(port))
        until(lambda: '"accept failed"' in limited.last_words())
    assert ask(port, friend) == b"hello"
    until(lambda: held(limited, "usual") == 0)


def test_denied_twin_under_limits(server: Sidecar, site: Site) -> None:
    """A connection that is refused takes no place for longer than it takes to refuse it."""
    foreign = context(site.ca.leaf("spiffe://other.local/ns/shop/sa/frontend"))
    port = server.port("one")
    for _ in range(5):
        assert refusal(port, foreign)
        until(lambda: held(server, "one") == 0)


def test_addresses_are_not_stolen(server: Sidecar) -> None:
    """A second bind of a listener's port fails: nobody else gets a share of its connections."""
    place = ("127.0.0.1", server.port("usual"))
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            thief.bind(place)
