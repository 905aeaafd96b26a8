"""The health check: yes or no within its time, whatever the other side does."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.healthcheck import (
    DEFAULT_URL,
    Target,
    UnhealthyError,
    check,
    target_of_config,
    target_of_url,
)
from tests.configs import small, text_of

READY = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
NOT_READY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9\r\n\r\ndraining\n"


@contextmanager
def answering(serve: Callable[[socket.socket], object]) -> Iterator[Target]:
    """A server that takes one connection and does one thing with it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            connection, _ = server.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield Target("127.0.0.1", server.getsockname()[1], "", "/readyz")
        thread.join()


def replying(answer: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    return serve


def test_ready_is_no_error() -> None:
    with answering(replying(READY)) as target:
        check(target)


def test_not_ready_says_why() -> None:
    with (
        answering(replying(NOT_READY)) as target,
        pytest.raises(UnhealthyError, match=r"is not ready \(503\): draining$"),
    ):
        check(target)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 20", b"HTTP/2 200 \r\n", b"SSH-2.0-x\r\n", b"x" * 100_000]
)
def test_what_is_not_http_is_not_ready(answer: bytes) -> None:
    with (
        answering(replying(answer)) as target,
        pytest.raises(UnhealthyError, match=r"HTTP|reset"),
    ):
        check(target)


def test_class_29_an_answer_cannot_forge_a_line() -> None:
    hostile = b"HTTP/1.1 503 x\r\n\r\nno\nsidecar: all is well \x1b[2J"
    with answering(replying(hostile)) as target, pytest.raises(UnhealthyError) as caught:
        check(target)
    assert str(caught.value).isprintable()


def test_the_question_is_asked_of_this_machine_by_a_name_that_dns_cannot_move() -> None:
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        asked.append(connection.recv(4096))
        connection.sendall(READY)

    with answering(serve) as target:
        check(target)
    assert asked == [b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"]


def test_silence_and_dripping_end_with_the_time() -> None:
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.01):
            connection.sendall(b"x")

    for serve in (lambda _: over.wait(), drip):
        over.clear()
        with answering(serve) as target:
            try:
                with pytest.raises(UnhealthyError, match=r"did not answer within 0\.1 s"):
                    check(target, timeout=0.1)
            finally:
                over.set()


def test_no_time_is_no_answer() -> None:
    with pytest.raises(UnhealthyError, match="did not answer within 0 s"):
        check(target_of_url(DEFAULT_URL), timeout=0)


def test_a_closed_port_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(UnhealthyError, match="cannot be reached: connection refused"):
        check(Target("127.0.0.1", port, "", "/readyz"))


def test_a_unix_socket_is_asked_too(tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")
    target = Target("", 0, path, "/readyz")
    with pytest.raises(UnhealthyError, match="cannot be reached: no such file"):
        check(target)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def run() -> None:
            connection, _ = server.accept()
            with connection:
                replying(READY)(connection)

        thread = threading.Thread(target=run)
        thread.start()
        check(target)
        thread.join()


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (DEFAULT_URL, Target("127.0.0.1", 9440, "", "/readyz")),
        ("http://localhost:9446/livez", Target("localhost", 9446, "", "/livez")),
        ("http://[::1]:9446/readyz", Target("::1", 9446, "", "/readyz")),
        ("http://localhost", Target("localhost", 80, "", "/")),
    ],
)
def test_a_url_names_host_port_and_page(url: str, target: Target) -> None:
    assert target_of_url(url) == target


@pytest.mark.parametrize(
    "url",
    ["", "localhost:9440", "https://localhost/", "http://a@b/", "http://a:99999/", "http://a:/",
     "http://a/ HTTP/1.1\r\nX: y", "http://a/\u00e9", "http://::1/"],
)  # fmt: skip
def test_what_is_no_such_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not http://HOST"):
        target_of_url(url)


@pytest.mark.parametrize(
    ("sections", "target"),
    [
        ({}, Target("127.0.0.1", 9440, "", "/readyz")),
        ({"admin": None}, Target("127.0.0.1", 9446, "", "/readyz")),
        ({"admin": None, "health": {"listen": "[::]:1"}}, Target("::1", 1, "", "/readyz")),
        ({"admin": {"listen": "unix:/a.sock"}}, Target("", 0, "/a.sock", "/readyz")),
    ],
)
def test_a_configuration_names_whom_to_ask(
    tmp_path: Path, sections: dict[str, object], target: Target
) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text(text_of(small(**sections)))
    assert target_of_config(path) == target


def test_a_configuration_that_names_nobody_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text(text_of(small(admin=None, health=None)))
    with pytest.raises(UnhealthyError, match="has neither an `admin` nor a `health` port"):
        target_of_config(path)
    path.write_text("a: 1\n")
    with pytest.raises(UnhealthyError, match="this key is not known"):
        target_of_config(path)


def test_it_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys; before = set(sys.modules);"
        "from sidecar.cli import main; main(['healthcheck', '--url', 'http://[::1]:1']);"
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "socket" in loaded
    assert loaded.isdisjoint(
        {"asyncio", "ssl", "http", "json", "yaml", "msgspec", "uvloop", "httptools", "inspect"}
    )
