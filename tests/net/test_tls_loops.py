"""TLS on real sockets and both loops, with OpenSSL's own programs at the other end."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from sidecar.core import reasons
from tests.certs import Leaf
from tests.fakes import Recorder
from tests.net.kit import (
    client_side,
    credentials,
    dial,
    issuing_ca,
    lax_client,
    openssl_files,
    serving,
    until,
    web,
)


class Answering(Recorder):
    """Says how much it got, once the other side has ended."""

    def eof_received(self) -> bool:
        super().eof_received()
        self.transport.write(b"%d" % len(self.received))
        self.transport.close()
        return True


async def test_half_close_on_real_sockets() -> None:
    async with serving(Answering) as served:
        asking = Recorder()
        tls = await dial(served.port, asking)
        tls.write(b"x" * 500_000)
        tls.write_eof()
        await until(lambda: asking.eof)
        assert asking.received == b"500000"
        assert tls.get_extra_info("peername") == ("127.0.0.1", served.port)
        tls.close()
        await asking.closed.wait()
        assert asking.error is None


async def test_abortive_close_on_real_sockets() -> None:
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async with serving(make) as served:
        tls = await dial(served.port, Recorder())
        tls.write(b"x")
        await until(lambda: made and made[0].received)
        tls.abort()
        await made[0].closed.wait()
        assert made[0].error is not None
        assert not made[0].eof


# --- other programs at the other end ------------------------------------------------------------


async def output_of(*command: str, feed: bytes) -> str:
    """Run a program and return all that it printed."""

    def run() -> bytes:
        done = subprocess.run(
            command,
            input=feed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=20,
            check=False,
        )
        return done.stdout

    return (await asyncio.to_thread(run)).decode(errors="replace")


def s_client(port: int, folder: Path) -> list[str]:
    return [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{port}",
        "-ign_eof",
        *openssl_files(folder),
    ]


async def until_listening(port: int) -> None:
    """Wait until the kernel says so; a trial connection would use up the only one."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    await until(lambda: wanted in Path("/proc/net/tcp").read_text("ascii"))


class Echo(Recorder):
    """Answers once and closes."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(b"echo " + data)
        self.transport.close()


@pytest.mark.tool("openssl")
async def test_openssl_gets_its_echo(tmp_path: Path) -> None:
    folder = web().write_folder(tmp_path)
    async with serving(Echo) as served:
        printed = await output_of(
            *s_client(served.port, folder), "-verify_return_error", feed=b"hi\n"
        )
    assert "Verification: OK" in printed
    assert "TLSv1.3" in printed
    assert "echo hi" in printed


@pytest.mark.tool("gnutls-cli")
async def test_gnutls_gets_its_echo(tmp_path: Path) -> None:
    folder = web().write_folder(tmp_path)
    async with serving(Echo) as served:
        printed = await output_of(
            "gnutls-cli", "--port", str(served.port), "127.0.0.1", "--no-ca-verification",
            "--x509certfile", str(folder / "tls.crt"), "--x509keyfile", str(folder / "tls.key"),
            feed=b"hi\n",
        )  # fmt: skip
    assert "TLS1.3" in printed
    assert "echo hi" in printed
    assert not served.failures


def expired() -> Leaf:
    return issuing_ca().leaf(not_after=time.time() - 1)


@pytest.mark.tool("openssl")
async def test_openssl_is_told_why(tmp_path: Path) -> None:
    folder = expired().write_folder(tmp_path)
    async with serving(Recorder) as served:
        printed = await output_of(*s_client(served.port, folder), feed=b"hello\n" * 1000)
        await served.failed.wait()
    assert "alert certificate expired" in printed
    assert served.failures[0][0] is reasons.EXPIRED


@pytest.mark.tool("openssl")
async def test_a_server_of_openssl_answers_us(tmp_path: Path) -> None:
    folder = web().write_folder(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    arguments = [
        "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-rev", "-naccept", "1",
        "-Verify", "4", *openssl_files(folder),
    ]  # fmt: skip
    server = asyncio.create_task(output_of(*arguments, feed=b""))
    await until_listening(port)
    asking = Recorder()
    tls = await dial(port, asking)
    tls.write(b"stressed\n")
    await until(lambda: b"desserts" in asking.received)
    tls.write_eof()
    await server
    await until(lambda: asking.eof or asking.lost)
    tls.abort()
    await asking.closed.wait()


async def test_a_client_that_is_still_sending_reads_the_alert() -> None:
    """Closing at once would answer its bytes with a reset; it must read why it was refused."""

    def impatient(port: int) -> str:
        plain = socket.create_connection(("127.0.0.1", port))
        with lax_client(expired()).wrap_socket(plain) as tls:
            try:
                for _ in range(20):
                    tls.sendall(b"x" * 10_000)
                    time.sleep(0.001)
                tls.recv(1)
            except OSError as error:
                return str(getattr(error, "reason", error))
        return "nothing"

    async with serving(Recorder) as served:
        found = await asyncio.to_thread(impatient, served.port)
        assert "ALERT_CERTIFICATE_EXPIRED" in found
        await served.failed.wait()


# --- leaks --------------------------------------------------------------------------------------


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_flood_of_failing_handshakes_leaves_nothing_open() -> None:
    async with serving(Recorder) as served:

        async def attempt(number: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n" if number % 2 else b"\x16\x03\x01\x02\x00")
            if number % 3:
                writer.write_eof()
            else:
                writer.transport.abort()
            await reader.read()
            writer.close()

        await attempt(1)
        before = open_files()
        for number in range(300):
            await attempt(number)
        await until(lambda: len(served.failures) == 301)
        assert open_files() <= before
    assert {reason.code for reason, _ in served.failures} <= {
        reasons.NOT_TLS.code,
        reasons.HANDSHAKE_CLOSED.code,
    }


def test_what_the_kit_trusts_is_what_it_should() -> None:
    """The denied twin of all above: a stranger's bundle does not trust our server."""
    assert ssl.CERT_REQUIRED is client_side().verify_mode
    assert credentials(web()).trust_pem.count(b"BEGIN") == 1
