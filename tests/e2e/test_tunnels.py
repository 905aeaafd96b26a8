"""TCP through a pair: what one side does, the other side sees; on both event loops."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.e2e import apps
from tests.e2e.apps import TcpApplication, blob, tcp
from tests.e2e.clients import context, fate, half_close, read_all, refusal, secure
from tests.e2e.harness import Sidecar, Site, spiffe, until
from tests.e2e.pairs import Pair, start_pair


def _abort_when_told(connection: socket.socket) -> None:
    """Send something, and reset when an answer comes."""
    connection.sendall(b"first half")
    connection.recv(1)
    apps.reset(connection)


def _speak_first(connection: socket.socket) -> None:
    """Greet before anything is asked, as mail servers and databases do."""
    connection.sendall(b"220 ready\r\n")
    connection.sendall(connection.recv(100).upper())


APPLICATIONS = {
    "echo": apps.echo,
    "end": apps.answer_at_end,
    "silent": apps.silence,
    "abort": _abort_when_told,
    "greet": _speak_first,
}


@pytest.fixture(scope="module")
def applications() -> Iterator[dict[str, TcpApplication]]:
    running = {name: TcpApplication(serve) for name, serve in APPLICATIONS.items()}
    yield running
    for application in running.values():
        application.stop()


@pytest.fixture(scope="module")
def pair(site: Site, loop: str, applications: dict[str, TcpApplication]) -> Pair:
    return start_pair(site, "tcp", applications, loop=loop)


def test_half_close(pair: Pair) -> None:
    """A client that shuts down its sending side still gets its answer, and both log an end."""
    data = blob(1_000_000)
    logs = pair.watches()
    with pair.connect("end") as client:
        client.sendall(data)
        half_close(client)
        answer = read_all(client)
    assert answer == f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()
    for log in logs:
        line = log.line(listener="end", bytes_in=len(data), bytes_out=len(answer))
        assert (line["flags"], line["code"]) == ("-", "-")


def test_half_close_of_tls(pair: Pair, site: Site) -> None:
    """close_notify of a TLS client is an end of its direction only."""
    with secure(pair.there.port("end"), context(site.leaf("frontend"))) as client:
        client.sendall(b"question")
        half_close(client)
        assert read_all(client) == f"8 {hashlib.sha256(b'question').hexdigest()}".encode()


def test_end_without_goodbye(pair: Pair, site: Site) -> None:
    """TCP that ends without close_notify is a loss: the application must not answer half of it."""
    log = pair.there.watch()
    client = secure(pair.there.port("echo"), context(site.leaf("frontend")))
    client.sendall(b"transfer 1000")
    assert client.recv(100) == b"transfer 1000"
    raw = socket.socket(fileno=client.detach())
    raw.shutdown(socket.SHUT_WR)
    log.line(listener="echo", code="MTLS-E506", bytes_in=13)
    raw.close()


def test_abortive_close(pair: Pair) -> None:
    """An application that resets is a reset for the client, never an orderly end."""
    logs = pair.watches()
    client = pair.connect("abort")
    assert client.recv(100) == b"first half"
    client.sendall(b"x")
    assert "reset" in fate(client)
    for log in logs:
        log.line(listener="abort", code="MTLS-E403")


def test_abortive_close_of_client(pair: Pair) -> None:
    """A client that resets is gone on all hops, and its application connection with it."""
    logs = pair.watches()
    client = pair.connect("echo")
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    apps.reset(client)
    client.close()
    for log in logs:
        log.line(listener="echo", code="MTLS-E506")
    until(lambda: pair.there.metric("sidecar_connections_open", listener="echo") == 0)


def test_full_duplex_transfer(pair: Pair) -> None:
    """32 MiB both ways at once arrive whole and in order, and nobody waits for the other."""
    data = blob(32 << 20)
    log = pair.there.watch()
    with pair.connect("echo") as client:
        sender = threading.Thread(target=_send_all, args=(client, data))
        sender.start()
        received = read_all(client)
        sender.join()
    assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
    log.line(listener="echo", bytes_in=len(data), bytes_out=len(data), flags="-")


def _send_all(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    half_close(connection)


def test_tiny_writes(pair: Pair) -> None:
    """Single bytes, each waited for, lose nothing; nor do a thousand that are not waited for."""
    with pair.connect("echo") as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(200):
            client.sendall(bytes([number]))
            assert client.recv(10) == bytes([number])
        for number in range(1000):
            client.sendall(bytes([number % 256]))
        half_close(client)
        assert read_all(client) == bytes(number % 256 for number in range(1000))


def test_server_speaks_first(pair: Pair) -> None:
    with pair.connect("greet") as client:
        assert client.recv(100) == b"220 ready\r\n"
        client.sendall(b"helo")
        assert read_all(client) == b"HELO"


def test_slow_reader_is_not_hoarded_for(pair: Pair) -> None:
    """256 MiB towards an application that does not read stop at buffers of bounded size."""
    stopped = threading.Event()

    def serve(connection: socket.socket) -> None:
        stopped.wait()

    with tcp(serve) as deaf:
        pair.add("deaf", "tcp", deaf)
        before = {each: _resident(each) for each in (pair.here, pair.there)}
        with pair.connect("deaf") as client:
            client.settimeout(1.0)
            with pytest.raises(TimeoutError):
                client.sendall(bytes(256 << 20))
            for sidecar, was in before.items():
                assert _resident(sidecar) - was < 8 << 20
        stopped.set()


def _resident(sidecar: Sidecar) -> float:
    return sidecar.metric("process_resident_memory_bytes")


def test_backend_flapping(pair: Pair, applications: dict[str, TcpApplication]) -> None:
    """An application that goes and comes: refused while away, served when back, nothing stuck."""
    application = applications["echo"]
    for _ in range(5):
        application.stop()
        logs = pair.watches()
        assert fate(pair.connect("echo")) != ""
        logs[1].line(listener="echo", code="MTLS-E401", upstream=str(application))
        application.start()
        with pair.connect("echo") as client:
            client.sendall(b"back")
            half_close(client)
            assert read_all(client) == b"back"
    for sidecar in (pair.here, pair.there):
        until(lambda each=sidecar: each.metric("sidecar_connections_open") == 0)  # type: ignore[misc]


def test_denied_twin(pair: Pair, site: Site, applications: dict[str, TcpApplication]) -> None:
    """The same bytes from an identity that no rule names reach nobody."""
    echo = applications["echo"]
    pair.add("strict", "tcp", echo, allow=[{"from": [spiffe("web")]}])
    log = pair.there.watch()
    accepted = echo.accepted
    port = pair.there.port("strict")
    with secure(port, context(site.leaf("web"))) as allowed:
        allowed.sendall(b"x")
        assert allowed.recv(1) == b"x"
    assert refusal(port, context(site.leaf("frontend"))) != "closed"
    line = log.line(listener="strict", peer=spiffe("frontend"))
    assert (line["flags"], line["code"], line["rule"]) == ("DENY", "MTLS-E201", "-")
    assert echo.accepted == accepted + 1


def test_denied_twin_by_rule(
    pair: Pair, site: Site, applications: dict[str, TcpApplication]
) -> None:
    """A `deny` rule is named in the log and counted by its name."""
    denial = {"from": [spiffe("frontend")], "name": "no-frontend"}
    pair.add("barred", "tcp", applications["echo"], deny=[denial])
    log = pair.there.watch()
    assert refusal(pair.there.port("barred"), context(site.leaf("frontend"))) != "closed"
    line = log.line(listener="barred", code="MTLS-E203")
    assert (line["rule"], line["peer"]) == ("no-frontend", spiffe("frontend"))
    assert pair.there.metric("sidecar_denials_total", listener="barred", rule="no-frontend") == 1
