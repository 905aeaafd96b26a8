"""Whoever calls: a plain HTTP client, TLS with and without a certificate, steady traffic."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

_PATIENCE_S: Final = 10.0
_THREADS: Final = 4
_PAUSE_S: Final = 0.005  # between two requests of a thread: traffic, not a benchmark


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response."""

    status: int
    body: str
    reason: str = "-"  # the sidecar's code, where it answered itself

    def json(self) -> Any:
        return json.loads(self.body)


def get(port: int, path: str, request_id: str = "") -> Answer:
    """Ask a loopback port for a path; raise OSError or HTTPException if no answer comes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"x-request-id": request_id} if request_id else {})
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
        return Answer(response.status, body, response.headers.get("x-sidecar-reason", "-"))


def answers(port: int, path: str) -> bool:
    """Whether something with a good answer is there by now."""
    try:
        return get(port, path).status < 300
    except (OSError, http.client.HTTPException):
        return False


def client_context(trusted: Path, identity: Path | None = None) -> ssl.SSLContext:
    """A TLS client that trusts `trusted`, with or without the certificate of a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # an SVID names a workload, not a host
    context.load_verify_locations(trusted)
    if identity is not None:
        context.load_cert_chain(identity / "tls.crt", identity / "tls.key")
    return context


def refusal(port: int, context: ssl.SSLContext) -> str:
    """How a TLS port turns this client away; "" if it does not.

    In TLS 1.3 the client's side of the handshake is done before its certificate is looked at: the
    alert comes with the first read.
    """
    try:
        with _secured(port, context) as connection:
            connection.settimeout(1.0)
            return "" if connection.recv(1) else "closed"
    except TimeoutError:
        return ""  # nobody minds
    except ssl.SSLError as error:
        return (error.reason or str(error)).replace("_", " ").lower()


def refusal_of_plain_text(port: int) -> str:
    """What an mTLS port answers to a plain HTTP request: "closed", or the bytes themselves."""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
        connection.sendall(b"GET /api/orders HTTP/1.1\r\nhost: orders\r\n\r\n")
        try:
            answer = connection.recv(4096)
        except ConnectionResetError:
            return "closed"
    return repr(answer) if answer else "closed"


def serial_on_the_wire(port: int, context: ssl.SSLContext) -> str:
    """The serial number, in lower-case hex, that a server shows in a handshake."""
    with _secured(port, context) as connection:
        return str((connection.getpeercert() or {})["serialNumber"]).lower()


@contextlib.contextmanager
def _secured(port: int, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as raw,
        context.wrap_socket(raw) as connection,
    ):
        yield connection


@dataclass(slots=True)
class Traffic:
    """Requests without a break, from a few threads, while the block runs."""

    port: int
    path: str
    sent: int = 0
    failures: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [
            threading.Thread(target=self._ask_on, daemon=True) for _ in range(_THREADS)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self) -> None:
        while not self._over.is_set():
            problem = self._ask()
            with self._lock:
                self.sent += 1
                if problem:
                    self.failures.append(problem)
            time.sleep(_PAUSE_S)

    def _ask(self) -> str:
        try:
            answer = get(self.port, self.path)
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        return "" if answer.status == 200 else f"{answer.status} {answer.reason}"
