"""Requests that policy must not be talked out of: other spellings, other hosts, detours.

The strict port lets the frontend read `/api/**`, and keeps `/api/internal/**` from everybody.
"""

from __future__ import annotations

import json

import pytest

from tests.certs import Leaf
from tests.e2e.apps import WebApplication
from tests.e2e.clients import Http, request, secure
from tests.e2e.harness import Sidecar, Site
from tests.threats.kit import weak


@pytest.fixture(autouse=True)
def nothing_has_come(web: WebApplication) -> None:
    web.reached.clear()


def strict(server: Sidecar, leaf: Leaf) -> Http:
    return Http(secure(server.port("strict"), weak(leaf)))


def test_what_is_allowed_passes(server: Sidecar, site: Site, web: WebApplication) -> None:
    with strict(server, site.leaf("frontend")) as http:
        for path in ("/api/a", "/api/%61", "/api/a%20b?q=/../internal", "/api/internals"):
            assert http.get(path).status == 200
    assert web.reached == ["/api/a", "/api/a", "/api/a%20b?q=/../internal", "/api/internals"]


SPELLINGS = [
    "/api/internal/ledger",
    "/api/%69nternal/ledger",
    "/api/in%74ernal",
    "/api//internal/ledger",
    "//api/internal/ledger",
    "/api/./internal/ledger",
    "/api/x/../internal/ledger",
    "/api/x/%2e%2e/internal/ledger",
    "/api/x/..%2finternal/ledger",
    "/api/x/..;/internal/ledger",
    "/api/internal;v=1/ledger",
    "/api%2finternal%2fledger",
    "/api/%2finternal/ledger",
    "/api\\internal\\ledger",
    "/api/internal%5cledger/..",
    "/api/%c0%af/internal/ledger",
    "/api/internal%00/ledger",
    "/api/internal%23/ledger",
    "/api/%u0069nternal/ledger",
    "/other/../api/internal/ledger",
    "/x/../../api/internal/ledger",
]


@pytest.mark.parametrize("path", SPELLINGS)
def test_threat_23_path_normalisation(
    server: Sidecar, site: Site, web: WebApplication, path: str
) -> None:
    """CVE-2021-31920, CVE-2021-29492, CVE-2019-9901: no spelling gets past a deny."""
    with strict(server, site.leaf("frontend")) as http:
        assert http.get(path).status in {400, 403}
    assert web.reached == []


def test_threat_23_a_fragment_is_no_end_of_a_path(
    server: Sidecar, site: Site, web: WebApplication
) -> None:
    """CVE-2021-39156."""
    with strict(server, site.leaf("frontend")) as http:
        assert http.get("/api/internal/ledger#x").status == 400
    assert web.reached == []


@pytest.mark.parametrize(
    "head",
    [
        "GET /api/internal/ledger HTTP/1.1\r\nHost: a\r\nX-Original-URL: /api/a\r\n",
        "GET http://b/api/internal/ledger HTTP/1.1\r\nHost: a\r\n",
        "GET http://b:80/api/internal/ledger HTTP/1.1\r\nHost: b\r\n",
        "GET HTTP://B./api/internal/ledger HTTP/1.1\r\nHost: a\r\n",
        "GET https://b/api/internal/ledger HTTP/1.1\r\nHost: a\r\n",
        "GET /api/internal/ledger HTTP/1.0\r\n",
        "GET /api/internal/ledger HTTP/1.1\r\nHost: A.TEST.:9443\r\n",
    ],
)
def test_threat_24_no_host_and_no_form_of_the_target_leads_round_a_rule(
    server: Sidecar, site: Site, web: WebApplication, head: str
) -> None:
    """CVE-2021-39155. Rules go by caller, method and path, whatever the host is called."""
    with strict(server, site.leaf("frontend")) as http:
        assert http.ask(head.encode() + b"\r\n").status in {400, 403}
        if "HTTP/1.0" not in head:
            assert http.get("/api/a").status in {200, 403}
    assert all("internal" not in path for path in web.reached)


@pytest.mark.parametrize(
    ("head", "host"),
    [
        ("GET /api/a HTTP/1.1\r\nHost: a\r\n", "a"),
        ("GET http://b/api/a HTTP/1.1\r\nHost: a\r\n", "b"),
        ("GET /api/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n", None),
        ("GET /api/a HTTP/1.1\r\nHost: a, b\r\n", None),
        ("GET /api/a HTTP/1.1\r\nHost: b@a\r\n", None),
        ("GET /api/a HTTP/1.1\r\n", None),
    ],
)
def test_threat_24_the_application_gets_one_host_or_nothing(
    server: Sidecar, site: Site, web: WebApplication, head: str, host: str | None
) -> None:
    with strict(server, site.leaf("frontend")) as http:
        answer = http.ask(head.encode() + b"\r\n")
    if host is None:
        assert (answer.status, answer.code) == (400, "MTLS-E306")
        assert web.reached == []
        return
    fields = json.loads(answer.body)["fields"]
    assert [value for name, value in fields if name == "host"] == [host]


# --- 34: nothing that goes wrong is a way in ---

CHUNKED = b"transfer-encoding: chunked\r\n"
DETOURS = {
    "as it is": request("GET", "/api/a"),
    "HEAD": request("HEAD", "/api/a"),
    "body": request("POST", "/api/a", body=b"x"),
    "chunked body": request("POST", "/api/a", CHUNKED.decode()) + b"1\r\nx\r\n0\r\n\r\n",
    "bad chunk": request("POST", "/api/a", CHUNKED.decode()) + b"zz\r\n",
    "Expect": request("POST", "/api/a", "expect: 100-continue\r\ncontent-length: 1\r\n"),
    "strange Expect": request("GET", "/api/a", "expect: 200-ok\r\n"),
    "upgrade": request("GET", "/socket", "connection: upgrade\r\nupgrade: websocket\r\n"),
    "CONNECT": b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n",
    "OPTIONS *": request("OPTIONS", "*"),
    "absolute": request("GET", "http://a/api/a"),
    "large head": request("GET", "/api/a", f"x: {'y' * 70000}\r\n"),
    "many fields": request("GET", "/api/a", "x: y\r\n" * 101),
    "bad path": request("GET", "/api/%zz"),
    "HTTP/1.0": b"GET /api/a HTTP/1.0\r\n\r\n",
    "forged identity": request("GET", "/api/a", "x-forwarded-client-cert: URI=x\r\n"),
}


@pytest.mark.parametrize("name", DETOURS)
@pytest.mark.parametrize("who", ["stranger", "frontend"])
def test_threat_34_authorization_is_skipped_on_no_error_path(
    server: Sidecar, site: Site, web: WebApplication, name: str, who: str
) -> None:
    """CVE-2025-44005. A stranger gets nothing at all; the frontend, no more than its rule."""
    with strict(server, site.leaf(who)) as http:
        http.send(DETOURS[name])
        status = http.answer(DETOURS[name].partition(b" ")[0].decode()).status
    if who == "frontend" and name in {"as it is", "absolute", "HTTP/1.0", "forged identity"}:
        assert (status, web.reached) == (200, ["/api/a"])
    else:
        assert status >= 400
        assert web.reached == []


def test_threat_34_each_request_on_a_connection_is_asked_about(
    server: Sidecar, site: Site, web: WebApplication
) -> None:
    """Pipelined behind an allowed one, and after a refused one."""
    allowed, refused = request("GET", "/api/a"), request("GET", "/api/internal/b")
    with strict(server, site.leaf("frontend")) as http:
        http.send(allowed + refused + allowed + refused)
        assert [http.answer().status for _ in range(4)] == [200, 403, 200, 403]
    assert web.reached == ["/api/a", "/api/a"]
