"""What callers can do to those who read logs and metrics, and what nobody must find there."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from tests.certs import Leaf
from tests.e2e.clients import Http, secure
from tests.e2e.harness import Sidecar, Site, inbound, spiffe, until
from tests.threats.kit import ask, refusal_code, weak

HOSTILE = [
    '/"},{"ts":"2000-01-01T00:00:00.000Z","kind":"http","status":200}',
    '/"}\n{"ts":"2000-01-01T00:00:00.000Z"}',
    "/%0a%0d{}",
    "/\u2028\u2029",
    "/\x1b[2J\x1b]0;owned\x07",
    "/\x80\xff",
    "/${jndi:ldap://x}",
    "/" + "a" * 9000,
    "/\x7f",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_threat_29_log_injection(server: Sidecar, site: Site, path: str) -> None:
    """CVE-2024-45808: one request, one line, plain ASCII, whatever the request is made of."""
    log = server.watch()
    head = f"GET {path} HTTP/1.1\r\nhost: a\r\nx-request-id: {path[1:40]}\r\n\r\n"
    with Http(secure(server.port("strict"), weak(site.leaf("frontend")))) as http:
        http.send(head.encode("utf-8", "surrogateescape"))
        http.answer()
    line = log.line(listener="strict")
    assert log.lines(listener="strict") == [line]
    assert line["kind"] == "http"
    assert not line["ts"].startswith("2000")
    text = server.out.read_bytes()
    assert text.isascii()
    assert all(byte == 0x0A or byte >= 0x20 for byte in text)


def test_threat_29_a_certificate_makes_no_line_either(server: Sidecar, site: Site) -> None:
    good = site.ca.leaf(spiffe("front--end"))
    bad = site.ca.resign(good, lambda tbs: tbs.replace(b"front--end", b'front\n"end'))
    log = server.watch()
    assert refusal_code(server, bad, "strict") == "MTLS-E108"
    line = log.line(listener="strict")
    assert log.lines(listener="strict") == [line]
    for said in server.last_words().splitlines():
        json.loads(said)


def series(server: Sidecar) -> int:
    return sum(len(family.samples) for family in server.metrics().values())


def test_threat_30_metrics_cardinality(server: Sidecar, site: Site) -> None:
    """CVE-2025-43915, CVE-2023-25151, CVE-2023-45142: callers choose texts, never a new series."""
    foreign = "spiffe://other.local/ns/shop/sa/n"

    def round_of(start: int) -> int:
        for number in range(start, start + 10):
            ask(server, site.leaf(f"n{number}"), f"/p{number}?q={number}", f"x-{number}: y\r\n")
            bad = f"M{number} / HTTP/1.1\r\nhost: h{number}\r\n\r\n"
            with Http(secure(server.port("open"), weak(site.leaf("frontend")))) as http:
                assert http.ask(bad.encode()).status == 400
            assert refusal_code(server, site.ca.leaf(f"{foreign}{number}")) == "MTLS-E109"
        return series(server)

    before = round_of(0)
    assert round_of(100) == before


# --- 41: the key is in memory, and nowhere else ---


def lines_of(key: bytes) -> list[bytes]:
    """Every line of a PEM key: none of them may be anywhere."""
    return [line for line in key.splitlines() if line and b"-----" not in line]


def test_threat_41_the_key_is_in_no_output_and_no_argument(site: Site) -> None:
    """Also after a reload, and after one that failed over the key itself."""
    own: Leaf = site.leaf("web")
    folder = site.place("keys")
    own.write_folder(folder / "certs")
    server = site.start(folder, {"inbound": [inbound("web", "127.0.0.1:9")]})
    until(server.is_ready)
    key_file = folder / "certs" / "tls.key"
    key_file.write_bytes(own.key_pem.replace(b"PRIVATE", b"PRIVAT"))
    server.refuse_reload()
    key_file.write_bytes(site.leaf("other").key_pem)
    server.refuse_reload()
    key_file.write_bytes(own.key_pem)
    server.reload()
    proc = Path(f"/proc/{server.process.pid}")
    said = [
        server.out.read_bytes(),
        server.last_words().encode(),
        *(server.admin(path)[1] for path in ("/config", "/identity", "/metrics", "/readyz")),
        *(proc.joinpath(name).read_bytes() for name in ("cmdline", "environ")),
    ]
    assert all(said[1:5])
    for line in lines_of(own.key_pem):
        assert not any(line in text for text in said)


def test_threat_41_no_descriptor_of_the_key_stays_open(server: Sidecar) -> None:
    folder = Path(f"/proc/{server.process.pid}/fd")
    targets = []
    for descriptor in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            targets.append(str(descriptor.readlink()))
    assert targets
    assert not [target for target in targets if "memfd" in target or "tls.key" in target]


def test_threat_41_a_request_gets_no_file(server: Sidecar) -> None:
    """The admin port has pages, not a folder."""
    for path in ("/../certs/tls.key", "/certs/tls.key", "/%2e%2e/certs/tls.key", "//tls.key"):
        status, body = server.admin(path)
        assert status in {400, 404}
        assert b"PRIVATE" not in body
