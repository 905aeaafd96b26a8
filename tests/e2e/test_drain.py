"""The end of a sidecar: what is open finishes, nothing new begins, and the exit code says which."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from tests.e2e import apps
from tests.e2e.apps import TcpApplication, WebApplication, tcp, website
from tests.e2e.clients import Http, Response, context, fate, half_close, plain, read_all, secure
from tests.e2e.harness import Sidecar, Site, inbound, outbound, until
from tests.e2e.load import Load
from tests.e2e.pairs import Pair

GATE = b"GET /gate HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture(scope="module")
def web() -> Iterator[WebApplication]:
    with website() as application:
        yield application


@pytest.fixture(scope="module")
def echo() -> Iterator[TcpApplication]:
    with tcp(apps.echo) as application:
        yield application


@pytest.fixture
def server(site: Site, loop: str, web: WebApplication, echo: TcpApplication) -> Iterator[Sidecar]:
    ports = [
        inbound("web", web),
        inbound("echo", echo, "tcp", timeouts={"idle": 0.4}),
    ]
    made = site.sidecar("web", {"loop": loop, "inbound": ports})
    yield made
    made.stop()


@pytest.fixture(scope="module")
def friend(site: Site) -> ssl.SSLContext:
    return context(site.leaf("frontend"))


def draining(server: Sidecar) -> bool:
    """Whether it says so, or is gone already."""
    try:
        return b"draining" in server.admin("/readyz")[1]
    except OSError:
        return True


def refuses(port: int) -> bool:
    try:
        plain(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_idle_sidecar_ends_at_once(server: Sidecar, friend: ssl.SSLContext) -> None:
    with Http(secure(server.port("web"), friend)) as http:
        assert http.get("/").status == 200
        server.signal(signal.SIGTERM)
        assert http.is_closed()  # in order
    assert server.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_open_request_finishes(
    server: Sidecar, web: WebApplication, friend: ssl.SSLContext, number: signal.Signals
) -> None:
    """It is answered, told to close, nobody new is let in, and the exit code is 0."""
    port = server.port("web")
    with Http(secure(port, friend)) as http:
        http.send(GATE)
        until(lambda: web.waiting == 1)
        server.signal(number)
        until(lambda: draining(server))
        assert server.admin("/readyz")[0] == 503
        assert server.admin("/livez")[0] == 200
        assert refuses(port)
        web.open_gate()
        answer = http.answer()
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert http.is_closed()
    assert server.wait() == 0


def test_pipelined_requests_behind_it(
    server: Sidecar, web: WebApplication, friend: ssl.SSLContext
) -> None:
    """The exchange under way is the last: what was sent behind it is left to another server."""
    reached = len(web.reached)
    with Http(secure(server.port("web"), friend)) as http:
        http.send(GATE + b"GET /behind HTTP/1.1\r\nhost: a\r\n\r\n")
        until(lambda: web.waiting == 1)
        server.signal(signal.SIGTERM)
        until(lambda: draining(server))
        web.open_gate()
        answer = http.answer()
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert http.is_closed()
    assert server.wait() == 0
    assert len(web.reached) == reached


def test_open_request_is_cut_when_time_is_over(
    server: Sidecar, web: WebApplication, friend: ssl.SSLContext
) -> None:
    """What does not finish in time is cut, has its line, and the exit code is 1."""
    server.configure(drain_timeout=0.2)
    server.reload()
    log = server.watch()
    with Http(secure(server.port("web"), friend)) as http:
        http.send(GATE)
        until(lambda: web.waiting == 1)
        server.signal(signal.SIGTERM)
        assert server.wait() == 1
        server.expected_code = 1
        assert fate(http.connection) != "closed"
    assert log.line(path="/gate", code="MTLS-E504")["flags"] == "DRAIN"
    web.open_gate()
    until(lambda: web.waiting == 0)


def test_silent_tunnel_is_closed_and_busy_one_goes_on(
    server: Sidecar, friend: ssl.SSLContext
) -> None:
    """A tunnel has no end to wait for: silence will do. One that moves all the time may finish."""
    log = server.watch()
    port = server.port("echo")
    with secure(port, friend) as silent, secure(port, friend) as busy:
        for client in (silent, busy):
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        server.signal(signal.SIGTERM)
        silent.settimeout(0.02)
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while True:
                busy.sendall(b"y")
                assert busy.recv(1) == b"y"
                with contextlib.suppress(TimeoutError):
                    assert silent.recv(1) == b""
                    break
        busy.sendall(b"z")
        assert busy.recv(1) == b"z"
        half_close(busy)
        assert read_all(busy) == b""
    assert server.wait() == 0
    log.line(listener="echo", code="MTLS-E504", bytes_in=1)


def test_handshake_that_comes_too_late(server: Sidecar, friend: ssl.SSLContext) -> None:
    """Accepted before the end, shaken hands after: nobody new is served, and nothing waits."""
    early = plain(server.port("web"))
    until(lambda: b"handshake" in server.admin("/connections")[1])
    server.signal(signal.SIGTERM)
    until(lambda: draining(server))
    with contextlib.suppress(OSError), friend.wrap_socket(early) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert not client.recv(100)
    early.close()
    assert server.wait() == 0


def test_shutdown_drains_under_load(server: Sidecar, site: Site, loop: str) -> None:
    """SIGTERM to the client's side in full traffic: every answer that was begun is whole."""
    routes = [outbound("web", server.port("web")), outbound("echo", server.port("echo"), "tcp")]
    here = site.sidecar("frontend", {"loop": loop, "outbound": routes, "drain_timeout": 10})
    failures: list[str] = []
    counts = [0] * 8

    def ask(number: int) -> None:
        """Ask on one connection until it is refused or closed in order, and begin another."""
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                with Http(plain(port)) as http:
                    while _went_well(http, failures):
                        counts[number] += 1

    port = here.port("web")
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    until(lambda: min(counts) > 20)
    here.signal(signal.SIGTERM)
    assert here.wait() == 0
    for thread in threads:
        thread.join()
    assert failures == []


def _went_well(http: Http, failures: list[str]) -> bool:
    """One request: False when the connection is over, which it must say or be before an answer."""
    try:
        http.send(b"GET /blob/20000 HTTP/1.1\r\nhost: a\r\n\r\n")
        first = http.connection.recv(1, socket.MSG_PEEK)
    except ConnectionError:
        return False
    if not first:
        return False
    try:
        answer: Response = http.answer()
    except Exception as failure:  # noqa: BLE001  whatever it was, the test wants to know
        failures.append(repr(failure))
        return False
    if answer.status != 200 or len(answer.body) != 20_000:
        failures.append(str(answer)[:200])
    return answer.fields.get("connection") != "close"


def test_sighup_during_drain(server: Sidecar, web: WebApplication, friend: ssl.SSLContext) -> None:
    """A reload while draining opens nothing and keeps nobody alive."""
    with Http(secure(server.port("web"), friend)) as http:
        http.send(GATE)
        until(lambda: web.waiting == 1)
        server.signal(signal.SIGTERM)
        until(lambda: draining(server))
        generation = server.status()["generation"]
        server.configure(inbound=[*server.config["inbound"], inbound("late", web)])
        for _ in range(20):
            server.signal(signal.SIGHUP)
        assert b"draining" in server.admin("/readyz")[1]
        assert server.status()["generation"] == generation
        assert server.status()["listeners"] == {}
        web.open_gate()
        assert http.answer().fields["connection"] == "close"
    assert server.wait() == 0


def test_drain_page(server: Sidecar, web: WebApplication, friend: ssl.SSLContext) -> None:
    """`/drain` stops the listeners and leaves the process running, until SIGTERM."""
    port = server.port("web")
    assert server.admin("/drain")[0] == 405
    assert not refuses(port)
    with Http(secure(port, friend)) as http:
        http.send(GATE)
        until(lambda: web.waiting == 1)
        assert server.admin("/drain", "POST")[0] == 200
        until(lambda: refuses(port))
        assert server.admin("/readyz")[0] == 503
        web.open_gate()
        assert http.answer().fields["connection"] == "close"
    assert server.admin("/livez")[0] == 200
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_quitquitquit(server: Sidecar) -> None:
    assert server.admin("/quitquitquit")[0] == 405
    assert server.is_ready()
    assert server.admin("/quitquitquit", "POST")[0] == 200
    assert server.wait() == 0


def test_second_signal_does_no_harm(
    server: Sidecar, web: WebApplication, friend: ssl.SSLContext
) -> None:
    with Http(secure(server.port("web"), friend)) as http:
        http.send(GATE)
        until(lambda: web.waiting == 1)
        for _ in range(3):
            server.signal(signal.SIGTERM)
        until(lambda: draining(server))
        web.open_gate()
        assert http.answer().status == 200
    assert server.wait() == 0


def test_traffic_goes_on_beside_a_sidecar_that_ends(
    server: Sidecar, site: Site, loop: str, web: WebApplication, echo: TcpApplication
) -> None:
    """One of two servers behind a route ends: the other takes over without one failed request."""
    other = site.sidecar(
        "web",
        {"loop": loop, "inbound": [inbound("web", web), inbound("echo", echo, "tcp")]},
    )
    routes = [
        {
            **outbound(name, other.port(name), protocol),
            "connect": [f"127.0.0.1:{each.port(name)}" for each in (server, other)],
        }
        for name, protocol in (("web", "http"), ("echo", "tcp"))
    ]
    here = site.sidecar("frontend", {"loop": loop, "outbound": routes})
    with Load(Pair(here, other), kinds=("kept", "fresh")) as load:
        until(lambda: min(load.counts["kept"], load.counts["fresh"]) > 50)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        before = dict(load.counts)
        until(lambda: load.counts["fresh"] > before["fresh"] + 50)
    assert load.failures == []
    here.stop()
    other.stop()
