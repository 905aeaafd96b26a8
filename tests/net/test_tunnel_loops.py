"""A tunnel between mutual TLS and a plain application, on real sockets and both loops."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

from sidecar.core import reasons
from sidecar.core.record import Record
from sidecar.net.tunnel import Tunnel
from tests.fakes import Recorder
from tests.net.kit import dial, resident, serving, until

MIB: Final = 1048576
GIB: Final = 1024 * MIB


class Doorway(asyncio.Protocol):
    """The mTLS side until the application is dialled, as a `tcp` listener does it."""

    def __init__(self, inside: Inside) -> None:
        self.inside = inside

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.pause_reading()
        self.task = asyncio.get_running_loop().create_task(self.dial())

    async def dial(self) -> None:
        upstream, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, "127.0.0.1", self.inside.port
        )
        upstream.pause_reading()
        record = Record("tcp", "inbound", "web", 0.0)
        self.inside.tunnel = Tunnel(self.transport, upstream, record, self.inside.done.set_result)
        self.inside.tunnel.start()


class Inside:
    """The application's port, and what became of the one tunnel to it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.tunnel: Tunnel
        self.done: asyncio.Future[Record] = asyncio.get_running_loop().create_future()


@asynccontextmanager
async def tunnelled(app: asyncio.Protocol, client: asyncio.Protocol) -> AsyncIterator[Inside]:
    """Connect `client`, over mTLS and through a tunnel, to the plain server `app`."""
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(lambda: app, "127.0.0.1", 0)
    inside = Inside(plain.sockets[0].getsockname()[1])
    try:
        async with serving(lambda: Doorway(inside)) as served:
            await dial(served.port, client)
            yield inside
    finally:
        plain.close()


class Answering(Recorder):
    """Answers when the other side has ended, as `nc` or a shell pipe would."""

    def eof_received(self) -> bool:
        super().eof_received()
        self.transport.write(b"you sent %d" % len(self.received))
        self.transport.write_eof()
        return True


async def test_half_close_from_the_client() -> None:
    app, client = Answering(), Recorder()
    async with tunnelled(app, client) as inside:
        client.transport.write(b"x" * 300_000)
        client.transport.write_eof()
        await until(lambda: client.eof)
        assert client.received == b"you sent 300000"
        client.transport.close()
        app.transport.close()
        record = await inside.done
    assert record.reason is None
    assert (record.bytes_in, record.bytes_out) == (300_000, 15)


async def test_half_close_from_the_application() -> None:
    app, client = Recorder(), Answering()
    async with tunnelled(app, client) as inside:
        client.transport.write(b"hello")
        await until(lambda: app.received)
        app.transport.write(b"y" * 300_000)
        app.transport.write_eof()
        await until(lambda: app.eof)
        assert app.received == b"helloyou sent 300000"
        client.transport.close()
        app.transport.close()
        record = await inside.done
    assert record.reason is None


async def test_abortive_close_of_the_client_resets_the_application() -> None:
    app, client = Recorder(), Recorder()
    async with tunnelled(app, client) as inside:
        client.transport.write(b"half a mess")
        await until(lambda: app.received)
        client.transport.abort()
        await app.closed.wait()
        record = await inside.done
    assert not app.eof
    assert isinstance(app.error, ConnectionResetError)
    assert record.reason is reasons.CLIENT_CLOSED


async def test_abortive_close_of_the_application_is_no_orderly_end_for_the_client() -> None:
    app, client = Recorder(), Recorder()
    async with tunnelled(app, client) as inside:
        client.transport.write(b"x")
        await until(lambda: app.received)
        app.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        app.transport.abort()
        await client.closed.wait()
        record = await inside.done
    assert not client.eof
    assert client.error is not None
    assert record.reason is reasons.UPSTREAM_CLOSED


async def test_bytes_before_an_abortive_close_are_delivered() -> None:
    """A client that forgets its goodbye has still sent what it sent."""
    app, client = Recorder(), Recorder()
    async with tunnelled(app, client) as inside:
        client.transport.write(b"z" * 50_000)
        client.transport.abort()
        await app.closed.wait()
        await inside.done
    assert len(app.received) in {0, 50_000}  # nothing, if even TCP had not carried it yet
    assert not app.eof


async def test_a_cut_reaches_both() -> None:
    app, client = Recorder(), Recorder()
    async with tunnelled(app, client) as inside:
        client.transport.write(b"x")
        await until(lambda: app.received)
        inside.tunnel.close(reasons.LIFETIME)
        record = await inside.done
        await client.closed.wait()
        await app.closed.wait()
        peers = inside.tunnel.peers
    assert record.reason is reasons.LIFETIME
    assert not app.eof
    assert not client.eof
    assert peers[1] == f"127.0.0.1:{inside.port}"


# --- 1 GiB past a stalled peer --------------------------------------------------------------------


class Source(Recorder):
    """Writes a GiB as fast as the connection takes it, then ends."""

    block: Final = bytes(MIB // 4)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.left = GIB
        self.pump()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.pump()

    def pump(self) -> None:
        while self.left and not self.paused:
            self.left -= len(self.block)
            self.transport.write(self.block)
        if not self.left:
            self.transport.write_eof()


class StallingSink(Recorder):
    """Stops reading after `until` bytes, and counts instead of keeping."""

    def __init__(self, until: int) -> None:
        super().__init__()
        self.until = until
        self.count = 0

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        if self.count >= self.until:
            self.until = GIB + 1
            self.transport.pause_reading()


async def test_threat_17_a_gibibyte_past_a_stalled_peer() -> None:
    """While the application reads nothing, nothing piles up; then every byte arrives."""
    app, client = StallingSink(16 * MIB), Source()
    before = resident()
    async with tunnelled(app, client) as inside:
        await until(lambda: app.until > GIB)
        waiting = client.left
        while True:  # until everything that has room is full
            await asyncio.sleep(0.05)
            if client.left == waiting:
                break
            waiting = client.left
        assert client.paused
        assert waiting > 900 * MIB
        assert resident() - before < 16 * MIB
        app.transport.resume_reading()
        await until(lambda: app.eof)
        assert app.count == GIB
        app.transport.close()
        client.transport.close()
        record = await inside.done
    assert record.bytes_in == GIB
    assert record.reason is None
    assert resident() - before < 16 * MIB
