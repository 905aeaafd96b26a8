"""curl as a third-party client: of a pair, and of the inbound side over mutual TLS."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.apps import WebApplication, blob, website
from tests.e2e.harness import Site, inbound, spiffe
from tests.e2e.pairs import Pair, start_pair

pytestmark = pytest.mark.tool("curl")


@pytest.fixture(scope="module")
def web() -> Iterator[WebApplication]:
    with website() as application:
        yield application


@pytest.fixture(scope="module")
def pair(site: Site, web: WebApplication) -> Pair:
    made = start_pair(site, "http", {"web": web})
    rules = [{"from": [spiffe("frontend")], "paths": ["/public/**"]}]
    ports = [*made.there.config["inbound"], inbound("strict", web, allow=rules)]
    made.there.configure(inbound=ports)
    made.there.reload()
    return made


@pytest.fixture(scope="module")
def certs(site: Site) -> Path:
    """An identity folder: it has a name that curl can verify, too."""
    leaf = site.ca.leaf(spiffe("frontend"), dns=["localhost"])
    return leaf.write_folder(site.folder / "curl")


@pytest.fixture(scope="module")
def identity(certs: Path) -> list[str]:
    # The server's name is its SPIFFE ID, which curl cannot compare: so --insecure, and the trust
    # bundle is tested where the server has a DNS name as well.
    return ["--cert", f"{certs}/tls.crt", "--key", f"{certs}/tls.key", "--insecure"]


def curl(*args: object) -> subprocess.CompletedProcess[bytes]:
    command = ["curl", "--silent", "--show-error", "--max-time", "30", *map(str, args)]
    return subprocess.run(command, capture_output=True, timeout=60)


def facts(*args: object) -> dict[str, Any]:
    done = curl("--fail", *args)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_through_the_pair(pair: Pair) -> None:
    seen = facts(f"http://127.0.0.1:{pair.here.port('web')}/hello?x=1")
    assert (seen["method"], seen["target"]) == ("GET", "/hello?x=1")


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
def test_versions(pair: Pair, identity: list[str], version: str) -> None:
    """HTTP/2 is not offered by ALPN, so curl falls back to 1.1 by itself."""
    url = f"https://127.0.0.1:{pair.there.port('web')}/"
    assert facts(version, *identity, url)["method"] == "GET"


def test_several_requests_on_one_connection(pair: Pair, identity: list[str]) -> None:
    base = f"https://127.0.0.1:{pair.there.port('web')}"
    before = pair.there.metric("sidecar_connections_total", listener="web")
    done = curl(*identity, "--write-out", "%{http_code} %{num_connects}\n", "--output", "/dev/null",
                "--output", "/dev/null", f"{base}/a", f"{base}/b")  # fmt: skip
    assert done.stdout == b"200 1\n200 0\n"
    assert pair.there.metric("sidecar_connections_total", listener="web") == before + 1


@pytest.mark.parametrize("chunked", [False, True])
def test_upload(pair: Pair, identity: list[str], tmp_path: Path, chunked: bool) -> None:
    """curl asks to go on (100-continue) before it sends that much."""
    data = blob(5_000_000)
    (tmp_path / "data").write_bytes(data)
    coding = ["--header", "transfer-encoding: chunked"] if chunked else []
    url = f"https://127.0.0.1:{pair.there.port('web')}/up"
    seen = facts(*identity, *coding, "--upload-file", tmp_path / "data", url)
    assert (seen["method"], seen["length"]) == ("PUT", len(data))
    assert seen["sha256"] == hashlib.sha256(data).hexdigest()


def test_download(pair: Pair, identity: list[str]) -> None:
    done = curl(*identity, f"https://127.0.0.1:{pair.there.port('web')}/blob/5000000")
    assert done.stdout == blob(5_000_000)


def test_head(pair: Pair, identity: list[str]) -> None:
    done = curl(*identity, "--head", f"https://127.0.0.1:{pair.there.port('web')}/blob/77")
    assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 77\r\n" in done.stdout.lower()


def test_denied_path(pair: Pair, identity: list[str]) -> None:
    base = f"https://127.0.0.1:{pair.there.port('strict')}"
    assert facts(*identity, f"{base}/public/x")["target"] == "/public/x"
    done = curl(*identity, "--include", f"{base}/private")
    assert done.stdout.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"x-sidecar-reason: MTLS-E202\r\n" in done.stdout
    dotted = curl(*identity, "--path-as-is", "--include", f"{base}/public/../private")
    assert dotted.stdout.startswith(b"HTTP/1.1 400 ")


def test_no_certificate(pair: Pair) -> None:
    """curl's own message names the cause."""
    done = curl("--insecure", f"https://127.0.0.1:{pair.there.port('web')}/")
    assert done.returncode != 0
    assert b"certificate required" in done.stderr


def test_expired_certificate(pair: Pair, site: Site, tmp_path: Path) -> None:
    site.ca.leaf(spiffe("frontend"), not_after=time.time() - 10).write_folder(tmp_path)
    done = curl("--insecure", "--cert", tmp_path / "tls.crt", "--key", tmp_path / "tls.key",
                f"https://127.0.0.1:{pair.there.port('web')}/")  # fmt: skip
    assert done.returncode != 0
    assert b"certificate expired" in done.stderr


def test_plain_http_against_the_mtls_port(pair: Pair) -> None:
    done = curl(f"http://127.0.0.1:{pair.there.port('web')}/")
    assert done.returncode != 0
    assert done.stdout == b""


def test_trust_bundle(site: Site, web: WebApplication, certs: Path) -> None:
    """A server with a DNS name is verified by curl with our `ca.crt`; with another it is not."""
    folder = site.place("named")
    named = site.ca.leaf(spiffe("web"), dns=["localhost"])
    named.write_folder(folder / "certs")
    sidecar = site.start(folder, {"inbound": [inbound("web", web)]})
    own = ["--cert", certs / "tls.crt", "--key", certs / "tls.key"]
    url = f"https://localhost:{sidecar.port('web')}/"
    address = ["--connect-to", f"localhost::127.0.0.1:{sidecar.port('web')}"]
    assert facts(*own, *address, "--cacert", certs / "ca.crt", url)["method"] == "GET"
    assert curl(*own, *address, url).returncode == 60  # CURLE_PEER_FAILED_VERIFICATION
    sidecar.stop()


def test_websocket_handshake(pair: Pair, identity: list[str]) -> None:
    """curl asks for an upgrade and gets its 101, made for its key."""
    url = f"https://127.0.0.1:{pair.there.port('web')}/socket"
    headers = [
        "connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ]  # fmt: skip
    flags = [flag for header in headers for flag in ("--header", header)]
    done = curl(*identity, "--http1.1", "--include", "--max-time", "1", *flags, url)
    assert done.stdout.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in done.stdout  # RFC 6455 section 1.3
