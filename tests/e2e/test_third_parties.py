"""Programs of others, at both ends: they were not written with us in mind."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.apps import WebApplication, answer_at_end, tcp, website
from tests.e2e.clients import plain
from tests.e2e.flaws import FLAWS
from tests.e2e.harness import Site, inbound, spiffe, until
from tests.e2e.pairs import Pair, start_pair
from tests.e2e.postgres import INITDB, Postgres, postgres

BLOB = os.urandom(1 << 20)
GET = b"GET /x HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def web() -> Iterator[WebApplication]:
    with website() as application:
        yield application


@pytest.fixture(scope="module")
def pair(site: Site, loop: str, web: WebApplication) -> Pair:
    return start_pair(site, "http", {"web": web}, loop=loop)


@pytest.fixture(scope="module")
def friend(site: Site) -> Path:
    """The folder of a certificate that the inbound side lets in."""
    return site.leaf("friend").write_folder(site.folder / "friend")


# --- GnuTLS ---


def gnutls(port: int, folder: Path, said: bytes, *more: str) -> subprocess.CompletedProcess[bytes]:
    """gnutls-cli with an identity folder; at the end of its input it ends its direction."""
    own = ["--x509certfile", f"{folder}/tls.crt", "--x509keyfile", f"{folder}/tls.key"]
    command = ["gnutls-cli", "--insecure", *own, *more, "-p", str(port), "127.0.0.1"]
    return subprocess.run(command, input=said, capture_output=True, timeout=30)


@pytest.mark.tool("gnutls-cli")
def test_gnutls(pair: Pair, friend: Path) -> None:
    done = gnutls(pair.there.port("web"), friend, GET)
    assert b"HTTP/1.1 200 OK" in done.stdout, done.stderr
    assert b"(TLS1.3-X.509)" in done.stdout


@pytest.mark.tool("gnutls-cli")
def test_gnutls_half_close(pair: Pair, friend: Path) -> None:
    """An answer that the application gives after the end of the question is kept."""
    with tcp(answer_at_end) as application:
        pair.there.configure(
            inbound=[*pair.there.config["inbound"], inbound("end", application, "tcp")]
        )
        pair.there.reload()
        done = gnutls(pair.there.port("end"), friend, b"question")
    assert hashlib.sha256(b"question").hexdigest().encode() in done.stdout


@pytest.mark.tool("gnutls-cli")
@pytest.mark.parametrize(
    ("name", "alert"),
    [("expired", b"expired"), ("foreign CA", b"CA is unknown"), ("two URIs", b"")],
)
def test_gnutls_refused(pair: Pair, site: Site, tmp_path: Path, name: str, alert: bytes) -> None:
    folder = FLAWS[name][1](site.ca).write_folder(tmp_path)
    done = gnutls(pair.there.port("web"), folder, GET)
    assert b"HTTP/" not in done.stdout
    assert alert in done.stdout + done.stderr


@pytest.mark.tool("gnutls-cli")
def test_gnutls_without_tls13(pair: Pair, friend: Path) -> None:
    done = gnutls(pair.there.port("web"), friend, GET, "--priority", "NORMAL:-VERS-TLS1.3")
    assert done.returncode != 0
    assert b"HTTP/" not in done.stdout


# --- requests ---


def test_requests_through_the_pair(pair: Pair) -> None:
    """Upload, chunked download, HEAD and redirects of a session that keeps its connections."""
    base = f"http://127.0.0.1:{pair.here.port('web')}"
    with requests.Session() as session:
        assert session.post(f"{base}/x", data=BLOB, timeout=10).json()["length"] == len(BLOB)
        size = len(session.get(f"{base}/blob/1000000?chunked", timeout=10).content)
        assert size == 1_000_000
        assert session.head(f"{base}/blob/5", timeout=10).headers["content-length"] == "5"


def test_requests_with_a_client_certificate(site: Site, web: WebApplication) -> None:
    """requests verifies our server by its DNS name and our bundle, and shows its certificate."""
    folder = site.place("named")
    site.ca.leaf(spiffe("web"), dns=["localhost"]).write_folder(folder / "certs")
    allow = [{"from": [spiffe("friend")], "paths": ["/open/**"]}]
    sidecar = site.start(folder, {"inbound": [inbound("web", web, allow=allow)]})
    until(sidecar.is_ready)
    base = f"https://localhost:{sidecar.port('web')}"
    friend, stranger = (site.leaf(name).write_folder(folder / name) for name in ("friend", "other"))
    trust = str(friend / "ca.crt")

    def get(who: Path, path: str) -> int:
        pair = (f"{who}/tls.crt", f"{who}/tls.key")
        return requests.get(f"{base}{path}", cert=pair, verify=trust, timeout=10).status_code

    assert get(friend, "/open/x") == 200
    assert get(friend, "/closed") == 403
    assert get(stranger, "/open/x") == 403
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"{base}/open/x", verify=trust, timeout=10)
    sidecar.stop()


# --- Redis and PostgreSQL over TCP ---


@pytest.fixture(scope="module")
def redis(site: Site) -> Iterator[str]:
    """A Redis server of our own on a UNIX socket."""
    path = site.folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "",
               "--dir", str(site.folder)]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until(path.exists, "redis")
    yield f"unix:{path}"
    server.send_signal(signal.SIGTERM)
    server.wait(10)


@pytest.mark.tool("redis-server")
def test_redis(site: Site, loop: str, redis: str) -> None:
    pair = start_pair(site, "tcp", {"redis": redis}, loop=loop)
    with plain(pair.here.port("redis")) as connection:
        assert say(connection, b"PING\r\n", b"+PONG\r\n")
        value = os.urandom(1 << 20)
        put = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%b\r\n" % (len(value), value)
        assert say(connection, put, b"+OK\r\n")
        assert say(connection, b"GET k\r\n", b"$%d\r\n%b\r\n" % (len(value), value))
        assert say(connection, b"PING\r\n" * 1000, b"+PONG\r\n" * 1000)


def say(connection: socket.socket, words: bytes, answer: bytes) -> bool:
    """Whether `words` get exactly `answer`."""
    connection.sendall(words)
    got = b""
    while len(got) < len(answer):
        got += connection.recv(1 << 16)
    return got == answer


@pytest.fixture(scope="module")
def database(site: Site) -> Iterator[Postgres]:
    with postgres(site.folder) as server:
        yield server


@pytest.mark.tool("psql")
@pytest.mark.tool(INITDB)
def test_postgresql(site: Site, loop: str, database: Postgres) -> None:
    pair = start_pair(site, "tcp", {"db": database.address}, loop=loop)
    rows = "select g, repeat(md5(g::text), 10) from generate_series(1, 10000) g"
    here = database.query(pair.here.port("db"), rows)
    assert here.count("\n") == 10_000
    assert here == database.query(database.port, rows)
    copied = database.query(
        pair.here.port("db"),
        "create temp table t(a int, b text);"
        f" insert into t {rows}; select count(*), sum(length(b)) from t",
    )
    assert copied.splitlines()[-1] == "10000|3200000"
