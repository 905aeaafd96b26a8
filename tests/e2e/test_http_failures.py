"""Applications that fail in every way: the client gets the right status, never a hang.

The client talks to the inbound side directly; what an outbound side makes of the same failures is
looked at where a pair is needed.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import h11
import pytest

from tests.e2e import apps
from tests.e2e.apps import Script, tcp
from tests.e2e.clients import Http, context, read_all, request, secure
from tests.e2e.harness import Sidecar, Site, inbound, outbound
from tests.e2e.pairs import Pair

HASTY = {"response": 0.4, "idle": 0.6, "connect": 0.3}
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine"


@pytest.fixture(scope="module")
def friend(site: Site) -> ssl.SSLContext:
    return context(site.leaf("frontend"))


Serve = Callable[..., contextlib.AbstractContextManager[Http]]


@pytest.fixture(scope="module")
def server(site: Site) -> Sidecar:
    """One that waits for the listener `app` of each test."""
    return site.sidecar("web", {"inbound": [inbound("nobody", "127.0.0.1:9")]})


@pytest.fixture
def serve(server: Sidecar, friend: ssl.SSLContext) -> Serve:
    """Put an application behind the listener `app` and connect to that."""

    @contextlib.contextmanager
    def serve(application: object, **more: Any) -> Iterator[Http]:
        port = inbound("app", application, **{"timeouts": HASTY, **more})
        server.configure(inbound=[server.config["inbound"][0], port])
        server.reload()
        with Http(secure(server.port("app"), friend)) as http:
            yield http

    return serve


def failing(
    serve: Serve, server: Sidecar, application: apps.Serve, expected: tuple[int, str, str]
) -> None:
    """A GET to the application is answered with this status, flag and code."""
    status, flags, code = expected
    log = server.watch()
    with tcp(application) as app, serve(app) as http:
        answer = http.get("/")
        assert (answer.status, answer.code) == (status, code)
        assert code in answer.body.decode()
    line = log.line(listener="app", code=code, upstream=str(app))
    assert (line["status"], line["flags"]) == (status, flags)
    assert server.metric("sidecar_requests_total", listener="app", code=code) >= 1


def _close(connection: socket.socket) -> None:
    apps.read_head(connection)


def _reset(connection: socket.socket) -> None:
    apps.read_head(connection)
    apps.reset(connection)


FAULTY: dict[str, tuple[apps.Serve, tuple[int, str, str]]] = {
    "closes": (_close, (502, "UC", "MTLS-E403")),
    "resets": (_reset, (502, "UC", "MTLS-E403")),
    "never answers": (apps.silence, (504, "UT", "MTLS-E405")),
    "speaks another protocol": (Script(b"220 mail.test ready\r\n"), (502, "UP", "MTLS-E404")),
    "half a head": (Script(b"HTTP/1.1 200 OK\r\ncontent-le"), (502, "UC", "MTLS-E403")),
    "two lengths": (
        Script(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx"),
        (502, "UP", "MTLS-E404"),
    ),
    "length and chunks": (
        Script(
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        (502, "UP", "MTLS-E404"),
    ),
    "splits its head": (Script(b"HTTP/1.1 200 OK\r\nx-a: b\nc\r\n\r\n"), (502, "UP", "MTLS-E404")),
    "unasked upgrade": (
        Script(b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
        (502, "UP", "MTLS-E406"),
    ),
    "endless head": (
        Script(b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 20_000 + b"\r\n"),
        (502, "UP", "MTLS-E404"),
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_application(serve: Serve, server: Sidecar, name: str) -> None:
    application, expected = FAULTY[name]
    failing(serve, server, application, expected)


def test_good_application(serve: Serve) -> None:
    with tcp(Script(OK)) as app, serve(app) as http:
        assert http.get("/").body == b"fine"


def test_refused(serve: Serve, server: Sidecar) -> None:
    """Nobody listens: 503 at once, and 200 as soon as somebody does."""
    log = server.watch()
    with tcp(Script(OK)) as app:
        app.stop()
        with serve(app) as http:
            answer = http.get("/")
            assert (answer.status, answer.code) == (503, "MTLS-E401")
            assert log.line(code="MTLS-E401", upstream=str(app))["flags"] == "UF"
            app.start()
            assert http.get("/").body == b"fine"


def test_missing_unix_socket(serve: Serve, site: Site) -> None:
    with serve(f"unix:{site.folder}/nobody.sock") as http:
        assert http.get("/").code == "MTLS-E401"


def test_connect_timeout(serve: Serve) -> None:
    """A full backlog: the connection is never accepted."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with contextlib.ExitStack() as crowd:
            for _ in range(4):
                one = crowd.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(address)
            with serve(f"127.0.0.1:{address[1]}") as http:
                answer = http.get("/")
    assert (answer.status, answer.code) == (504, "MTLS-E402")


@pytest.mark.parametrize(
    "head", [b"content-length: 10\r\n\r\nhalf", b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
)
def test_response_cut_short(serve: Serve, server: Sidecar, head: bytes) -> None:
    """What is cut short looks cut short: no client can take the half for the whole."""
    log = server.watch()
    with tcp(Script(b"HTTP/1.1 200 OK\r\n" + head)) as app, serve(app) as http:
        http.send(request("GET", "/"))
        assert http.head().status_code == 200
        with pytest.raises((OSError, h11.RemoteProtocolError)):
            http.rest()
    log.line(listener="app", code="MTLS-E403", upstream=str(app), status=200, bytes_out=4)


def test_response_cut_short_for_an_old_client(serve: Serve) -> None:
    """An HTTP/1.0 client knows the end by the end of the connection: so it gets no orderly one."""
    half = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"
    with tcp(Script(half)) as app, serve(app) as http:
        http.send(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n")
        with pytest.raises(OSError, match=r"EOF|reset"):
            read_all(http.connection)


def test_response_cut_short_for_an_old_client_of_a_pair(
    serve: Serve, server: Sidecar, site: Site
) -> None:
    """The same on plain TCP, where only a reset says it."""
    half = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"
    with tcp(Script(half)) as app, serve(app):
        here = site.sidecar("frontend", {"outbound": [outbound("app", server.port("app"))]})
        with Pair(here, server).http("app") as http:
            http.send(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                read_all(http.connection)
        here.stop()


def test_response_that_stalls(serve: Serve, server: Sidecar) -> None:
    log = server.watch()

    def stall(connection: socket.socket) -> None:
        apps.read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        apps.silence(connection)

    with tcp(stall) as app, serve(app) as http:
        http.send(request("GET", "/"))
        with pytest.raises((OSError, h11.RemoteProtocolError)):
            http.answer()
    assert log.line(code="MTLS-E405", upstream=str(app))["status"] == 200


def test_total_timeout(serve: Serve, server: Sidecar) -> None:
    """An exchange that moves all the time ends all the same when its whole time is over."""
    log = server.watch()
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        apps.read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while not ended.wait(0.05):
            connection.sendall(b".")

    with tcp(drip) as app, serve(app, timeouts={"total": 0.6}) as http:
        http.send(request("GET", "/"))
        with pytest.raises((OSError, h11.RemoteProtocolError)):
            http.answer()
        ended.set()
    assert log.line(listener="app", code="MTLS-E311")["status"] == 200


def test_early_answer_to_a_large_upload(serve: Serve) -> None:
    """An application that answers before it has read the body: the client gets that answer."""

    def refuse(connection: socket.socket) -> None:
        apps.read_head(connection)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")

    with tcp(refuse) as app, serve(app) as http:
        http.send(request("POST", "/", "content-length: 100000000\r\n") + bytes(100_000))
        assert (http.answer("POST").status) == 403


# --- idle connections that die ---


def _forgetful(connection: socket.socket) -> None:
    """Answer one request, and hang up on the next."""
    apps.read_head(connection)
    connection.sendall(OK)
    apps.read_head(connection)


@pytest.mark.parametrize(
    ("method", "statuses"), [("GET", [200, 200]), ("PUT", [200, 200]), ("POST", [200, 502])]
)
def test_idle_upstream_that_dies_is_replaced_once(
    serve: Serve, method: str, statuses: list[int]
) -> None:
    """A reused connection that ends without a byte of response: tried again on a fresh one.

    Only where doing it twice does no harm (RFC 9110 section 9.2.2).
    """
    with tcp(_forgetful) as app, serve(app) as http:
        assert [http.ask(request(method, "/")).status for _ in statuses] == statuses


def test_fresh_upstream_that_dies_is_not_replaced(serve: Serve) -> None:
    """One try on a fresh connection is all: an application that crashes is not hammered."""
    with tcp(_close) as app, serve(app) as http:
        assert http.get("/").status == 502
        assert app.accepted == 1
