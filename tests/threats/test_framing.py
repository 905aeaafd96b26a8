"""Requests that two servers could cut apart differently never get as far as the second.

Each attack carries a request to `/smuggled`. It comes from a peer that may ask for everything, so
nothing but the framing stands between it and the application.
"""

from __future__ import annotations

import contextlib
import socket

import pytest

from tests.e2e.apps import Script, WebApplication, tcp
from tests.e2e.clients import Http, plain, request, secure
from tests.e2e.harness import Sidecar, Site, inbound, outbound
from tests.threats.kit import weak

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /post HTTP/1.1\r\nHost: a\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
EMPTY = b"0\r\n\r\n"

DESYNC = {
    "CL.TE": POST + b"Content-Length: 4\r\n" + TE + b"\r\n" + EMPTY + SMUGGLED,
    "TE.CL": POST + TE + b"Content-Length: 4\r\n\r\n" + EMPTY + SMUGGLED,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 38\r\n\r\n" + SMUGGLED,
    "list of lengths": POST + b"Content-Length: 0, 38\r\n\r\n" + SMUGGLED,
    "TE twice": POST + TE + b"Transfer-Encoding: identity\r\n\r\n" + EMPTY + SMUGGLED,
    "TE list": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + EMPTY + SMUGGLED,
    "TE with a tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + EMPTY + SMUGGLED,
    "TE with a space": POST + b"Transfer-Encoding : chunked\r\n\r\n" + EMPTY + SMUGGLED,
    "TE quoted": POST + b'Transfer-Encoding: "chunked"\r\n\r\n' + EMPTY + SMUGGLED,
    "TE in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: a\r\n" + TE + b"\r\n" + EMPTY + SMUGGLED,
    "folded": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + EMPTY + SMUGGLED,
    "bare LF": b"POST /post HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n" + EMPTY + SMUGGLED,
    "bare CR": POST + b"X: a\rTransfer-Encoding: chunked\r\n\r\n" + EMPTY + SMUGGLED,
    "NUL": POST + b"Content-Length\0: 38\r\n\r\n" + SMUGGLED,
    "chunk end": POST + TE + b"\r\n2\r\nhiXX0\r\n\r\n" + SMUGGLED,
    "chunk ends with LF": POST + TE + b"\r\n2\nhi\n0\n\n" + SMUGGLED,
    "chunk extension with LF": POST + TE + b"\r\n2;a\nb\r\nhi\r\n" + EMPTY + SMUGGLED,
    "chunk size too large": POST + TE + b"\r\n10000000000000000\r\n" + EMPTY + SMUGGLED,
}

NUMBERS = ["+38", "-38", "3_8", "0x26", "38 38", "٣٨", "38.0", "3e1", "38,", "--", "9" * 20]
SIZES = ["+2", "-2", "0_2", "0x2", " 2", "٢", "2h", "g", ""]


@pytest.fixture(autouse=True)
def nothing_has_come(web: WebApplication) -> None:
    web.reached.clear()


def refused(server: Sidecar, site: Site, data: bytes) -> int:
    """Send bytes as the frontend; return the status; the connection must be closed after it."""
    with Http(secure(server.port("open"), weak(site.leaf("frontend")))) as http:
        with contextlib.suppress(ConnectionError):
            http.send(data)
        answer = http.answer("POST")
        assert http.is_closed()
        return answer.status


def test_what_is_in_order_passes(server: Sidecar, site: Site, web: WebApplication) -> None:
    with Http(secure(server.port("open"), weak(site.leaf("frontend")))) as http:
        assert http.ask(POST + TE + b"\r\n2;ext=1\r\nhi\r\n0\r\n\r\n").status == 200
        assert http.ask(POST + b"Content-Length: 2\r\n\r\nhi").status == 200
        assert http.ask(SMUGGLED).status == 200
    assert web.reached == ["/post", "/post", "/smuggled"]


@pytest.mark.parametrize("name", DESYNC)
def test_threat_18_requests_that_two_servers_cut_apart_differently(
    server: Sidecar, site: Site, web: WebApplication, name: str
) -> None:
    """CVE-2023-37276, CVE-2024-23829, CVE-2025-53643 (aiohttp), CVE-2025-43859 (h11) and others."""
    assert refused(server, site, DESYNC[name]) in {400, 501, 505}
    assert "/smuggled" not in web.reached


@pytest.mark.parametrize("number", NUMBERS)
def test_threat_19_lengths_that_only_python_reads(
    server: Sidecar, site: Site, web: WebApplication, number: str
) -> None:
    head = POST + b"Content-Length: " + number.encode() + b"\r\n\r\n"
    assert refused(server, site, head + SMUGGLED) == 400
    assert web.reached == []


@pytest.mark.parametrize("size", SIZES)
def test_threat_19_chunk_sizes_that_only_python_reads(
    server: Sidecar, site: Site, web: WebApplication, size: str
) -> None:
    assert refused(server, site, POST + TE + b"\r\n" + size.encode() + b"\r\nhi\r\n" + EMPTY) == 400
    assert "/smuggled" not in web.reached


def test_threat_19_lengths_of_a_response(site: Site) -> None:
    """An application that says such a thing is not believed either."""
    with contextlib.ExitStack() as stack:
        ports = []
        for index, number in enumerate(["2", "+2", "0_2", "0x2", "2, 3", "٢", "-1"]):
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: " + number.encode() + b"\r\n\r\nhi"
            ports.append(inbound(f"n{index}", stack.enter_context(tcp(Script(answer)))))
        server = site.sidecar("web", {"inbound": ports})
        statuses = []
        for port in ports:
            connection = secure(server.port(port["name"]), weak(site.leaf("frontend")))
            with Http(connection) as http:
                statuses.append(http.get("/").status)
        server.stop()
    assert statuses == [200, *[502] * 6]


@pytest.mark.parametrize("name", ["CL.TE", "TE.CL", "two lengths", "folded", "chunk end"])
def test_threat_18_the_own_application_is_not_believed_either(
    server: Sidecar, site: Site, web: WebApplication, name: str
) -> None:
    """Outbound: nothing ambiguous leaves in this workload's name."""
    caller = site.sidecar("frontend", {"outbound": [outbound("web", server.port("open"))]})
    with Http(plain(caller.port("web"))) as http:
        http.send(DESYNC[name])
        assert http.answer("POST").status == 400
        assert http.is_closed()
    assert "/smuggled" not in web.reached
    caller.stop()


def test_threat_22_there_is_no_http_2_to_be_translated(server: Sidecar, site: Site) -> None:
    """CVE-2025-57804 and its like need a front that speaks HTTP/2: it is neither agreed on ..."""
    context = weak(site.leaf("frontend"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with secure(server.port("open"), context) as client:
        assert client.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("ending", [b"", b"\0\0\0\4\0\0\0\0\0"])
def test_threat_22_and_it_is_refused_where_nobody_agreed_on_it(
    server: Sidecar, site: Site, web: WebApplication, ending: bytes
) -> None:
    """... nor guessed from the first bytes."""
    assert refused(server, site, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + ending) == 400
    upgrade = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    with Http(secure(server.port("open"), weak(site.leaf("frontend")))) as http:
        assert http.ask(request("GET", "/plain", upgrade)).status == 200
        assert isinstance(http.connection, socket.socket)
    assert web.reached == ["/plain"]
