"""The tunnel: what one side does, the other side does; bytes are counted and silence is noticed."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core import reasons
from sidecar.core.record import Record
from sidecar.net.tls import TruncatedError
from sidecar.net.tunnel import Tunnel
from tests.fakes import CHUNK, RawTransport, Recorder, raw_pair, settle


@dataclass
class Setup:
    """A client and an upstream with a tunnel between them, in memory."""

    high: int = 65536
    client: Recorder = field(default_factory=Recorder)
    upstream: Recorder = field(default_factory=Recorder)
    done: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client_out, self.client_in = raw_pair(self.client, asyncio.Protocol(), self.high)
        self.upstream_out, self.upstream_in = raw_pair(self.upstream, asyncio.Protocol(), self.high)
        for transport in (self.client_in, self.upstream_in):
            transport.pause_reading()
        self.record = Record("tcp", "inbound", "web", 0.0)
        self.tunnel = Tunnel(self.client_in, self.upstream_in, self.record, self.done.append)

    @property
    def transports(self) -> tuple[RawTransport, ...]:
        return self.client_out, self.client_in, self.upstream_in, self.upstream_out

    async def settle(self, most: int = CHUNK) -> None:
        await settle(*self.transports, most=most)


async def started(high: int = 65536) -> Setup:
    setup = Setup(high)
    setup.tunnel.start()
    await setup.settle()
    return setup


# --- bytes --------------------------------------------------------------------------------------


async def test_bytes_go_both_ways_and_are_counted() -> None:
    setup = await started()
    setup.client_out.write(b"question")
    setup.upstream_out.write(b"the answer")
    await setup.settle()
    assert setup.upstream.received == b"question"
    assert setup.client.received == b"the answer"
    setup.tunnel.tick(1.0, 60.0)
    assert (setup.record.bytes_in, setup.record.bytes_out) == (8, 10)


async def test_what_was_read_before_comes_first_and_counts() -> None:
    setup = Setup()
    setup.client_out.write(b" and more")
    setup.upstream_out.write(b" world")
    setup.tunnel.start(b"first", b"hello")
    await setup.settle()
    assert setup.upstream.received == b"first and more"
    assert setup.client.received == b"hello world"
    setup.tunnel.tick(1.0, 60.0)
    assert (setup.record.bytes_in, setup.record.bytes_out) == (14, 11)


Step = st.tuples(
    st.sampled_from(["write", "deliver", "pause", "resume", "end"]),
    st.integers(0, 3),
    st.sampled_from([1, 7, 100, 1000, 5000]),
)


@settings(max_examples=200)
@given(steps=st.lists(Step, max_size=80))
async def test_any_interleaving_delivers_every_byte_within_bounds(
    steps: list[tuple[str, int, int]],
) -> None:
    """Both sides get what the other wrote, once, then its end; no buffer grows past its mark."""
    setup = await started(high=2000)
    outs = (setup.client_out, setup.upstream_out)
    sent, over = [b"", b""], [False, False]
    for action, which, size in steps:
        side = which % 2
        match action:
            case "write" if not over[side]:
                data = bytes((len(sent[side]) + n) & 0xFF for n in range(size))
                outs[side].write(data)
                sent[side] += data
            case "deliver":
                setup.transports[which].deliver(size)
            case "pause":
                outs[side].pause_reading()
            case "resume":
                outs[side].resume_reading()
            case "end" if not over[side]:
                over[side] = True
                outs[side].write_eof()
    for side in (0, 1):
        outs[side].resume_reading()
        outs[side].write_eof()
    await setup.settle(5000)
    assert setup.upstream.received == sent[0]
    assert setup.client.received == sent[1]
    assert setup.client.eof
    assert setup.upstream.eof
    assert max(setup.client_in.peak, setup.upstream_in.peak) <= 2000 + 5000
    for out in outs:
        out.close()
    await setup.settle()
    assert [record.reason for record in setup.done] == [None]
    assert (setup.record.bytes_in, setup.record.bytes_out) == (len(sent[0]), len(sent[1]))


# --- backpressure -------------------------------------------------------------------------------


async def test_a_slow_side_is_not_read_for() -> None:
    setup = await started(high=1000)
    setup.upstream_out.pause_reading()  # the application stalls
    for _ in range(100):
        setup.client_out.write(b"x" * 500)
    await setup.settle(500)
    assert not setup.client_in.is_reading()
    assert len(setup.upstream_in.outbox) <= 1000 + 500
    setup.client_out.write(b"y" * 500)
    before = len(setup.upstream_in.outbox)
    await setup.settle()
    assert len(setup.upstream_in.outbox) == before
    setup.upstream_out.resume_reading()
    await setup.settle()
    assert setup.client_in.is_reading()
    assert len(setup.upstream.received) == 50_500


@pytest.mark.parametrize("backlog", [0, 10, 500, 5000])
async def test_a_transport_that_is_full_before_the_start(backlog: int) -> None:
    """Whether its old protocol was paused is not known; nothing may get stuck or pile up."""
    setup = Setup(high=1000)
    setup.upstream_out.pause_reading()
    setup.upstream_in.write(b"p" * backlog)
    setup.tunnel.start()
    assert setup.client_in.is_reading() is (backlog == 0)
    setup.client_out.write(b"after")
    await setup.settle()
    assert len(setup.upstream_in.outbox) == backlog + (0 if backlog else 5)
    setup.upstream_out.resume_reading()
    await setup.settle()
    assert setup.upstream.received == b"p" * backlog + b"after"


async def test_a_side_that_has_ended_is_not_read_again() -> None:
    setup = await started(high=100)
    setup.upstream_out.pause_reading()
    setup.client_out.write(b"x" * 90)
    setup.client_out.write_eof()
    setup.client_in.set_write_buffer_limits(100)
    await setup.settle()
    setup.upstream_in.set_write_buffer_limits(10)
    assert not setup.client_in.is_reading()
    setup.upstream_out.resume_reading()
    await setup.settle()
    assert not setup.client_in.is_reading()
    assert setup.upstream.eof


# --- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["client", "upstream"])
async def test_half_close(first: str) -> None:
    setup = await started()
    a, b = (setup.client_out, setup.upstream_out)
    one, other = (a, b) if first == "client" else (b, a)
    one_app, other_app = (
        (setup.client, setup.upstream) if first == "client" else (setup.upstream, setup.client)
    )
    one.write(b"all I have to say")
    one.write_eof()
    await setup.settle()
    assert other_app.eof
    assert not other_app.lost
    assert not setup.done
    other.write(b"the answer")
    other.write_eof()
    await setup.settle()
    assert one_app.received == b"the answer"
    assert one_app.eof
    assert [record.reason for record in setup.done] == [None]


async def test_a_plain_close_by_both_is_no_fault() -> None:
    setup = await started()
    setup.client.keep_open = setup.upstream.keep_open = False
    setup.client_out.write(b"bye")
    setup.client_out.close()
    await setup.settle()
    assert setup.upstream.received == b"bye"
    assert [record.reason for record in setup.done] == [None]


@pytest.mark.parametrize("side", ["client", "upstream"])
async def test_a_reset_is_passed_on_and_blamed(side: str) -> None:
    setup = await started()
    out, other = (
        (setup.client_out, setup.upstream)
        if side == "client"
        else (setup.upstream_out, setup.client)
    )
    out.abort()
    await setup.settle()
    assert isinstance(other.error, ConnectionResetError)
    assert not other.eof
    blamed = {"client": reasons.CLIENT_CLOSED, "upstream": reasons.UPSTREAM_CLOSED}
    assert [record.reason for record in setup.done] == [blamed[side]]


async def test_a_reset_after_both_have_ended_is_no_fault() -> None:
    setup = await started()
    setup.client_out.write_eof()
    setup.upstream_out.write_eof()
    setup.client_in.deliver()
    setup.client_out.deliver()
    setup.upstream_out.deliver()
    setup.client_in._lose(ConnectionResetError())
    await setup.settle()
    assert [record.reason for record in setup.done] == [None]


async def test_an_end_without_goodbye_is_passed_on_as_a_reset() -> None:
    setup = await started()
    setup.client_in._lose(TruncatedError())
    await setup.settle()
    assert isinstance(setup.upstream.error, ConnectionResetError)
    assert setup.record.reason is reasons.CLIENT_CLOSED


async def test_a_tls_fault_has_its_own_reason() -> None:
    error = ssl.SSLError(1, "alert")
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    setup = await started()
    setup.upstream_in._lose(error)
    await setup.settle()
    assert setup.record.reason is reasons.OWN_CERTIFICATE_REFUSED


async def test_the_first_reason_stays() -> None:
    setup = await started()
    setup.tunnel.close(reasons.LIFETIME)
    setup.tunnel.close(reasons.DRAINING)
    setup.client_out.abort()
    await setup.settle()
    assert [record.reason for record in setup.done] == [reasons.LIFETIME]


async def test_a_cut_is_a_reset_for_both() -> None:
    setup = await started()
    setup.tunnel.close(reasons.LIFETIME)
    await setup.settle()
    for app in (setup.client, setup.upstream):
        assert isinstance(app.error, ConnectionResetError)
        assert not app.eof
    assert len(setup.done) == 1


# --- silence ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("idle", "ends_at"), [(1.0, 1.0), (60.0, 60.0)])
async def test_idle_reaper(idle: float, ends_at: float) -> None:
    setup = await started()
    setup.tunnel.tick(0.0, idle)
    setup.tunnel.tick(ends_at - 0.01, idle)
    await setup.settle()
    assert not setup.done
    setup.tunnel.tick(ends_at, idle)
    await setup.settle()
    assert [record.reason for record in setup.done] == [reasons.IDLE]
    assert setup.client.eof  # in order: nothing was under way
    assert setup.client.error is None


async def test_idle_zero_allows_any_silence() -> None:
    setup = await started()
    setup.tunnel.tick(0.0, 0)
    setup.tunnel.tick(1e9, 0)
    await setup.settle()
    assert not setup.done


@pytest.mark.parametrize("mover", ["client_out", "upstream_out"])
async def test_one_byte_is_enough_to_live_on(mover: str) -> None:
    setup = await started()
    for now in range(0, 600, 50):
        getattr(setup, mover).write(b"x")
        await setup.settle()
        setup.tunnel.tick(float(now), 60.0)
    assert not setup.done
    setup.tunnel.tick(700.0, 60.0)
    await setup.settle()
    assert [record.reason for record in setup.done] == [reasons.IDLE]


async def test_a_stalled_peer_is_idle_and_a_slow_one_is_not() -> None:
    setup = await started(high=100)
    setup.upstream_out.pause_reading()
    setup.client_out.write(b"x" * 10_000)
    await setup.settle()
    setup.tunnel.tick(0.0, 60.0)
    for now in (50.0, 100.0, 150.0):  # a byte a minute
        setup.upstream_out.resume_reading()
        setup.upstream_in.deliver(1)
        setup.upstream_out.pause_reading()
        setup.tunnel.tick(now, 60.0)
    assert not setup.client_in.is_closing()
    setup.tunnel.tick(211.0, 60.0)
    assert setup.client_in.is_closing()
    assert setup.record.reason is reasons.IDLE


async def test_a_tunnel_that_cannot_get_rid_of_its_last_bytes_ends_all_the_same() -> None:
    setup = await started(high=100)
    setup.upstream_out.pause_reading()
    setup.client_out.write(b"x" * 1000)
    await setup.settle()
    for now in (0.0, 60.0, 75.0):
        setup.tunnel.tick(now, 60.0)
        await setup.settle()
        assert not setup.done
    setup.tunnel.tick(90.0, 60.0)
    assert [record.reason for record in setup.done] == [reasons.IDLE]
    await setup.settle()
    assert len(setup.done) == 1


async def test_draining_waits_for_a_silence_of_one_tick() -> None:
    setup = await started()
    setup.tunnel.tick(0.0, 60.0)
    setup.tunnel.drain()
    setup.client_out.write(b"busy")
    await setup.settle()
    setup.tunnel.tick(15.0, 60.0)
    await setup.settle()
    assert not setup.done
    setup.tunnel.tick(30.0, 60.0)
    await setup.settle()
    assert [record.reason for record in setup.done] == [reasons.DRAINING]
    assert setup.client.eof


async def test_who_is_at_the_ends() -> None:
    setup = Setup()
    assert setup.tunnel.peers == ("unix", "unix")
