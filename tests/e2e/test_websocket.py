"""WebSocket through the sidecars, with the `websockets` library as a browser-like client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.e2e.apps import WebApplication, website
from tests.e2e.clients import Http, context, secure
from tests.e2e.harness import Site, spiffe, until
from tests.e2e.pairs import Pair, start_pair

UPGRADE = (
    "connection: upgrade\r\nupgrade: {}\r\nsec-websocket-version: 13\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture(scope="module")
def web() -> Iterator[WebApplication]:
    with website() as application:
        yield application


@pytest.fixture(scope="module")
def pair(site: Site, loop: str, web: WebApplication) -> Pair:
    made = start_pair(site, "http", {"web": web}, loop=loop)
    made.add("strict", "http", web, allow=[{"from": [spiffe("*")], "paths": ["/allowed"]}])
    return made


def dial(pair: Pair, name: str = "web", query: str = "") -> ClientConnection:
    """A WebSocket through both sidecars."""
    return connect(f"ws://web.test/socket{query}", sock=pair.connect(name))


def test_messages(pair: Pair) -> None:
    """Text, binary and large messages come back; both logs say 101 and count the bytes."""
    logs = pair.watches()
    with dial(pair, query="?messages") as socket:
        for message in ("text", "", b"\x00\xff", os.urandom(900_000)):
            socket.send(message)
            assert socket.recv() == message
    for log in logs:
        line = log.line(path="/socket?messages", status=101)
        assert (line["kind"], line["flags"], line["method"]) == ("http", "-", "GET")
        assert line["bytes_in"] > 900_000
        assert line["bytes_out"] > 900_000


def test_ping_and_close(pair: Pair) -> None:
    """The closing handshake of WebSocket ends the tunnel in order."""
    log = pair.there.watch()
    with dial(pair, query="?close") as socket:
        assert socket.ping().wait(10)
        socket.close(4000, "enough")
        assert socket.close_code == 1000  # the application's; 1006 would be an end without one
    assert log.line(path="/socket?close", status=101)["code"] == "-"


def test_many_at_once(pair: Pair) -> None:
    def talk(number: int) -> list[str | bytes]:
        with dial(pair) as socket:
            said = []
            for turn in range(10):
                socket.send(f"{number}:{turn}")
                said.append(socket.recv())
            return said

    with ThreadPoolExecutor(10) as threads:
        said = list(threads.map(talk, range(30)))
    assert said == [[f"{number}:{turn}" for turn in range(10)] for number in range(30)]
    for each in (pair.here, pair.there):
        until(lambda sidecar=each: sidecar.admin("/connections")[1].count(b"tunnel") == 0)  # type: ignore[misc]


def test_straight_to_the_inbound_side(pair: Pair, site: Site) -> None:
    """`wss` with a client certificate, as a browser would."""
    port = pair.there.port("web")
    uri = f"wss://127.0.0.1:{port}/socket"
    with connect(uri, ssl=context(site.leaf("frontend"))) as socket:
        socket.send("hello")
        assert socket.recv() == "hello"


def test_denied(pair: Pair, web: WebApplication) -> None:
    """The twin: a path that policy does not allow is not upgraded and not passed on."""
    reached = len(web.reached)
    log = pair.there.watch()
    with pytest.raises(InvalidStatus) as refusal:
        dial(pair, "strict")
    assert refusal.value.response.status_code == 403
    assert log.line(listener="strict", code="MTLS-E202")["status"] == 403
    assert len(web.reached) == reached


def test_other_upgrades_are_ignored(pair: Pair, site: Site) -> None:
    """h2c and the like: the request is served as if it had asked for nothing (threat 21)."""
    with Http(secure(pair.there.port("web"), context(site.leaf("frontend")))) as http:
        for protocol in ("h2c", "TLS/1.0", "websocket, h2c"):
            answer = http.get("/plain", UPGRADE.format(protocol) + "http2-settings: AAMAAABk\r\n")
            assert answer.status == 200
            assert b'"upgrade"' not in answer.body
            assert b"http2-settings" not in answer.body


def test_upgrade_that_the_application_declines(pair: Pair) -> None:
    """Without a 101 there is no tunnel, and the connection goes on with HTTP."""
    with pair.http("web") as http:
        assert http.get("/status/426", UPGRADE.format("websocket")).status == 426
        assert http.get("/after").status == 200


def test_bytes_sent_ahead_are_not_lost(pair: Pair) -> None:
    """A frame in the same write as the request reaches the application after the upgrade."""
    masked_hi = bytes([0x81, 0x82, 1, 2, 3, 4, ord("h") ^ 1, ord("i") ^ 2])
    head = f"GET /socket HTTP/1.1\r\nhost: a\r\n{UPGRADE.format('websocket')}\r\n".encode()
    with pair.connect("web") as connection:
        connection.sendall(head + masked_hi)
        data = b""
        while not data.endswith(b"\x81\x02hi"):
            piece = connection.recv(1000)
            assert piece, data
            data += piece
    assert data.startswith(b"HTTP/1.1 101 ")
