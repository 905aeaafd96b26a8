"""The stream after the handshake: every byte, in order, whatever the chunks; both ends of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core import reasons
from sidecar.net.contexts import reason_of
from sidecar.net.tls import TlsConnection, TruncatedError
from sidecar.net.tlsbase import SLICE
from tests.fakes import Recorder, settle
from tests.net.kit import End, client_end, connect, server_end

SIZES = [0, 1, 2, 16383, 16384, 16385, SLICE - 1, SLICE, SLICE + 1, 300_000]


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes in which no part looks like its neighbour."""
    return bytes((index * 31 + (index >> 8) * 7 + seed) & 0xFF for index in range(size))


async def arrive(*ends: End) -> None:
    await settle(*(end.raw for end in ends))


# --- bytes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_writes_of_every_size_arrive(size: int, kind: Callable[[bytes], bytes]) -> None:
    client, server = await connect()
    client.tls.write(kind(pattern(size)))
    await arrive(client, server)
    assert server.app.received == pattern(size)


async def test_threat_17_what_is_written_is_not_kept_here() -> None:
    client, server = await connect()
    server.raw.reading = False
    client.tls.write(pattern(1_000_000))
    stalled = client.app.paused
    assert client.tls.get_write_buffer_size() == len(client.raw.outbox) > 1_000_000
    server.raw.reading = True
    await arrive(client, server)
    assert (stalled, client.app.paused) == (True, False)
    assert server.app.received == pattern(1_000_000)


async def test_parts_written_together_are_one_record() -> None:
    client, server = await connect()
    client.tls.writelines([b"head", b"", bytearray(b"body"), memoryview(b"end")])
    await arrive(client, server)
    assert server.app.received == b"headbodyend"
    assert server.app.chunks == 1


async def test_tiny_writes() -> None:
    client, server = await connect()
    for byte in pattern(500):
        client.tls.write(bytes([byte]))
    while client.raw.deliver(1):
        pass
    assert server.app.received == pattern(500)
    assert server.app.chunks == 500


async def test_full_duplex_transfer() -> None:
    client, server = await connect()
    for part in range(50):
        client.tls.write(pattern(5000, part))
        server.tls.write(pattern(7000, part + 1))
        client.raw.deliver(4000)
        server.raw.deliver(9000)
    await arrive(client, server)
    assert server.app.received == b"".join(pattern(5000, part) for part in range(50))
    assert client.app.received == b"".join(pattern(7000, part + 1) for part in range(50))


Side = st.sampled_from([0, 1])
Step = st.one_of(
    st.tuples(st.just("write"), Side, st.sampled_from([1, 100, 16384, 40000, 90000])),
    st.tuples(st.just("deliver"), Side, st.sampled_from([1, 4, 5, 100, 16406, 20000, 1 << 30])),
    st.tuples(st.sampled_from(["pause", "resume", "turn", "end"]), Side, st.just(0)),
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(Step, max_size=60))
async def test_any_chunking_and_any_pauses_deliver_every_byte_once(
    steps: list[tuple[str, int, int]],
) -> None:
    """What one side wrote before its end is what the other got, and then one end."""
    ends = await connect()
    sent = [b"", b""]
    over: set[int] = set()
    for action, index, size in steps:
        end = ends[index]
        match action:
            case "write" if index not in over:
                end.tls.write(pattern(size, len(sent[index])))
                sent[index] += pattern(size, len(sent[index]))
            case "deliver":
                end.raw.deliver(size)
            case "pause":
                end.tls.pause_reading()
            case "resume":
                end.tls.resume_reading()
            case "end":
                over.add(index)
                end.tls.write_eof()
            case _:
                await asyncio.sleep(0)
    for end in ends:
        end.tls.resume_reading()
        end.tls.write_eof()
    await arrive(*ends)
    for index, end in enumerate(ends):
        assert end.app.received == sent[1 - index]
        assert end.app.eof
        assert not end.app.lost
        end.tls.close()
    await arrive(*ends)
    assert [end.app.error for end in ends] == [None, None]


# --- pausing ----------------------------------------------------------------------------------


async def test_a_paused_protocol_gets_nothing_and_the_network_is_not_read() -> None:
    client, server = await connect()
    server.tls.pause_reading()
    client.tls.write(b"x")
    await arrive(client, server)
    assert not server.app.received
    assert not server.raw.is_reading()
    assert not server.tls.is_reading()
    server.tls.resume_reading()
    await arrive(client, server)
    assert server.app.received == b"x"
    assert server.raw.is_reading()


async def test_pausing_between_two_records_holds_the_second_back() -> None:
    class OneAtATime(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    server = server_end()
    server.protocol = OneAtATime()
    client, server = await connect(server=server)
    for size in (1, 2, 3):
        client.tls.write(pattern(size))
    await arrive(client, server)
    for chunks in (1, 2, 3):
        assert server.app.chunks == chunks
        server.tls.resume_reading()
        assert server.app.chunks == chunks, "delivered inside of resume_reading"
        await arrive(client, server)
    assert server.app.received == pattern(1) + pattern(2) + pattern(3)


async def test_a_fault_above_while_catching_up_closes_the_connection() -> None:
    class Faulty(Recorder):
        def data_received(self, data: bytes) -> None:
            raise KeyError("fault")

    caught: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: caught.append(context.get("exception")))
    server = server_end()
    server.protocol = Faulty()
    client, server = await connect(server=server)
    server.tls.pause_reading()
    server.tls.data_received(b"")  # nothing, and so no harm
    client.tls.write(b"x")
    server.tls.data_received(bytes(client.raw.outbox))  # one chunk too late, as it may be
    server.tls.resume_reading()
    await asyncio.sleep(0)
    assert [type(error) for error in caught] == [KeyError]
    await arrive(client, server)
    assert server.app.lost


# --- ends -------------------------------------------------------------------------------------


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


# --- handing over -----------------------------------------------------------------------------


async def test_another_protocol_takes_over_in_mid_stream() -> None:
    late = Recorder()

    class Handing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.set_protocol(late)

    server = server_end()
    server.protocol = Handing()
    client, server = await connect(server=server)
    for word in (b"upgrade", b"first", b"second"):
        client.tls.write(word)
    client.tls.close()
    await arrive(client, server)
    assert server.tls.get_protocol() is not server.protocol
    assert server.app.received == b"upgrade"
    assert late.received == b"firstsecond"
    assert late.eof


async def test_what_lies_below_can_be_asked() -> None:
    client, _ = await connect(client_end())
    assert client.tls.get_extra_info("ssl_object").version() == "TLSv1.3"
    assert client.tls.get_extra_info("peername", "nobody") == "nobody"
    client.tls.set_write_buffer_limits(100, 10)
    assert client.tls.get_write_buffer_limits() == (10, 100)
    assert client.tls.can_write_eof()
    assert client.tls.get_protocol() is client.protocol
    assert isinstance(client.tls, TlsConnection)
