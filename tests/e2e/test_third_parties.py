"""Programs of others, at both ends: they were not written with us in mind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.apps import WebApplication, website
from tests.e2e.clients import plain
from tests.e2e.harness import Site, until
from tests.e2e.pairs import Pair, start_pair
from tests.e2e.postgres import Postgres, postgres

BLOB = os.urandom(1 << 20)


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


def run(*command: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=data, capture_output=True, timeout=30)


# --- openssl ---


def s_client(port: int, *more: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return run(
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{port}",
        "-quiet",
        "-ign_eof",
        *more,
        data=data,
    )


@pytest.mark.tool("openssl")
def test_openssl_and_its_twins(pair: Pair, friend: Path, site: Site) -> None:
    port = pair.there.port("web")
    ask = b"GET /x HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
    good = s_client(port, *own(friend), data=ask)
    assert b"HTTP/1.1 200 OK" in good.stdout, good.stderr
    past = site.ca.leaf("spiffe://demo.local/ns/shop/sa/old", not_before=1.6e9, not_after=1.7e9)
    folder = past.write_folder(site.folder / f"old-{pair.there.process.pid}")
    assert b"certificate expired" in s_client(port, *own(folder), data=ask).stderr
    assert b"certificate required" in s_client(port, data=ask).stderr
    assert b"alert protocol version" in s_client(port, "-tls1_2", *own(friend), data=ask).stderr


def own(folder: Path) -> list[str]:
    """The options for the certificate in a folder, its chain and its key."""
    chain = f"{folder}/tls.crt"
    return ["-cert", chain, "-cert_chain", chain, "-key", f"{folder}/tls.key"]


@pytest.mark.tool("gnutls-cli")
def test_a_second_tls_stack(pair: Pair, friend: Path) -> None:
    done = run(
        "gnutls-cli", "--insecure", "--x509certfile", f"{friend}/tls.crt", "--x509keyfile",
        f"{friend}/tls.key", "-p", str(pair.there.port("web")), "127.0.0.1",
        data=b"GET /x HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n",
    )  # fmt: skip
    assert b"HTTP/1.1 200 OK" in done.stdout, done.stderr


# --- requests ---


def test_requests(pair: Pair, friend: Path) -> None:
    with requests.Session() as session:
        plain_url = f"http://127.0.0.1:{pair.here.port('web')}"
        assert session.post(f"{plain_url}/x", data=BLOB, timeout=10).json()["length"] == len(BLOB)
        size = len(session.get(f"{plain_url}/blob/1000000?chunked", timeout=10).content)
        assert size == 1_000_000
        assert session.head(f"{plain_url}/blob/5", timeout=10).headers["content-length"] == "5"


# --- Redis and PostgreSQL over TCP ---


@pytest.fixture(scope="module")
def redis(site: Site) -> Iterator[str]:
    """A Redis server of our own on a UNIX socket."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    path = site.folder / "redis.sock"
    command = [
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--save",
        "",
        "--dir",
        str(site.folder),
    ]
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
