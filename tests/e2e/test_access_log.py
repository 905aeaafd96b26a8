"""The access log of real traffic: the contract's keys, one line each, and none that is forged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.e2e import apps
from tests.e2e.apps import tcp, website
from tests.e2e.clients import Http, context, half_close, plain, read_all, request, secure
from tests.e2e.harness import Line, Sidecar, Site, inbound, outbound, spiffe

KEYS = [
    "ts", "kind", "direction", "listener", "peer", "local", "method", "path", "protocol", "status",
    "flags", "rule", "bytes_in", "bytes_out", "duration_ms", "upstream_ms", "upstream",
    "request_id", "trace_id", "code",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Sidecar]:
    with website() as web, tcp(apps.echo) as echo:
        ports = [inbound("web", web), inbound("forge", web), inbound("echo", echo, "tcp")]
        yield site.sidecar("web", {"inbound": ports})


@pytest.fixture(scope="module")
def caller(site: Site, server: Sidecar) -> Sidecar:
    routes = [
        outbound("web", server.port("web")),
        outbound("echo", server.port("echo"), "tcp"),
    ]
    return site.sidecar("frontend", {"outbound": routes})


def keys_of(sidecar: Sidecar, line: Line) -> list[str]:
    """The keys of a line in the order in which they stand in the file."""
    for raw in sidecar.out.read_bytes().splitlines():
        if json.loads(raw) == line:
            return list(json.loads(raw))
    raise AssertionError("no such line")


def test_line_of_an_exchange(caller: Sidecar, server: Sidecar) -> None:
    logs = {"outbound": (caller, caller.watch()), "inbound": (server, server.watch())}
    with Http(plain(caller.port("web"))) as http:
        body = http.ask(request("POST", "/x?y", "x-request-id: id-1\r\n", b"12345")).body
    for direction, (sidecar, log) in logs.items():
        line = log.line(request_id="id-1")
        assert keys_of(sidecar, line) == KEYS
        assert datetime.fromisoformat(line["ts"]).utcoffset() is not None
        assert (line["kind"], line["direction"], line["listener"]) == ("http", direction, "web")
        peers = [spiffe("frontend"), spiffe("web")]
        assert [line["peer"], line["local"]] == peers if direction == "inbound" else peers[::-1]
        assert (line["method"], line["path"], line["protocol"]) == ("POST", "/x?y", "HTTP/1.1")
        assert (line["status"], line["flags"], line["code"]) == (200, "-", "-")
        assert line["rule"] == ("allow[0]" if direction == "inbound" else "egress:web")
        assert (line["bytes_in"], line["bytes_out"]) == (5, len(body))
        assert line["duration_ms"] >= line["upstream_ms"] > 0


def test_line_of_a_tunnel(caller: Sidecar, server: Sidecar) -> None:
    logs = [(caller, caller.watch()), (server, server.watch())]
    with plain(caller.port("echo")) as client:
        client.sendall(b"hello")
        half_close(client)
        assert read_all(client) == b"hello"
    for sidecar, log in logs:
        line = log.line(listener="echo", bytes_in=5)
        assert keys_of(sidecar, line) == KEYS
        assert (line["kind"], line["bytes_out"], line["status"]) == ("tcp", 5, None)
        assert (line["method"], line["path"], line["request_id"]) == ("-", "-", "-")


HOSTILE = [
    'GET /x","status":200,"peer":"spiffe://demo.local/admin HTTP/1.1\r\nhost: a\r\n\r\n',
    'GET / HTTP/1.1\r\nhost: a\r\nx-request-id: ","code":"forged\r\n\r\n',
    "GET / HTTP/1.1\r\nhost: a\r\nx-request-id: a\u2028b\r\n\r\n",
    'GET / HTTP/1.1\r\nhost: a\r\ntraceparent: 00-"-"-01\r\n\r\n',
    "GET /\u001b[2J HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET /\u00e9\u0085\u2028 HTTP/1.1\r\nhost: a\r\n\r\n",
    'GET /%0a{"ts":"forged"} HTTP/1.1\r\nhost: a\r\n\r\n',
    "GET /" + "a" * 30_000 + " HTTP/1.1\r\nhost: a\r\n\r\n",
    'FORGED","x":" / HTTP/1.1\r\nhost: a\r\n\r\n',
    '\n{"ts":"2020-01-01T00:00:00Z","kind":"http","forged":true}\n\r\n\r\n',
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_request_forges_no_line(server: Sidecar, site: Site, text: str) -> None:
    """Whatever stands in a request: one line of JSON with the contract's keys, printable ASCII.

    (threat 29)
    """
    start = server.out.stat().st_size
    log = server.watch()
    with Http(secure(server.port("forge"), context(site.leaf("frontend")))) as http:
        http.ask(text.encode("utf-8"))
    log.line(listener="forge")
    raw = server.out.read_bytes()[start:]
    (line,) = [each for each in raw.splitlines() if b'"listener":"forge"' in each]
    assert all(json.loads(each) for each in raw.splitlines())
    assert line.isascii()
    assert line.decode().isprintable()
    assert len(line) < 16_384
    record = json.loads(line)
    assert list(record) == KEYS
    assert "forged" not in record
    assert record["peer"] == spiffe("frontend")


def test_hostile_bytes_on_a_tls_port_forge_no_line(server: Sidecar) -> None:
    log = server.watch()
    with plain(server.port("echo")) as client:
        client.sendall(b'\n{"ts":"forged"}\n' * 10)
        client.recv(1000)
    assert "forged" not in str(log.line(code="MTLS-E120", listener="echo"))
    assert not log.lines(ts="forged")
    assert '"ts":"forged"' not in server.last_words()


def test_log_switched_off(site: Site) -> None:
    """`access_log: false` writes nothing, and counts all the same."""
    with website() as web:
        quiet = site.sidecar("web", {"inbound": [inbound("web", web)], "access_log": False})
        with Http(secure(quiet.port("web"), context(site.leaf("frontend")))) as http:
            assert http.get("/").status == 200
        assert quiet.metric("sidecar_requests_total", status="200") == 1
        quiet.stop()
        assert quiet.out.read_bytes() == b""
