"""HTTP that is not let through: by policy, by form, by size, by time. Each has its allowed twin.

All of it comes over mTLS straight to the inbound side, since that is where attackers stand. For
each: the answer's code, the line of the access log, the metric, and that nothing of it reached
the application.
"""

from __future__ import annotations

import contextlib
import select
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.apps import WebApplication, website
from tests.e2e.clients import Http, Response, context, fate, request, secure
from tests.e2e.harness import Sidecar, Site, inbound, spiffe

RULES: dict[str, Any] = {
    "allow": [
        {"from": [spiffe("frontend")], "methods": ["GET", "HEAD"], "paths": ["/api/**"]},
        {"from": [spiffe("frontend")], "methods": ["POST"], "paths": ["/api/orders"]},
        {"from": [spiffe("admin")], "name": "admins"},
    ],
    "deny": [{"from": [spiffe("*")], "paths": ["/api/internal/**"], "name": "internal"}],
}
SMALL = {"head_bytes": 1024, "fields": 8, "body_bytes": 10}
HASTY = {"head": 0.4, "idle": 0.4}


@pytest.fixture(scope="module")
def web() -> Iterator[WebApplication]:
    with website() as application:
        yield application


@pytest.fixture(scope="module")
def server(site: Site, web: WebApplication) -> Sidecar:
    ports = [
        inbound("web", web, **RULES),
        inbound("open", web),
        inbound("small", web, limits=SMALL),
        inbound("hasty", web, timeouts=HASTY),
    ]
    return site.sidecar("web", {"inbound": ports})


@pytest.fixture(scope="module")
def friends(site: Site) -> dict[str, ssl.SSLContext]:
    return {name: context(site.leaf(name)) for name in ("frontend", "admin", "stranger")}


class Door:
    """The server as one identity sees it; `refused` checks all that must show a refusal."""

    def __init__(self, server: Sidecar, web: WebApplication, identity: ssl.SSLContext) -> None:
        self.server = server
        self._web = web
        self._identity = identity

    def open(self, listener: str) -> Http:
        return Http(secure(self.server.port(listener), self._identity))

    def ask(self, data: bytes, listener: str = "web") -> Response:
        with self.open(listener) as http:
            return http.ask(data)

    @contextlib.contextmanager
    def refused(self, status: int, code: str, listener: str = "web") -> Iterator[Http]:
        log = self.server.watch()
        counted = self.server.metric("sidecar_requests_total", listener=listener, code=code)
        reached = len(self._web.reached)
        with self.open(listener) as http:
            yield http
        line = log.line(listener=listener, code=code)
        assert (line["kind"], line["status"]) == ("http", status)
        now = self.server.metric("sidecar_requests_total", listener=listener, code=code)
        assert now == counted + 1
        assert len(self._web.reached) == reached


@pytest.fixture
def door(server: Sidecar, web: WebApplication, friends: dict[str, ssl.SSLContext]) -> Door:
    return Door(server, web, friends["frontend"])


# --- policy ---


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api"), ("GET", "/api/x/y?q=../"), ("HEAD", "/api/x"), ("POST", "/api/orders")],
)
def test_allowed(door: Door, method: str, path: str) -> None:
    log = door.server.watch()
    assert door.ask(request(method, path)).status == 200
    line = log.line(path=path, method=method)
    assert line["rule"] == ("allow[1]" if method == "POST" else "allow[0]")
    assert line["peer"] == spiffe("frontend")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/", "MTLS-E202"),
        ("GET", "/apis", "MTLS-E202"),
        ("GET", "/API/x", "MTLS-E202"),
        ("POST", "/api/orders/1", "MTLS-E202"),
        ("DELETE", "/api/x", "MTLS-E202"),
        ("OPTIONS", "*", "MTLS-E202"),
        ("GET", "/api/internal", "MTLS-E203"),
        ("GET", "/api/internal/keys", "MTLS-E203"),
        ("GET", "/api/%69nternal/keys", "MTLS-E203"),
    ],
)
def test_denied(door: Door, method: str, path: str, code: str) -> None:
    with door.refused(403, code) as http:
        answer = http.ask(request(method, path))
        assert (answer.status, answer.code) == (403, code)
        assert http.get("/api/again").status == 200  # a denial is no reason to hang up
        door._web.reached.pop()


def test_denied_by_rule_is_counted_by_rule(door: Door) -> None:
    before = door.server.metric("sidecar_denials_total", rule="internal")
    log = door.server.watch()
    assert door.ask(request("GET", "/api/internal/x")).status == 403
    assert log.line(code="MTLS-E203")["rule"] == "internal"
    assert door.server.metric("sidecar_denials_total", rule="internal") == before + 1


def test_deny_wins_over_every_allow(
    server: Sidecar, web: WebApplication, friends: dict[str, ssl.SSLContext]
) -> None:
    admin = Door(server, web, friends["admin"])
    assert admin.ask(request("DELETE", "/anything")).status == 200
    with admin.refused(403, "MTLS-E203") as http:
        assert http.get("/api/internal/x").status == 403


def test_unknown_identity(
    server: Sidecar, web: WebApplication, friends: dict[str, ssl.SSLContext]
) -> None:
    stranger = Door(server, web, friends["stranger"])
    assert stranger.ask(request("GET", "/api/x"), "open").status == 200
    with stranger.refused(403, "MTLS-E201") as http:
        assert http.get("/api/x").code == "MTLS-E201"


@pytest.mark.parametrize(
    "path",
    [
        "/api/../admin", "/api/./x", "/api//x", "/api/x/..", "/api/%2e%2e/admin", "/api/..%2fadmin",
        "/api/%2E./admin", "/api/x;y", "/api/x%3by", "/api/x%00", "/api/x%0a", "/api/%zz",
        "/api/%", "/api/x%5c..", "/api/\\x", "/api/%c0%ae", "/api/%u002e", "//api/x", "/api/x#y",
    ],
)  # fmt: skip
def test_paths_that_two_servers_read_differently(door: Door, path: str) -> None:
    with door.refused(400, "MTLS-E305") as http:
        assert http.ask(request("GET", path)).status == 400


# --- form ---

HOST = b"GET /api/x HTTP/1.1\r\nhost: a\r\n"
POST = b"POST /api/orders HTTP/%b\r\nhost: a\r\ntransfer-encoding: chunked\r\n"
END = b"\r\n0\r\n\r\n"
MALFORMED = {
    "length and chunks": (POST % b"1.1" + b"content-length: 5\r\n" + END, 400),
    "two lengths": (HOST + b"content-length: 0\r\ncontent-length: 0\r\n\r\n", 400),
    "list of lengths": (HOST + b"content-length: 0, 0\r\n\r\n", 400),
    "signed length": (HOST + b"content-length: +0\r\n\r\n", 400),
    "length with underscore": (HOST + b"content-length: 1_0\r\n\r\n", 400),
    "unknown coding": (HOST + b"transfer-encoding: gzip\r\n\r\n", 400),
    "chunked twice": (HOST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "hidden coding": (HOST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "bare line feed": (b"GET /api/x HTTP/1.1\nhost: a\n\n", 400),
    "folded line": (HOST + b"x-a: b\r\n c\r\n\r\n", 400),
    "blank before colon": (HOST + b"x-a : b\r\n\r\n", 400),
    "blank before first field": (b"GET /api/x HTTP/1.1\r\n host: a\r\n\r\n", 400),
    "NUL in a value": (HOST + b"x-a: b\x00c\r\n\r\n", 400),
    "no host": (b"GET /api/x HTTP/1.1\r\n\r\n", 400),
    "two hosts": (HOST + b"host: b\r\n\r\n", 400),
    "user in host": (b"GET /api/x HTTP/1.1\r\nhost: a@b\r\n\r\n", 400),
    "coding in HTTP/1.0": (POST % b"1.0" + END, 400),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", 501),
    "version 2.0": (b"GET /api/x HTTP/2.0\r\nhost: a\r\n\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "expects more": (HOST + b"expect: 200-maybe\r\n\r\n", 417),
    "method in lower case": (b"get /api/x HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "garbage": (b"\x80\x81\x82\x83 what is this\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(door: Door, name: str) -> None:
    """What could be read in two ways is answered once, and the connection is over."""
    data, status = MALFORMED[name]
    log = door.server.watch()
    reached = len(door._web.reached)
    with door.open("web") as http:
        answer = http.ask(data)
        assert (answer.status, answer.fields["connection"]) == (status, "close")
        assert http.is_closed()
    line = log.line(code=answer.code)
    assert (line["status"], line["flags"]) == (status, "BAD")
    assert len(door._web.reached) == reached


@pytest.mark.parametrize(
    "chunk",
    [b"zz\r\n", b"-1\r\n", b"+3\r\nabc", b"0x3\r\nabc", b"3;a=\nabc", b"3\nabc", b"1 1\r\n"],
)
def test_malformed_chunk(door: Door, chunk: bytes) -> None:
    with door.open("web") as http:
        http.send(request("POST", "/api/orders", "transfer-encoding: chunked\r\n") + chunk)
        assert http.answer("POST").status == 400
        assert http.is_closed()


def test_smuggled_request_is_not_answered(door: Door) -> None:
    """The second half of an ambiguous message is no request."""
    with door.open("web") as http:
        http.send(MALFORMED["length and chunks"][0] + request("GET", "/api/smuggled"))
        assert http.answer("POST").status == 400
        assert http.is_closed()
    assert "/api/smuggled" not in door._web.reached


# --- size ---


def test_head_at_its_limit(door: Door) -> None:
    assert door.ask(request("GET", "/", f"x-a: {'a' * 800}\r\n"), "small").status == 200
    with door.refused(431, "MTLS-E303", "small") as http:
        assert http.get("/", f"x-a: {'a' * 1100}\r\n").status == 431


def test_fields_at_their_limit(door: Door) -> None:
    seven = "".join(f"x-{number}: a\r\n" for number in range(7))  # and Host
    assert door.ask(request("GET", "/", seven), "small").status == 200
    with door.refused(431, "MTLS-E303", "small") as http:
        assert http.get("/", seven + "x-one-more: a\r\n").status == 431


def test_body_at_its_limit(door: Door) -> None:
    assert door.ask(request("POST", "/", "", b"1234567890"), "small").status == 200
    with door.refused(413, "MTLS-E304", "small") as http:
        assert http.ask(request("POST", "/", "", b"12345678901")).status == 413


def test_body_in_chunks_at_its_limit(door: Door) -> None:
    head = request("POST", "/", "transfer-encoding: chunked\r\n")
    assert door.ask(head + b"a\r\n1234567890\r\n0\r\n\r\n", "small").status == 200
    with door.refused(413, "MTLS-E304", "small") as http:
        assert http.ask(head + b"a\r\n1234567890\r\n1\r\n1\r\n").status == 413


# --- time ---


def test_slow_loris(door: Door) -> None:
    """A head that comes drop by drop is answered with 408 when its time is over."""
    with door.refused(408, "MTLS-E308", "hasty") as http:
        drops = iter(request("GET", "/", f"x-a: {'a' * 10_000}\r\n"))
        while not select.select([http.connection], [], [], 0.05)[0]:
            http.send(bytes([next(drops)]))
        assert http.answer().status == 408
    assert door.ask(request("GET", "/"), "hasty").status == 200


def test_slow_body(door: Door) -> None:
    """A body that stops coming is answered with 408; the application sees its request cut off."""
    log = door.server.watch()
    with door.open("hasty") as http:
        http.send(request("POST", "/", "content-length: 10\r\n") + b"12345")
        assert http.answer("POST").status == 408
    line = log.line(listener="hasty", code="MTLS-E310")
    assert (line["flags"], line["bytes_in"]) == ("TO", 5)


def test_idle_client_is_closed_in_order(door: Door) -> None:
    with door.open("hasty") as http:
        assert http.get("/").status == 200
        assert http.is_closed()


def test_connection_ends_with_the_certificate(door: Door, site: Site) -> None:
    """A kept-alive connection does not outlive the certificate that opened it (threat 3)."""
    short = context(site.ca.leaf(spiffe("frontend"), not_after=time.time() + 2))
    with Http(secure(door.server.port("open"), short)) as http:
        assert http.get("/").status == 200
        assert fate(http.connection)
