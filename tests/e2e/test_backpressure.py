"""Whoever reads slowly is waited for: no sidecar hoards what it cannot get rid of (threat 17)."""

from __future__ import annotations

import hashlib
import socket
import threading
import time

import pytest

from tests.e2e import apps
from tests.e2e.apps import blob, tcp
from tests.e2e.clients import request
from tests.e2e.harness import Sidecar, Site, until
from tests.e2e.pairs import Pair, start_pair

SIZE = 256 << 20
HELD = 8 << 20  # what one sidecar may grow by: buffers of two connections, and slack
PIECE = blob(1 << 20)


@pytest.fixture(scope="module")
def pair(site: Site, loop: str) -> Pair:
    """A pair to which each test adds an application."""
    return start_pair(site, "http", {"nobody": "127.0.0.1:9"}, loop=loop)


class Flow:
    """Sends pieces until all are sent; `stalled` waits until it gets no further."""

    def __init__(self, connection: socket.socket, pieces: int) -> None:
        self.sent = 0
        self._connection = connection
        self._pieces = pieces
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for _ in range(self._pieces):
            self._connection.sendall(PIECE)
            self.sent += 1

    def stalled(self) -> bool:
        before = self.sent
        time.sleep(0.5)
        return 0 < self.sent == before < self._pieces

    def finish(self) -> None:
        self._thread.join()


def resident(sidecar: Sidecar) -> float:
    return sidecar.metric("process_resident_memory_bytes")


def expected() -> str:
    digest = hashlib.sha256()
    for _ in range(SIZE // len(PIECE)):
        digest.update(PIECE)
    return digest.hexdigest()


def test_client_that_does_not_read(pair: Pair) -> None:
    """A download stops at the application until the client reads; then it arrives whole."""
    flows: list[Flow] = []

    def serve(connection: socket.socket) -> None:
        apps.read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
        flows.append(Flow(connection, SIZE // len(PIECE)))
        flows[0].finish()

    with tcp(serve) as application:
        pair.add("download", "http", application)
        before = {side: resident(side) for side in (pair.here, pair.there)}
        with pair.http("download") as http:
            http.send(request("GET", "/"))
            until(lambda: flows and flows[0].stalled())
            for side, was in before.items():
                assert resident(side) - was < HELD
            assert http.head().status_code == 200
            digest = hashlib.sha256()
            for piece in iter(http.piece, b""):
                digest.update(piece)
    assert digest.hexdigest() == expected()


def test_application_that_does_not_read(pair: Pair) -> None:
    """An upload stops at the client until the application reads; then it arrives whole."""
    gate = threading.Event()
    received = hashlib.sha256()

    def serve(connection: socket.socket) -> None:
        apps.read_head(connection)
        gate.wait()
        left = SIZE
        while left:
            data = connection.recv(min(left, apps.CHUNK))
            received.update(data)
            left -= len(data)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with tcp(serve) as application:
        pair.add("upload", "http", application)
        before = {side: resident(side) for side in (pair.here, pair.there)}
        with pair.http("upload") as http:
            http.send(request("POST", "/", f"content-length: {SIZE}\r\n"))
            flow = Flow(http.connection, SIZE // len(PIECE))
            until(flow.stalled)
            for side, was in before.items():
                assert resident(side) - was < HELD
            gate.set()
            flow.finish()
            assert http.answer("POST").status == 204
    assert received.hexdigest() == expected()


def test_client_that_asks_and_does_not_read(pair: Pair) -> None:
    """Pipelined requests whose answers nobody reads: they are not all read in."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n" + PIECE

    def serve(connection: socket.socket) -> None:
        while apps.read_head(connection):
            connection.sendall(answer)

    asked = request("GET", "/") * 400_000
    with tcp(serve) as application:
        pair.add("pipelined", "http", application)
        before = {side: resident(side) for side in (pair.here, pair.there)}
        with pair.http("pipelined") as http:
            http.connection.settimeout(1.0)
            with pytest.raises(TimeoutError):
                http.send(asked)
            for side, was in before.items():
                assert resident(side) - was < HELD
