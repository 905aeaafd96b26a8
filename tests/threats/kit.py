"""What the tests of threats share: one attempt with a certificate, and its end."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections import Counter

from tests.certs import Leaf
from tests.e2e.clients import Http, Response, context, fate, request, secure
from tests.e2e.harness import Sidecar, until


def weak(leaf: Leaf | None = None) -> ssl.SSLContext:
    """A client's context that offers whatever certificate there is, however bad."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.set_ciphers("DEFAULT:@SECLEVEL=0")
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return context(leaf, made)


def refusal_code(server: Sidecar, leaf: Leaf, port: str = "open") -> str:
    """Try to get in and to be quick about it; return the code with which the handshake ends.

    "ok" if it does not. Told by the counter, which is there at once; the log takes its time.
    """
    before = _handshakes(server, port)
    client = secure(server.port(port), weak(leaf))
    with contextlib.suppress(OSError):
        client.sendall(request("GET", "/stolen"))
    assert is_ended(client)
    (result,) = until(lambda: _handshakes(server, port) - before, "the end of a handshake")
    return result


def _handshakes(server: Sidecar, port: str) -> Counter[str]:
    """How many handshakes there were, by how they ended."""
    counted: Counter[str] = Counter()
    for (_, labels), value in server.metrics()["sidecar_handshakes_total"].samples.items():
        named = dict(labels)
        if named["listener"] == port:
            counted[named["result"]] = int(value)
    return counted


def ask(server: Sidecar, leaf: Leaf, path: str = "/", fields: str = "") -> Response:
    """One request with a certificate, at the open port."""
    with Http(secure(server.port("open"), weak(leaf))) as http:
        return http.get(path, fields)


def is_ended(connection: socket.socket) -> bool:
    """Wait for the other side to end a connection, in whatever way; False if it does not."""
    return "timed out" not in fate(connection)
