"""The stream after the handshake: every byte, in order, whatever the chunks; both ends of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.net.tls import TlsConnection
from sidecar.net.tlsbase import SLICE
from tests.fakes import Recorder
from tests.net.kit import arrive, client_end, connect, pattern, server_end

SIZES = [0, 1, 2, 16383, 16384, 16385, SLICE - 1, SLICE, SLICE + 1, 300_000]


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


@settings(max_examples=150)
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


async def test_the_network_is_not_read_while_something_older_is_held() -> None:
    client, server = await connect()
    server.tls.pause_reading()
    client.tls.write(b"held")
    server.tls.data_received(bytes(client.raw.outbox))
    client.raw.outbox.clear()
    server.tls.pause_writing()
    server.tls._stalled = True
    server.tls.resume_reading()
    server.tls.resume_writing()
    assert not server.raw.is_reading()
    await arrive(client, server)
    assert server.raw.is_reading()
    assert server.app.received == b"held"


async def test_chunks_that_come_too_late_for_the_pause_stay_in_order() -> None:
    client, server = await connect()
    server.tls.pause_reading()
    client.tls.write(pattern(100_000))
    late = bytes(client.raw.outbox)
    client.raw.outbox.clear()
    server.tls.data_received(late[:90_000])
    server.tls.resume_reading()
    server.tls.data_received(late[90_000:])
    assert not server.app.received
    await arrive(client, server)
    assert server.app.received == pattern(100_000)


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
