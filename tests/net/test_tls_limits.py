"""What a hostile or slow peer costs: bounded memory, whatever it does."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from functools import cache
from pathlib import Path
from typing import Final, cast

import pytest

from sidecar.core import reasons
from sidecar.net.contexts import server_context
from sidecar.net.tls import TlsConnection
from sidecar.net.tlsbase import SLICE
from tests.fakes import Recorder, raw_pair, settle
from tests.net.kit import (
    End,
    client_end,
    connect,
    credentials,
    join,
    lax_client,
    openssl_files,
    orders,
    resident,
    server_end,
    web,
)

MIB: Final = 1048576


# --- 5,000 failed handshakes --------------------------------------------------------------------


async def fail(number: int) -> End:
    """One handshake that comes to nothing, in one of five ways."""
    server, peer = server_end(), Recorder()
    match number % 10:
        case 0:
            join(client := client_end(lax_client(None)), server)
            await settle(client.raw, server.raw)
            return server
        case 1:
            server.refuse = reasons.UNKNOWN_PEER
            join(client := client_end(), server)
            await settle(client.raw, server.raw)
            return server
        case 2 | 3 | 4:
            data = hello()[:-1]
        case 5 | 6 | 7:
            data = b"GET / HTTP/1.1\r\n\r\n"
        case _:
            data = b""
    left, server.raw = raw_pair(peer, server.tls)
    left.write(data)
    await settle(left, server.raw)
    server.tls.timed_out()
    await settle(left, server.raw)
    return server


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_five_thousand_failed_handshakes_leave_no_memory_behind() -> None:
    """The slope of memory over failures is flat: a flood of them fills nothing."""
    for number in range(2500):  # until the allocator has what it needs
        assert (await fail(number)).failures
    before = resident()
    for number in range(2500):
        await fail(number)
    assert resident() - before < MIB / 4  # a hundred bytes each would be seen


@cache
def hello() -> bytes:
    """The first flight of a client."""
    raw, _ = raw_pair(client_end().tls, Recorder())
    return bytes(raw.outbox)


# --- what a connection keeps --------------------------------------------------------------------


async def test_a_connection_that_was_busy_keeps_little() -> None:
    """The memory of OpenSSL's BIOs is never given back, so they must not have grown."""
    block = bytes(2 * MIB)

    async def work(pair: tuple[End, End]) -> None:
        client, server = pair
        client.tls.write(block)
        await settle(client.raw, server.raw)
        assert len(server.app.received) == len(block)
        server.app.received.clear()

    await work(await connect())  # what the test itself needs
    pairs = [await connect() for _ in range(40)]
    before = resident()
    for pair in pairs:
        await work(pair)
    assert resident() - before < len(pairs) * 5 * SLICE  # four BIOs of two ends


# --- a peer that makes OpenSSL talk and does not listen -----------------------------------------


class Relay(asyncio.Protocol):
    """A program's socket at one end of an in-memory connection; `near` is the program's side."""

    def __init__(self, tls: TlsConnection) -> None:
        self.back = Back()
        self.near, self.far = raw_pair(self.back, tls, high=300)
        self.arrived = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.back.socket = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.near.write(data)
        self.arrived.set()

    async def take_in(self) -> None:
        """Wait until the program has said something and pass it on."""
        await asyncio.wait_for(self.arrived.wait(), 10)
        self.arrived.clear()
        self.near.deliver()


class Back(asyncio.Protocol):
    """The way back to the program."""

    socket: asyncio.Transport

    def data_received(self, data: bytes) -> None:
        self.socket.write(data)


def start_client(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """OpenSSL's client, waiting for commands."""
    return subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *openssl_files(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.tool("openssl")
async def test_a_peer_that_asks_and_does_not_listen_is_not_read(tmp_path: Path) -> None:
    """Each KeyUpdate that asks for one makes OpenSSL answer; the answers must not pile up."""
    server = server_end()
    relay = Relay(server.tls)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: relay, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    program = start_client(port, web().write_folder(tmp_path))
    assert program.stdin is not None
    try:
        while not server.ready:
            await relay.take_in()
            relay.far.deliver()
        for _ in range(40):
            program.stdin.write(b"K\n")
            program.stdin.flush()
            await relay.take_in()
        assert not relay.far.is_reading()
        assert 300 < len(relay.far.outbox) < 400
        server.tls.pause_reading()
        server.tls.resume_reading()
        assert not relay.far.is_reading()
        relay.far.deliver()
        assert relay.far.is_reading()
    finally:
        program.kill()
        program.wait()
        program.stdin.close()
        listening.close()


def test_the_contexts_allow_no_renegotiation() -> None:
    options = server_context(credentials(orders()), "1.2").options
    assert options & ssl.OP_NO_RENEGOTIATION
    assert options & ssl.OP_NO_COMPRESSION
