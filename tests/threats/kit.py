"""What the tests of threats share: one attempt with a certificate, and its end."""

from __future__ import annotations

import contextlib
import ssl

from tests.certs import Leaf
from tests.e2e.clients import Http, Response, context, fate, request, secure
from tests.e2e.harness import Sidecar


def weak(leaf: Leaf | None = None) -> ssl.SSLContext:
    """A client's context that offers whatever certificate there is, however bad."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.set_ciphers("DEFAULT:@SECLEVEL=0")
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return context(leaf, made)


def refusal_code(server: Sidecar, leaf: Leaf, port: str = "open") -> str:
    """Try to get in and to be quick about it; return the code with which that ends.

    Fails if a request got through: the log has a line for each.
    """
    log = server.watch()
    client = secure(server.port(port), weak(leaf))
    with contextlib.suppress(OSError):
        client.sendall(request("GET", "/stolen"))
    end = fate(client)
    line = log.line(listener=port)
    assert (line["kind"], line["flags"]) == ("tcp", "TLS"), (end, line)
    return str(line["code"])


def ask(server: Sidecar, leaf: Leaf, path: str = "/", fields: str = "") -> Response:
    """One request with a certificate, at the open port; it is in the log when this returns."""
    log = server.watch()
    with Http(secure(server.port("open"), weak(leaf))) as http:
        answer = http.get(path, fields)
    log.line(kind="http")
    return answer
