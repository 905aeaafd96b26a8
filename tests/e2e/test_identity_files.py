"""What changes on disk is seen without a signal: the ways in which others write certificates."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certs import Leaf, TestCA
from tests.e2e.apps import WebApplication, website
from tests.e2e.clients import Http, context, refusal, secure
from tests.e2e.harness import Sidecar, Site, inbound, spiffe, until

WATCHING = {"reload_interval": 0.05}


@pytest.fixture(scope="module")
def web() -> Iterator[WebApplication]:
    with website() as application:
        yield application


@pytest.fixture
def starting(site: Site, web: WebApplication, request: pytest.FixtureRequest) -> Iterator[Sidecar]:
    """A sidecar whose certificates are missing."""
    folder = site.place(f"{request.node.name}")
    sidecar = site.start(folder, {"inbound": [inbound("web", web)], **WATCHING})
    yield sidecar
    sidecar.stop()


@pytest.fixture
def server(site: Site, web: WebApplication) -> Iterator[Sidecar]:
    sidecar = site.sidecar("web", {"inbound": [inbound("web", web)], **WATCHING})
    yield sidecar
    sidecar.stop()


def certs(sidecar: Sidecar) -> Path:
    return sidecar.folder / "certs"


def serial(server: Sidecar) -> int:
    """The serial number that `/identity` shows."""
    return int(json.loads(server.admin("/identity")[1])["serial"], 16)


def serves(server: Sidecar, leaf: Leaf) -> bool:
    """Whether the listener presents this certificate to a new client."""
    presented = secure(server.port("web"), context(leaf))
    with presented:
        return presented.getpeercert(binary_form=True) == leaf.der


def get(server: Sidecar, leaf: Leaf) -> int:
    with Http(secure(server.port("web"), context(leaf))) as http:
        return http.get("/").status


# --- missing at the start ---


def test_certificates_missing_at_start(starting: Sidecar, site: Site) -> None:
    """The admin port is up and says what is waited for; the listener opens when it is there."""
    status, body = starting.admin("/readyz")
    assert status == 503
    assert b"tls.crt" in body
    assert starting.admin("/livez")[0] == 200
    facts = starting.status()
    assert (facts["ready"], facts["generation"], facts["listeners"]) == (False, 0, {})
    assert any("tls.crt" in reason for reason in facts["reasons"])
    leaf = site.leaf("web")
    leaf.write_folder(certs(starting))
    until(starting.is_ready)
    assert get(starting, leaf) == 200


def test_certificates_come_one_file_after_the_other(starting: Sidecar, site: Site) -> None:
    """Each step names what is still missing, and none of them serves."""
    leaf = site.leaf("web")
    folder = certs(starting)
    folder.mkdir()
    for name, content, missing in (
        ("tls.crt", leaf.chain_pem, "tls.key"),
        ("tls.key", leaf.key_pem, "ca.crt"),
    ):
        (folder / name).write_bytes(content)
        until(lambda missing=missing: missing in starting.admin("/readyz")[1].decode())  # type: ignore[misc]
        assert not starting.is_ready()
    (folder / "ca.crt").write_bytes(leaf.trust_pem)
    until(starting.is_ready)


def test_stopped_while_it_waits(starting: Sidecar) -> None:
    """SIGTERM before there is anything to serve ends it in order."""
    starting.stop()
    assert starting.process.returncode == 0


def test_port_that_is_taken_at_start(site: Site, web: WebApplication) -> None:
    """A port that another process still holds: it is taken as soon as that one lets go."""
    folder = site.place("busy")
    site.leaf("web").write_folder(folder / "certs")
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        port = inbound("web", web, listen=address)
        sidecar = site.start(folder, {"inbound": [port], **WATCHING})
        assert address in str(sidecar.status()["reasons"])
    until(sidecar.is_ready)
    sidecar.stop()


# --- changes ---


def test_renewal(server: Sidecar, site: Site) -> None:
    """A renewed certificate is served to new clients; the open connection goes on."""
    friend = site.leaf("frontend")
    with Http(secure(server.port("web"), context(friend))) as http:
        assert http.get("/").status == 200
        renewed = site.leaf("web")
        renewed.write_folder(certs(server))
        until(lambda: serial(server) == renewed.cert.serial_number)
        assert serves(server, renewed)
        assert http.get("/").status == 200
    assert server.metric("sidecar_certificate_expiry_timestamp_seconds") == (
        renewed.cert.not_valid_after_utc.timestamp()
    )


def test_kubernetes_symlink_swap(starting: Sidecar, site: Site) -> None:
    """A Secret volume changes by one rename of a symlink, three times over."""
    for _ in range(3):
        leaf = site.leaf("web")
        leaf.write_secret(certs(starting))
        until(lambda leaf=leaf: starting.is_ready() and serial(starting) == leaf.cert.serial_number)  # type: ignore[misc]
        assert serves(starting, leaf)
    assert starting.metric("sidecar_config_generation") == 3


def test_torn_pair(server: Sidecar, site: Site) -> None:
    """Certificate written, key not yet: the old pair serves; then the new one does."""
    old, new = serial(server), site.leaf("web")
    (certs(server) / "tls.crt").write_bytes(new.chain_pem)
    until(lambda: "tls.key" in server.status()["last_failure"])
    assert serial(server) == old
    assert get(server, site.leaf("frontend")) == 200
    (certs(server) / "tls.key").write_bytes(new.key_pem)
    until(lambda: serial(server) == new.cert.serial_number)
    assert server.status()["last_failure"] == ""
    assert serves(server, new)


def test_only_the_trust_bundle_changes(server: Sidecar, site: Site) -> None:
    other = TestCA("demo.local").intermediate().leaf(spiffe("frontend"))
    assert refusal(server.port("web"), context(other)) != "closed"
    (certs(server) / "ca.crt").write_bytes(site.ca.root.pem + other.trust_pem)
    until(lambda: server.status()["generation"] == 2)
    assert get(server, other) == 200
    assert get(server, site.leaf("frontend")) == 200


def test_revocation_list_comes_changes_and_goes(server: Sidecar, site: Site) -> None:
    one, two = site.leaf("frontend"), site.leaf("orders")
    generations = iter(range(2, 10))

    def publish(content: bytes | None) -> None:
        path = certs(server) / "crl.pem"
        path.unlink() if content is None else path.write_bytes(content)
        generation = next(generations)
        until(lambda: server.status()["generation"] == generation, server.status)

    def let_in(leaf: Leaf) -> bool:
        return "revoked" not in refused(server, context(leaf))

    assert [let_in(one), let_in(two)] == [True, True]
    publish(site.ca.crls([one]))
    assert [let_in(one), let_in(two)] == [False, True]
    publish(site.ca.crls([one, two]))
    assert [let_in(one), let_in(two)] == [False, False]
    publish(None)
    assert [let_in(one), let_in(two)] == [True, True]


def refused(server: Sidecar, identity: ssl.SSLContext) -> str:
    """The error that a client gets, or nothing if it is served."""
    try:
        with Http(secure(server.port("web"), identity)) as http:
            assert http.get("/").status == 200
    except (ssl.SSLError, ConnectionError) as error:
        return str(error).lower()
    return ""


def test_revoked_issuer(server: Sidecar, site: Site) -> None:
    """The intermediate is revoked: all that it issued is refused (threat 15)."""
    frontend = context(site.leaf("frontend"))
    (certs(server) / "crl.pem").write_bytes(site.ca.crls([site.ca]))
    until(lambda: server.status()["generation"] == 2)
    assert "revoked" in refused(server, frontend)


def test_outdated_revocation_list(server: Sidecar, site: Site) -> None:
    """A list that has ended lets nobody in, and the log says so (threat 15)."""
    root = site.ca.root.crl()
    outdated = site.ca.crl(this_update=time.time() - 7200, next_update=time.time() - 3600)
    (certs(server) / "crl.pem").write_bytes(outdated + root)
    until(lambda: server.status()["generation"] == 2)
    log = server.watch()
    assert refusal(server.port("web"), context(site.leaf("frontend"))) != "closed"
    log.line(code="MTLS-E116")
    assert "crl.pem" in server.last_words()


def test_configuration_file_changes(server: Sidecar, site: Site, web: WebApplication) -> None:
    """A new listener, then a mistake, then the cure: each seen without a signal."""
    server.configure(inbound=[*server.config["inbound"], inbound("more", web)])
    until(lambda: "more" in server.status()["listeners"])
    server.write_config("inbound: [{}]")
    until(lambda: server.status()["last_failure"])
    facts = server.status()
    assert facts["ready"] is True
    assert facts["listeners"].keys() == {"web", "more"}
    assert "sidecar.yaml" in facts["last_failure"]
    assert get(server, site.leaf("frontend")) == 200
    server.configure()
    until(lambda: server.status()["last_failure"] == "")


def test_own_certificate_expires(site: Site, web: WebApplication) -> None:
    """Nobody renewed it: the sidecar says that it is not ready, and is again after a renewal."""
    folder = site.place("expiring")
    site.ca.leaf(spiffe("web"), not_after=time.time() + 2).write_folder(folder / "certs")
    sidecar = site.start(folder, {"inbound": [inbound("web", web)], **WATCHING})
    until(sidecar.is_ready)
    until(lambda: not sidecar.is_ready())
    assert b"expired" in sidecar.admin("/readyz")[1]
    site.leaf("web").write_folder(folder / "certs")
    until(sidecar.is_ready)
    sidecar.stop()
