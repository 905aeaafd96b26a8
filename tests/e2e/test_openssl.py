"""`openssl s_client` as a third-party TLS stack: what it sees, and what it is told when refused."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certs import TestCA
from tests.e2e import apps
from tests.e2e.apps import tcp, website
from tests.e2e.flaws import FLAWS
from tests.e2e.harness import Sidecar, Site, inbound, spiffe, until

pytestmark = pytest.mark.tool("openssl")

GET = b"GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Sidecar]:
    with website() as web, tcp(apps.answer_at_end) as end:
        ports = [inbound("web", web), inbound("end", end, "tcp")]
        yield site.sidecar("web", {"inbound": ports})


@pytest.fixture(scope="module")
def old(site: Site) -> Iterator[Sidecar]:
    """A server that speaks TLS 1.2 as well."""
    with website() as web:
        yield site.sidecar("web", {"inbound": [inbound("web", web)], "tls": {"min_version": "1.2"}})


class Client:
    """s_client with one identity folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(
        self, sidecar: Sidecar, *args: object, said: bytes = GET, listener: str = "web", **how: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Connect, say something, read to the end; `-ign_eof` waits for the answer."""
        own = ["-cert", self._folder / "tls.crt", "-key", self._folder / "tls.key",
               "-cert_chain", self._folder / "tls.crt"]  # fmt: skip
        address = f"127.0.0.1:{sidecar.port(listener)}"
        command = ["openssl", "s_client", "-connect", address, "-CAfile", self._folder / "ca.crt",
                   "-ign_eof", *own, *args]  # fmt: skip
        words = [str(word) for word in command]
        return subprocess.run(words, input=said, capture_output=True, timeout=30, **how)


@pytest.fixture(scope="module")
def friend(site: Site) -> Client:
    return Client(site.leaf("frontend").write_folder(site.folder / "openssl"))


def test_request(server: Sidecar, friend: Client) -> None:
    """TLS 1.3, the chain verified with our bundle, the request answered."""
    done = friend.run(server)
    assert b"HTTP/1.1 200 OK" in done.stdout
    assert b"New, TLSv1.3" in done.stdout
    assert b"Verify return code: 0 (ok)" in done.stdout


def test_answer_after_the_end(server: Sidecar, friend: Client) -> None:
    """s_client ends its direction and waits: the application sees the end and can still answer.

    (It does not print what comes after its own end; gnutls-cli does.)
    """
    log = server.watch()
    assert friend.run(server, "-no_ign_eof", listener="end", said=b"question\n").returncode == 0
    line = log.line(listener="end", bytes_in=9)
    assert (line["code"], line["bytes_out"]) == ("-", 66)


def refusals() -> list[Any]:
    words = {
        "expired": "certificate expired",
        "not yet valid": "bad certificate",
        "foreign CA": "unknown ca",
        "path length": "",
        "name constraint": "",
        "two URIs": "",
        "foreign trust domain": "",
    }
    return [pytest.param(name, text, id=name) for name, text in words.items()]


@pytest.mark.parametrize(("name", "text"), refusals())
def test_refusal(server: Sidecar, site: Site, tmp_path: Path, name: str, text: str) -> None:
    """OpenSSL's reasons come as alerts in words; ours end the connection. None gets an answer."""
    code, make = FLAWS[name]
    log = server.watch()
    done = Client(make(site.ca).write_folder(tmp_path)).run(server)
    assert b"HTTP/" not in done.stdout
    assert text in done.stderr.decode()
    log.line(listener="web", code=code)


def test_revoked_is_said(site: Site, friend: Client, tmp_path: Path) -> None:
    bad = site.leaf("frontend")
    with website() as web:
        sidecar = site.sidecar("web", {"inbound": [inbound("web", web)]})
        (sidecar.folder / "certs" / "crl.pem").write_bytes(site.ca.crls([bad]))
        sidecar.reload()
        assert b"HTTP/1.1 200 OK" in friend.run(sidecar).stdout
        done = Client(bad.write_folder(tmp_path)).run(sidecar)
        assert b"alert certificate revoked" in done.stderr
        assert b"HTTP/" not in done.stdout
        sidecar.stop()


def test_no_certificate(server: Sidecar) -> None:
    address = f"127.0.0.1:{server.port('web')}"
    done = subprocess.run(
        ["openssl", "s_client", "-connect", address, "-ign_eof"],
        input=GET, capture_output=True, timeout=30,
    )  # fmt: skip
    assert b"certificate required" in done.stderr
    assert b"HTTP/" not in done.stdout


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_1"])
def test_older_tls_is_refused(server: Sidecar, friend: Client, version: str) -> None:
    log = server.watch()
    done = friend.run(server, version, "-cipher", "DEFAULT:@SECLEVEL=0")
    assert b"protocol version" in done.stderr
    assert b"HTTP/" not in done.stdout
    log.line(listener="web", code="MTLS-E121")


def test_tls12_by_configuration(old: Sidecar, friend: Client) -> None:
    done = friend.run(old, "-tls1_2")
    assert b"HTTP/1.1 200 OK" in done.stdout
    assert re.search(rb"Cipher is ECDHE-ECDSA-(AES|CHACHA)", done.stdout)


@pytest.mark.parametrize(
    "cipher", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-CCM8"]
)
def test_weak_suites_are_refused(old: Sidecar, friend: Client, cipher: str) -> None:
    """No CBC, no key exchange without forward secrecy, whatever the version allows."""
    done = friend.run(old, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    assert b"HTTP/" not in done.stdout
    assert b"handshake failure" in done.stderr


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_no_session_outlives_its_connection(
    old: Sidecar, friend: Client, tmp_path: Path, version: str
) -> None:
    """Nothing to resume is handed out: each connection is checked in full (threats 1 and 2)."""
    session = tmp_path / "session"
    first = friend.run(old, version, "-sess_out", session)
    assert b"HTTP/1.1 200 OK" in first.stdout
    again = ["-sess_in", session] if session.exists() else ["-reconnect"]
    second = friend.run(
        old, version, *again, "-no_ign_eof" if again == ["-reconnect"] else "-quiet"
    )
    assert b"Reused, " not in first.stdout + second.stdout


def test_session_of_one_who_is_refused_now(site: Site, tmp_path: Path) -> None:
    """The trust changes between two connections of a client that tries to resume."""
    with website() as web:
        sidecar = site.sidecar("web", {"inbound": [inbound("web", web)]})
        friend = Client(site.leaf("frontend").write_folder(tmp_path / "friend"))
        session = tmp_path / "session"
        assert b"HTTP/1.1 200 OK" in friend.run(sidecar, "-sess_out", session).stdout
        other = TestCA("demo.local").intermediate()
        (sidecar.folder / "certs" / "ca.crt").write_bytes(other.root.pem)
        sidecar.reload()
        resume = ["-sess_in", session] if session.exists() else []
        done = friend.run(sidecar, *resume)
        assert b"HTTP/" not in done.stdout
        assert b"unknown ca" in done.stderr
        sidecar.stop()


def test_early_data_is_not_taken(server: Sidecar, friend: Client, tmp_path: Path) -> None:
    """0-RTT would be served before the peer is known (threat 16)."""
    (tmp_path / "early").write_bytes(GET)
    done = friend.run(server, "-early_data", tmp_path / "early")
    assert b"Early data was accepted" not in done.stdout


def test_renegotiation_is_refused(old: Sidecar, friend: Client) -> None:
    """R on a line of its own makes s_client renegotiate TLS 1.2."""
    done = friend.run(old, "-tls1_2", "-no_ign_eof", said=b"R\n" + GET)
    assert b"HTTP/1.1 200" not in done.stdout
    until(lambda: old.metric("sidecar_connections_open") == 0)


def test_server_chain(server: Sidecar, friend: Client) -> None:
    """The leaf comes with its intermediate, and the leaf names the workload."""
    done = friend.run(server, "-showcerts")
    certificates = done.stdout.count(b"-----BEGIN CERTIFICATE-----")
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-ext", "subjectAltName"],
        input=done.stdout, capture_output=True, timeout=30,
    )  # fmt: skip
    assert certificates >= 2
    assert spiffe("web").encode() in shown.stdout
