"""Who was let in once: resumed sessions, and connections that are open when trust changes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.certs import Leaf, TestCA
from tests.e2e import apps
from tests.e2e.apps import WebApplication, tcp
from tests.e2e.clients import Http, plain, secure
from tests.e2e.harness import Sidecar, Site, inbound, spiffe
from tests.threats.kit import is_ended, weak

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
ID = spiffe("frontend")


@pytest.fixture(scope="module")
def two_ports(site: Site, web: WebApplication) -> Sidecar:
    ports = [inbound("a", web), inbound("b", web)]
    return site.sidecar("web", {"inbound": ports, "tls": {"min_version": "1.2"}})


@contextmanager
def resuming(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> Iterator[tuple[Http, ssl.SSLSocket]]:
    """A TLS connection that offers a session, if there is one to offer."""
    with context.wrap_socket(plain(port), session=session) as secured, Http(secured) as http:
        yield http, secured


def one_session(port: int, context: ssl.SSLContext) -> ssl.SSLSession | None:
    with resuming(port, context, None) as (http, secured):
        assert http.get("/").status == 200
        return secured.session


@pytest.mark.parametrize("version", VERSIONS)
def test_threat_01_a_session_is_worth_nothing_at_another_port(
    two_ports: Sidecar, site: Site, version: ssl.TLSVersion
) -> None:
    """CVE-2025-23419, CVE-2025-23048: there, a session of one virtual host opened another."""
    context = weak(site.leaf("frontend"))
    context.maximum_version = version
    session = one_session(two_ports.port("a"), context)
    assert session is None or not session.has_ticket
    with resuming(two_ports.port("b"), context, session) as (http, secured):
        assert not secured.session_reused
        assert http.get("/").status == 200  # by a whole handshake of its own


@pytest.mark.parametrize("version", VERSIONS)
def test_threat_02_a_session_does_not_outlive_a_change_of_trust(
    site: Site, web: WebApplication, version: ssl.TLSVersion
) -> None:
    """CVE-2022-21654, CVE-2025-68121: there, a resumed peer was not looked at again."""
    server = site.sidecar("web", {"inbound": [inbound("a", web)], "tls": {"min_version": "1.2"}})
    leaf = site.leaf("frontend")
    context = weak(leaf)
    context.maximum_version = version
    session = one_session(server.port("a"), context)
    site.leaf("web").write_folder(server.folder / "certs", crl=site.ca.crls([leaf]))
    server.reload()
    log = server.watch()
    with pytest.raises(ssl.SSLError), resuming(server.port("a"), context, session) as (http, _):
        http.get("/")
    log.line(listener="a", code="MTLS-E105")


# --- 3: connections that are open ---


def revoked(site: Site, server: Sidecar, leaf: Leaf) -> None:
    site.leaf("web").write_folder(server.folder / "certs", crl=site.ca.crls([leaf]))


def other_root(site: Site, server: Sidecar, leaf: Leaf) -> None:
    """A new CA everywhere; the client's certificate is of the old one."""
    del site, leaf
    TestCA("demo.local").leaf(spiffe("web")).write_folder(server.folder / "certs")


def no_rule(site: Site, server: Sidecar, leaf: Leaf) -> None:
    del site, leaf
    ports = [port | {"allow": [{"from": [spiffe("other")]}]} for port in server.config["inbound"]]
    server.configure(inbound=ports)


Change = Callable[[Site, Sidecar, Leaf], None]


@pytest.fixture
def open_ports(site: Site, web: WebApplication) -> Iterator[Sidecar]:
    with tcp(apps.echo) as echo:
        ports = [inbound("http", web), inbound("tcp", echo, "tcp")]
        server = site.sidecar("web", {"inbound": ports})
        yield server
        server.stop()


def talk(connection: socket.socket) -> None:
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"


def test_a_reload_without_a_change_disturbs_nobody(open_ports: Sidecar, site: Site) -> None:
    context = weak(site.leaf("frontend"))
    with (
        Http(secure(open_ports.port("http"), context)) as http,
        secure(open_ports.port("tcp"), context) as tunnel,
    ):
        assert http.get("/").status == 200
        talk(tunnel)
        open_ports.reload()
        assert http.get("/").status == 200
        talk(tunnel)


@pytest.mark.parametrize("change", [revoked, no_rule, other_root])
def test_threat_03_open_connections_do_not_outlive_a_change_of_trust(
    open_ports: Sidecar, site: Site, change: Change
) -> None:
    """A tunnel ends; a kept HTTP connection ends, or its next request is refused."""
    leaf = site.leaf("frontend")
    context = weak(leaf)
    kept = Http(secure(open_ports.port("http"), context))
    tunnel = secure(open_ports.port("tcp"), context)
    with kept, tunnel:
        assert kept.get("/").status == 200
        talk(tunnel)
        change(site, open_ports, leaf)
        open_ports.reload()
        assert is_ended(tunnel)
        assert next_status(kept) in {0, 403}


UPGRADE = (
    b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


@pytest.mark.parametrize("change", [revoked, other_root])
def test_threat_03_a_websocket_ends_when_its_peer_is_trusted_no_more(
    open_ports: Sidecar, site: Site, change: Change
) -> None:
    leaf = site.leaf("frontend")
    with secure(open_ports.port("http"), weak(leaf)) as client:
        client.sendall(UPGRADE)
        assert client.recv(100).startswith(b"HTTP/1.1 101 ")
        change(site, open_ports, leaf)
        open_ports.reload()
        assert is_ended(client)


def next_status(http: Http) -> int:
    """The status of another request; 0 if the connection is gone."""
    try:
        return http.get("/").status
    except OSError:
        return 0
