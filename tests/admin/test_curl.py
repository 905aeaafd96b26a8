"""The admin port as people use it."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator

import pytest

from sidecar.admin.server import AdminServer
from tests.fakes import FakeSubject

pytestmark = [
    pytest.mark.tool("curl"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


@pytest.fixture
def subject() -> FakeSubject:
    return FakeSubject()


@pytest.fixture
async def base(subject: FakeSubject) -> AsyncIterator[str]:
    sock = socket.create_server(("127.0.0.1", 0))
    server = await AdminServer.start(sock, subject, "all")
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.close()


async def curl(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", *arguments,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_pages_one_after_another(base: str) -> None:
    output = await curl(f"{base}/livez", f"{base}/readyz", "-w", "%{http_code} %{num_connects}\n")
    assert output == "ok\n200 1\nok\n200 0\n"


async def test_readiness_as_json(base: str) -> None:
    output = await curl("-H", "Accept: application/json", f"{base}/readyz")
    assert json.loads(output)["ready"] is True


async def test_head(base: str) -> None:
    output = await curl("-I", f"{base}/livez")
    assert output.startswith("HTTP/1.1 200 OK\r\n")
    assert "Content-Length: 3\r\n" in output


async def test_an_offer_of_http_2_is_declined(base: str) -> None:
    output = await curl("--http2", "-w", "%{http_version}", f"{base}/livez")
    assert output == "ok\n1.1"


async def test_drain(base: str, subject: FakeSubject) -> None:
    assert await curl("-o", "/dev/null", "-w", "%{http_code}", f"{base}/drain") == "405"
    assert subject.acts == []
    assert await curl("-X", "POST", f"{base}/drain") == "draining\n"
    assert await curl("-d", "now=1", f"{base}/quitquitquit") == "bye\n"
    assert subject.acts == ["drain", "quit"]


async def test_threat_32_another_name_gets_nothing(base: str, subject: FakeSubject) -> None:
    port = base.rpartition(":")[2]
    rebound = ("--resolve", f"evil.example:{port}:127.0.0.1", "-X", "POST")
    status = await curl(
        *rebound, "-o", "/dev/null", "-w", "%{http_code}", f"http://evil.example:{port}/drain"
    )
    assert status == "403"
    assert subject.acts == []
