"""Who is not let in, and who is not called: each flaw of a peer, its code in log and metric.

Each has its twin in `test_good_*`: the same connection with a certificate that is in order.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.certs import Leaf
from tests.e2e import apps
from tests.e2e.apps import TcpApplication, WebApplication, tcp, website
from tests.e2e.clients import Http, context, fate, plain, refusal, request, secure
from tests.e2e.flaws import FLAWS
from tests.e2e.harness import Sidecar, Site, inbound, outbound, spiffe, until


@pytest.fixture(scope="module")
def web() -> Iterator[WebApplication]:
    with website() as application:
        yield application


@pytest.fixture(scope="module")
def server(site: Site, web: WebApplication) -> Sidecar:
    return site.sidecar("web", {"inbound": [inbound("web", web)]})


@contextlib.contextmanager
def refused(server: Sidecar, code: str) -> Iterator[None]:
    """What happens in the block is one handshake that fails for this reason, and no request."""
    log = server.watch()
    counted = server.metric("sidecar_handshakes_total", result=code)
    yield
    line = log.line(code=code)
    assert (line["kind"], line["listener"], line["flags"]) == ("tcp", "web", "TLS")
    assert server.metric("sidecar_handshakes_total", result=code) == counted + 1
    until(lambda: server.metric("sidecar_connections_open") == 0)
    assert not log.lines(kind="http")


def weak(leaf: Leaf) -> ssl.SSLContext:
    """A client's context that offers whatever certificate, however short its key."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.set_ciphers("DEFAULT:@SECLEVEL=0")
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return context(leaf, made)


def test_good_client_is_let_in(server: Sidecar, site: Site) -> None:
    log = server.watch()
    before = server.metric("sidecar_handshakes_total", result="ok")
    with Http(secure(server.port("web"), weak(site.leaf("frontend")))) as http:
        assert http.get("/").status == 200
    log.line(kind="http", peer=spiffe("frontend"), status=200)
    assert server.metric("sidecar_handshakes_total", result="ok") == before + 1


@pytest.mark.parametrize("name", FLAWS)
def test_flawed_client_is_refused(
    server: Sidecar, site: Site, web: WebApplication, name: str
) -> None:
    code, make = FLAWS[name]
    reached = len(web.reached)
    with refused(server, code):
        client = secure(server.port("web"), weak(make(site.ca)))
        with contextlib.suppress(OSError):  # whoever sends at once must get no further
            client.sendall(request("GET", "/secret"))
        assert fate(client) != "closed"
    assert len(web.reached) == reached


def test_no_certificate(server: Sidecar) -> None:
    with refused(server, "MTLS-E101"):
        assert "certificate required" in refusal(server.port("web"), context()).lower()


def test_alert_says_expired(server: Sidecar, site: Site) -> None:
    """The client's own error names the cause (threats 2.3)."""
    leaf = FLAWS["expired"][1](site.ca)
    with refused(server, "MTLS-E103"):
        assert "certificate expired" in refusal(server.port("web"), context(leaf)).lower()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", "MTLS-E120"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "MTLS-E120"),
        (b"\x00" * 64, "MTLS-E120"),
        (b"", "MTLS-E123"),
    ],
    ids=["http", "ssh", "zeros", "nothing"],
)
def test_plain_text(server: Sidecar, data: bytes, code: str) -> None:
    with refused(server, code), plain(server.port("web")) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            assert b"HTTP/" not in client.recv(1000)


def test_old_tls(server: Sidecar, site: Site) -> None:
    old = context(site.leaf("frontend"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with refused(server, "MTLS-E121"):
        assert "protocol version" in refusal(server.port("web"), old).lower()


# --- the other direction: a server that is not who it should be ----------------------------------


class Impostor:
    """A TLS server with any certificate; `heard` is what it got to read after the handshake."""

    def __init__(self) -> None:
        self.leaf: Leaf | None = None
        self.heard = b""
        self.lock = threading.Lock()

    def __call__(self, connection: socket.socket) -> None:
        assert self.leaf is not None
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.set_ciphers("DEFAULT:@SECLEVEL=0")
        context(self.leaf, server)
        with self.lock, server.wrap_socket(connection, server_side=True) as secured:
            self.heard += apps.read_head(secured)
            secured.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")


@pytest.fixture(scope="module")
def impostor() -> Impostor:
    return Impostor()


@pytest.fixture(scope="module")
def caller(site: Site, impostor: Impostor) -> Iterator[Sidecar]:
    with tcp(impostor) as listening:
        port = int(str(listening).rpartition(":")[2])
        routes: list[dict[str, Any]] = [
            outbound("http", port, expect=[spiffe("frontend")], limits={"idle_upstreams": 0}),
            outbound("tcp", port, "tcp", expect=[spiffe("frontend")]),
        ]
        yield site.sidecar("caller", {"outbound": routes})


def test_good_server_is_called(caller: Sidecar, site: Site, impostor: Impostor) -> None:
    impostor.leaf = site.leaf("frontend")
    log = caller.watch()
    with Http(plain(caller.port("http"))) as http:
        assert http.get("/").body == b"fine"
    line = log.line(listener="http")
    assert (line["status"], line["peer"], line["code"]) == (200, spiffe("frontend"), "-")


@pytest.mark.parametrize("name", FLAWS)
def test_flawed_server_gets_no_byte(
    caller: Sidecar, site: Site, impostor: Impostor, name: str
) -> None:
    code, make = FLAWS[name]
    impostor.leaf = make(site.ca)
    impostor.heard = b""
    log = caller.watch()
    with Http(plain(caller.port("http"))) as http:
        answer = http.get("/secret")
    assert (answer.status, answer.code) == (502, code)
    line = log.line(listener="http")
    assert (line["status"], line["flags"], line["code"]) == (502, "TLS", code)
    assert fate(plain(caller.port("tcp"))) != "closed"
    log.line(listener="tcp", code=code)
    with impostor.lock:
        assert impostor.heard == b""


def test_unexpected_server_gets_no_byte(site: Site) -> None:
    """In order in every way, but not the one that this route expects; the log says who it is."""
    impostor = Impostor()
    impostor.leaf = site.leaf("frontend")
    with tcp(impostor) as listening:
        port = int(str(listening).rpartition(":")[2])
        caller = site.sidecar(
            "caller", {"outbound": [outbound("orders", port, expect=[spiffe("orders")])]}
        )
        with Http(plain(caller.port("orders"))) as http:
            answer = http.get("/secret")
    assert (answer.status, answer.code) == (502, "MTLS-E118")
    with impostor.lock:
        assert impostor.heard == b""
    assert f'"{spiffe("frontend")}"' in caller.last_words()


@pytest.mark.parametrize(
    ("serve", "status", "code"),
    [
        (lambda connection: connection.sendall(b"220 mail.test ready\r\n"), 502, "MTLS-E120"),
        (lambda connection: None, 502, "MTLS-E123"),
        (apps.silence, 504, "MTLS-E122"),
    ],
    ids=["speaks", "closes", "is silent"],
)
def test_server_without_tls(site: Site, serve: apps.Serve, status: int, code: str) -> None:
    with tcp(serve) as bare:
        port = int(str(bare).rpartition(":")[2])
        route = outbound("http", port, timeouts={"handshake": 0.3})
        caller = site.sidecar("caller", {"outbound": [route]})
        with Http(plain(caller.port("http"))) as http:
            answer = http.get("/")
        assert (answer.status, answer.code) == (status, code)
        caller.stop()


def test_tcp_is_judged_before_the_application_is_dialled(site: Site) -> None:
    """A refused peer causes no connection to the application (threat 16)."""
    with tcp(apps.echo) as echo:
        server = site.sidecar("web", {"inbound": [inbound("web", echo, "tcp")]})
        with secure(server.port("web"), context(site.leaf("frontend"))) as good:
            good.sendall(b"x")
            assert good.recv(1) == b"x"
        for name in ("two URIs", "foreign CA", "expired"):
            code, make = FLAWS[name]
            with refused(server, code):
                assert refusal(server.port("web"), weak(make(site.ca))) != "closed"
        assert isinstance(echo, TcpApplication)
        assert echo.accepted == 1
