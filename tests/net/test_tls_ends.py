"""How a TLS connection ends: half, whole, in order or not. Nothing is lost and nothing invented."""

from __future__ import annotations

import ssl

import pytest

from sidecar.core import reasons
from sidecar.net.contexts import reason_of
from sidecar.net.tls import TruncatedError
from tests.fakes import Recorder
from tests.net.kit import arrive, connect, pattern, server_end


@pytest.mark.parametrize("ends_first", ["client", "server"])
async def test_half_close(ends_first: str) -> None:
    ends = await connect()
    first, second = ends if ends_first == "client" else ends[::-1]
    first.tls.write(b"question")
    first.tls.write_eof()
    await arrive(*ends)
    assert second.app.received == b"question"
    assert second.app.eof
    assert not second.app.lost
    assert not first.raw.eof_written  # only TLS has ended
    second.tls.write(pattern(100_000))
    second.tls.write_eof()
    await arrive(*ends)
    assert first.app.received == pattern(100_000)
    assert first.app.eof
    first.tls.close()
    second.tls.close()
    await arrive(*ends)
    assert [end.app.error for end in ends] == [None, None]
    assert first.app.lost
    assert second.app.lost


async def test_a_peer_that_half_closes_tcp_as_well_gets_its_answer() -> None:
    client, server = await connect()
    client.tls.write_eof()
    client.raw.write_eof()
    await arrive(client, server)
    assert server.app.eof
    assert not server.app.lost
    server.tls.write(b"the answer")
    server.tls.close()
    await arrive(client, server)
    assert client.app.received == b"the answer"
    assert server.app.error is None


async def test_nothing_can_be_written_after_the_end() -> None:
    client, server = await connect()
    client.tls.write_eof()
    client.tls.write_eof()  # once more is no harm
    with pytest.raises(RuntimeError, match="after write_eof"):
        client.tls.write(b"x")
    client.tls.close()
    client.tls.write(b"x")  # as in asyncio: bytes for a closed connection go nowhere
    await arrive(client, server)
    assert not server.app.received


async def test_a_protocol_that_does_not_stay_open_is_closed_at_the_end() -> None:
    server = server_end()
    server.protocol = Recorder(keep_open=False)
    client, server = await connect(server=server)
    client.tls.write_eof()
    await arrive(client, server)
    assert server.app.lost
    assert client.app.eof
    assert not client.app.error


@pytest.mark.parametrize("records", [0, 1, 3])
@pytest.mark.parametrize("ended", [False, True])
async def test_ending_with_unread_records_loses_none(records: int, ended: bool) -> None:
    """SSL_shutdown throws away what is in the BIO, unless it has been decrypted before."""

    class Ender(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write_eof()
            self.transport.pause_reading()

    server = server_end()
    server.protocol = Ender()
    client, server = await connect(server=server)
    for size in range(1, records + 2):
        client.tls.write(pattern(size * 1000))
    if ended:
        client.tls.write_eof()
    await arrive(client, server)
    assert client.app.eof
    for _ in range(records + 1):
        server.tls.resume_reading()
        await arrive(client, server)
    assert server.app.received == b"".join(pattern(n * 1000) for n in range(1, records + 2))
    server.tls.resume_reading()
    await arrive(client, server)
    assert server.app.eof is ended


async def test_ending_while_paused_with_nothing_but_the_peers_end_unread() -> None:
    client, server = await connect()
    server.tls.pause_reading()
    client.tls.write_eof()
    server.tls.data_received(bytes(client.raw.outbox))  # one chunk too late, as it may be
    client.raw.outbox.clear()
    server.tls._feed()
    server.tls.write_eof()
    assert not server.app.eof
    server.tls.resume_reading()
    await arrive(client, server)
    assert server.app.eof


async def test_a_reset_after_the_end_is_noticed_by_one_who_was_paused() -> None:
    client, server = await connect()
    server.tls.pause_reading()
    client.tls.write_eof()
    server.tls.data_received(bytes(client.raw.outbox))
    client.raw.outbox.clear()
    server.tls.resume_reading()
    await arrive(client, server)
    client.tls.abort()
    await arrive(client, server)
    assert server.app.eof
    assert isinstance(server.app.error, ConnectionResetError)


async def test_closing_says_goodbye_and_drops_what_was_not_read() -> None:
    client, server = await connect()
    server.tls.pause_reading()
    client.tls.write(b"unread")
    await arrive(client, server)
    server.tls.write(b"last words")
    server.tls.close()
    server.tls.close()
    assert server.tls.is_closing()
    await arrive(client, server)
    assert server.app.lost
    assert not server.app.received
    assert client.app.received == b"last words"
    assert client.app.eof


async def test_closing_in_the_middle_of_what_came_still_says_goodbye() -> None:
    class Closer(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.close()

    server = server_end()
    server.protocol = Closer()
    client, server = await connect(server=server)
    client.tls.writelines([b"first"])
    client.tls.write(b"second")
    await arrive(client, server)
    assert server.app.received == b"first"
    assert client.app.eof
    assert not isinstance(client.app.error, ssl.SSLError)


@pytest.mark.parametrize("wrote", [b"", b"half a message"])
async def test_an_end_without_goodbye_is_a_loss(wrote: bytes) -> None:
    client, server = await connect()
    client.tls.write(wrote)
    client.raw.write_eof()
    await arrive(client, server)
    assert server.app.received == wrote
    assert not server.app.eof
    assert isinstance(server.app.error, TruncatedError)
    assert reason_of(server.app.error)[0] is reasons.HANDSHAKE_CLOSED


async def test_a_reset_is_passed_on() -> None:
    client, server = await connect()
    client.tls.abort()
    await arrive(client, server)
    assert isinstance(server.app.error, ConnectionResetError)
    assert client.app.lost


async def test_bytes_after_the_peers_end_are_dropped() -> None:
    client, server = await connect()
    client.tls.write_eof()
    await arrive(client, server)
    client.raw.write(b"\x17\x03\x03\x00\x05junk!" * 1000)
    await arrive(client, server)
    assert server.app.eof
    assert not server.app.lost
    assert not server.tls._rest, "kept what nobody will read"
    server.tls.write(b"still here")
    await arrive(client, server)
    assert client.app.received == b"still here"


@pytest.mark.parametrize("at", [0, 3, 5, 20])
async def test_a_flipped_byte_ends_the_stream_and_is_named(at: int) -> None:
    client, server = await connect()
    client.tls.write(b"x" * 100)
    client.raw.outbox[at] ^= 0x40
    client.raw.write_eof()
    await arrive(client, server)
    assert server.app.lost
    assert not server.app.received
    assert server.app.error is not None
    if at == 20:
        assert reason_of(server.app.error)[0] is reasons.TLS_BROKEN
        assert client.app.error is not None
        assert reason_of(client.app.error)[0] is reasons.TLS_BROKEN  # by its alert
