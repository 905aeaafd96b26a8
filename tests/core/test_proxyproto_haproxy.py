"""The PROXY protocol header in front of its authors' own reader."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.core.proxyproto import LOCAL, TlsFacts, header

pytestmark = [
    pytest.mark.tool("haproxy"),
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed"),
]

FACTS = TlsFacts(
    "spiffe://demo.local/ns/shop/sa/web", "TLSv1.3", "TLS_AES_128_GCM_SHA256", alpn="redis",
    server_name="orders.shop", client_der=bytes(900),
)  # fmt: skip
CONFIG = """
defaults
  mode http
  timeout client 10s
frontend readback
  bind unix@{path} accept-proxy
  http-request return status 200 content-type text/plain lf-string \
"[%[src]]:%[src_port] [%[dst]]:%[dst_port] %[fc_pp_authority]"
"""


@pytest.fixture(scope="module")
def haproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A listener on a UNIX socket that answers with what it read from the header."""
    folder = tmp_path_factory.mktemp("haproxy")
    config = folder / "haproxy.cfg"
    config.write_text(CONFIG.format(path=folder / "in"))
    process = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(config)])
    try:
        while not (folder / "in").exists():
            assert process.poll() is None
            time.sleep(0.01)
        yield folder / "in"
    finally:
        process.terminate()
        process.wait()


def ask(path: Path, prefix: bytes) -> str:
    """The answer's body, or nothing where the header was refused."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        answer = b""
        try:
            sock.sendall(prefix + b"GET / HTTP/1.0\r\n\r\n")
            while chunk := sock.recv(4096):
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):
            return ""
    return answer.partition(b"\r\n\r\n")[2].decode()


def test_ipv4_and_server_name(haproxy: Path) -> None:
    sent = header(("192.0.2.1", 51000), ("192.0.2.2", 9443), FACTS)
    assert ask(haproxy, sent) == "[192.0.2.1]:51000 [192.0.2.2]:9443 orders.shop"


def test_ipv6_and_server_name(haproxy: Path) -> None:
    sent = header(("2001:db8::1", 51000), ("2001:db8::2", 9443), FACTS)
    assert ask(haproxy, sent) == "[2001:db8::1]:51000 [2001:db8::2]:9443 orders.shop"


def test_local(haproxy: Path) -> None:
    assert "192.0.2" not in ask(haproxy, LOCAL)
    assert ask(haproxy, LOCAL)


def test_without_or_with_a_broken_header_nothing_comes_back(haproxy: Path) -> None:
    sent = header(("192.0.2.1", 51000), ("192.0.2.2", 9443), FACTS)
    too_long = sent.replace(b"\x01\x00\x05redis", b"\x01\xff\xffredis")
    for broken in (b"", sent[1:], too_long):
        assert not ask(haproxy, broken)
