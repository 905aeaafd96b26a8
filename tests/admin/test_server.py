"""The admin port over real sockets, on either loop."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sidecar.admin.pages import Scope
from sidecar.admin.server import REQUEST_BYTES, AdminServer
from tests.admin.client import GET, Client
from tests.fakes import FakeSubject

Serve = Callable[..., Awaitable[int]]

CLOSING = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def subject() -> FakeSubject:
    return FakeSubject()


@pytest.fixture
async def serve(subject: FakeSubject) -> AsyncIterator[Serve]:
    """Start servers about `subject`; the answer is the port."""
    servers: list[AdminServer] = []

    async def start(scope: Scope = "all", deadline_s: float = 10.0, connections: int = 64) -> int:
        sock = socket.create_server(("127.0.0.1", 0))
        server = AdminServer(subject, scope, deadline_s=deadline_s, connections=connections)
        servers.append(await server.listen(sock))
        port: int = sock.getsockname()[1]
        return port

    yield start
    for server in servers:
        server.close()


async def test_a_page_is_a_well_formed_answer(serve: Serve) -> None:
    async with Client(await serve()) as client:
        response = await client.ask(GET % b"/metrics")
    assert response.status == 200
    assert response.body == FakeSubject().page
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    date = response.headers["date"]
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)


async def test_one_connection_serves_many_requests(serve: Serve) -> None:
    async with Client(await serve()) as client:
        for path, status in ((b"/livez", 200), (b"/nothing", 404), (b"/drain", 405), (b"/", 404)):
            assert (await client.ask(GET % path)).status == status
        head = await client.ask(b"HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "3")
        assert (await client.ask(GET % b"/livez")).body == b"ok\n"


async def test_a_wrong_method_is_told_the_right_one(serve: Serve, subject: FakeSubject) -> None:
    async with Client(await serve()) as client:
        response = await client.ask(GET % b"/quitquitquit")
        assert (response.status, response.headers["allow"]) == (405, "POST")
        assert subject.acts == []
        request = b"POST /quitquitquit HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 2\r\n\r\nhi"
        assert (await client.ask(request)).status == 200
    assert subject.acts == ["quit"]


@pytest.mark.parametrize(
    "request_line",
    [b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close", b"GET /livez HTTP/1.0\r\nHost: a"],
)
async def test_the_connection_ends_when_the_client_wants_it(
    serve: Serve, request_line: bytes
) -> None:
    async with Client(await serve("health")) as client:
        response = await client.ask(request_line + b"\r\n\r\n" + GET % b"/metrics")
        assert (response.status, response.headers["connection"]) == (200, "close")
        assert await client.ended() == b""


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 50, 1000])
async def test_any_chunking_gives_the_same_answers_in_order(serve: Serve, chunk: int) -> None:
    async with Client(await serve()) as client:
        await client.send((GET % b"/livez") + (GET % b"/nothing") + (GET % b"/config"), chunk)
        assert [(await client.answer()).status for _ in range(3)] == [200, 404, 200]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET /livez HTTP/1.1\nHost: localhost\n\n",
        b"GET /livez HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: local\x00host\r\n\r\n",
        b"POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: +0\r\n\r\n",
        b"POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"\r\n\r\nnonsense\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused(
    serve: Serve, subject: FakeSubject, garbage: bytes
) -> None:
    async with Client(await serve()) as client:
        response = await client.ask(garbage)
        assert (response.status, response.headers["connection"]) == (400, "close")
        assert await client.ended() == b""
    assert subject.acts == []


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: localhost\r\n"])
async def test_threat_32_the_admin_port_wants_exactly_one_host(serve: Serve, hosts: bytes) -> None:
    async with Client(await serve()) as client:
        response = await client.ask(b"GET /config HTTP/1.1\r\n" + hosts + b"\r\n")
        assert response.status == 403


async def test_threat_32_a_web_page_drains_nothing(serve: Serve, subject: FakeSubject) -> None:
    async with Client(await serve()) as client:
        form = b"POST /drain HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\n\r\n"
        assert (await client.ask(form)).status == 403
        assert subject.acts == []
        own = b"POST /drain HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        assert (await client.ask(own)).status == 200
    assert subject.acts == ["drain"]


@pytest.mark.parametrize(("size", "status"), [(REQUEST_BYTES, 200), (REQUEST_BYTES + 1, 431)])
@pytest.mark.parametrize("chunk", [1000, 1 << 20])
async def test_a_request_has_a_largest_size(
    serve: Serve, size: int, status: int, chunk: int
) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: %b\r\n\r\n"
    async with Client(await serve()) as client:
        request = head % (b"x" * (size - len(head) + 2))
        assert len(request) == size
        assert (await client.ask(request, chunk)).status == status


async def test_a_body_has_a_largest_size(serve: Serve, subject: FakeSubject) -> None:
    request = b"POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    async with Client(await serve()) as client:
        assert (await client.ask(request + b"x" * 100_000)).status == 431
    assert subject.acts == []


async def test_the_size_is_that_of_one_request(serve: Serve) -> None:
    async with Client(await serve()) as client:
        for _ in range(2 * REQUEST_BYTES // len(GET % b"/livez")):
            assert (await client.ask(GET % b"/livez")).status == 200


async def test_an_endless_head_is_taken_and_answered_and_not_reset(serve: Serve) -> None:
    async with Client(await serve()) as client:
        await client.send(b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 1_000_000)
        await client.flush()
        assert (await client.answer()).status == 431


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c", 200),
        (b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost", 404),
    ],
)
async def test_no_other_protocol_is_spoken(serve: Serve, request_head: bytes, status: int) -> None:
    async with Client(await serve()) as client:
        response = await client.ask(request_head + b"\r\n\r\nPRI * HTTP/2.0\r\n\r\n")
        assert response.status == status
        assert await client.ended() == b""


async def test_a_page_that_fails_is_an_error_and_no_end(
    serve: Serve, subject: FakeSubject, caplog: pytest.LogCaptureFixture
) -> None:
    subject.shown = {"key": "-----BEGIN PRIVATE KEY-----"}
    async with Client(await serve()) as client:
        with caplog.at_level(logging.ERROR, "sidecar"):
            response = await client.ask(GET % b"/config")
        assert response.status == 500
        assert b"PRIVATE" not in response.body
        assert [record.message for record in caplog.records] == ["admin page failed"]
        assert (await client.ask(GET % b"/livez")).status == 200


@pytest.mark.parametrize(
    "sent", [b"", b"G", b"GET /livez HTTP/1.1\r\nHost: local", GET % b"/livez"]
)
async def test_threat_27_slow_loris(serve: Serve, sent: bytes) -> None:
    """Whoever sends nothing, too little, or nothing more, is cut."""
    async with Client(await serve(deadline_s=0.05)) as client:
        await client.send(sent)
        await client.ended()


async def test_threat_27_bytes_do_not_buy_time(serve: Serve) -> None:
    """A header line now and then does not move the deadline."""
    async with Client(await serve(deadline_s=0.2)) as client:
        await client.send(b"GET /livez HTTP/1.1\r\n")
        ended = asyncio.create_task(client.ended())
        while not ended.done():
            await client.send(b"X: y\r\n")
            await asyncio.sleep(0.02)
        assert await ended == b""


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_threat_27_a_probe_gets_through_a_crowd(serve: Serve, limit: int) -> None:
    """With every place taken, the oldest connection goes and the newest is served."""
    port = await serve(connections=limit)
    crowd = [Client(port) for _ in range(limit)]
    for client in crowd:
        await client.__aenter__()
        assert (await client.ask(GET % b"/livez")).status == 200
    async with Client(port) as probe:
        assert (await probe.ask(GET % b"/livez")).status == 200
        assert await crowd[0].ended() == b""
        for client in crowd[1:]:
            assert (await client.ask(GET % b"/livez")).status == 200
    for client in crowd:
        await client.__aexit__()


async def test_a_place_is_free_again_when_a_client_has_gone(subject: FakeSubject) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    server = await AdminServer(subject, "all", connections=2).listen(sock)
    async with Client(sock.getsockname()[1]) as first:
        assert (await first.ask(GET % b"/livez")).status == 200
        for _ in range(5):
            async with Client(sock.getsockname()[1]) as other:
                assert (await other.ask(CLOSING)).status == 200
            while len(server._open) > 1:  # noqa: ASYNC110  # the server has no event for this
                await asyncio.sleep(0.001)
        assert (await first.ask(GET % b"/livez")).status == 200
    server.close()


async def test_threat_17_a_client_that_never_reads_is_cut(
    serve: Serve, subject: FakeSubject
) -> None:
    """Answers that nobody takes do not pile up."""
    rendered = 0

    def metrics() -> bytes:
        nonlocal rendered
        rendered += 1
        return b"x" * (1 << 20)

    subject.metrics = metrics  # type: ignore[method-assign]  # the fake of a fake
    async with Client(await serve()) as client:
        await client.send((GET % b"/metrics") * 150)
        await client.ended()
    assert 1 <= rendered < 50


async def test_the_health_port_over_a_socket(serve: Serve) -> None:
    async with Client(await serve("health")) as client:
        request = b"GET %b HTTP/1.1\r\nHost: pod.example:9446\r\n\r\n"
        statuses = {
            path: (await client.ask(request % path)).status for path in (b"/readyz", b"/config")
        }
    assert statuses == {b"/readyz": 200, b"/config": 404}


async def test_a_unix_socket_counts_as_loopback(subject: FakeSubject, tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "admin"))
    server = await AdminServer.start(sock, subject, "all")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "admin")
    writer.write(b"POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
    assert subject.acts == ["quit"]
    writer.close()
    server.close()


async def test_close_ends_the_port_and_its_connections(subject: FakeSubject) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    server = await AdminServer.start(sock, subject, "all")
    async with Client(port) as client:
        assert (await client.ask(GET % b"/livez")).status == 200
        server.close()
        assert await client.ended() == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_connections_page_over_a_socket(serve: Serve, subject: FakeSubject) -> None:
    subject.open = 5000
    async with Client(await serve()) as client:
        shown = json.loads((await client.ask(GET % b"/connections")).body)
    assert (shown["total"], len(shown["connections"])) == (5000, 1000)
