"""Stand-ins for the world, made by hand, for all suites."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast

CHUNK: Final = 262144  # what the real loops read at a time


class RawTransport(asyncio.Transport):
    """One end of a connection in memory, whose bytes move when a test says so.

    `write` puts bytes into `outbox`; `deliver` carries them to the other end's protocol. Flow
    control, half-close, close and abort are those of a TCP transport. `peak` is the most that the
    outbox ever held.
    """

    def __init__(self, protocol: asyncio.Protocol, high: int = 65536) -> None:
        super().__init__()
        self.protocol = protocol
        self.other: RawTransport
        self.outbox = bytearray()
        self.peak = 0
        self.reading = True
        self.eof_written = False
        self.resets = False  # the way that this end went
        self._limits = (high // 4, high)
        self._paused = False
        self._closing = False
        self._gone = False
        self._eof_delivered = False

    def deliver(self, most: int = CHUNK) -> bool:
        """Carry at most so many bytes, or else an end, across; return whether anything moved."""
        if self.outbox:
            return self._deliver_bytes(most)
        if self._closing and not self._gone:
            self._lose(None)
            return True
        return self._deliver_end()

    def _deliver_bytes(self, most: int) -> bool:
        if self.other._gone:
            self.outbox.clear()
            self._lose(ConnectionResetError("the other end is closed"))
            return True
        if not self.other.reading or self.other._closing or most <= 0:
            return False
        chunk = bytes(self.outbox[:most])
        del self.outbox[:most]
        self.other.protocol.data_received(chunk)
        if self._paused and len(self.outbox) <= self._limits[0]:
            self._paused = False
            self.protocol.resume_writing()
        return True

    def _deliver_end(self) -> bool:
        over = self.eof_written or self._gone
        if not over or self._eof_delivered or self.other._closing or not self.other.reading:
            return False
        self._eof_delivered = True
        if self.resets:
            self.other._lose(ConnectionResetError("reset by the other end"))
        elif not self.other.protocol.eof_received():
            self.other.close()
        return True

    def _lose(self, exc: Exception | None) -> None:
        if not self._gone:
            self._closing = self._gone = True
            self.reading = False
            self.protocol.connection_lost(exc)

    # --- asyncio.Transport ---

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self.eof_written, "write after write_eof"
        if self._closing:
            return
        self.outbox += data
        self.peak = max(self.peak, len(self.outbox))
        self._maybe_pause()

    def _maybe_pause(self) -> None:
        if not self._paused and len(self.outbox) > self._limits[1]:
            self._paused = True
            self.protocol.pause_writing()

    def write_eof(self) -> None:
        self.eof_written = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self._closing = True
        self.reading = False

    def abort(self) -> None:
        self._closing = self.resets = True
        self.reading = False
        self.outbox.clear()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = not self._closing

    def is_reading(self) -> bool:
        return self.reading

    def get_write_buffer_size(self) -> int:
        return len(self.outbox)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._limits

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        high = 65536 if high is None else high
        self._limits = (high // 4 if low is None else low, high)
        self._maybe_pause()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol


def raw_pair(
    a: asyncio.Protocol, b: asyncio.Protocol, high: int = 65536
) -> tuple[RawTransport, RawTransport]:
    """Connect two protocols in memory; `connection_made` has been called on both."""
    left, right = RawTransport(a, high), RawTransport(b, high)
    left.other, right.other = right, left
    a.connection_made(left)
    b.connection_made(right)
    return left, right


async def settle(*transports: RawTransport, most: int = CHUNK) -> None:
    """Carry everything across until nothing moves, callbacks of the loop included."""
    moved = True
    while moved:
        moved = any(transport.deliver(most) for transport in transports)
        await asyncio.sleep(0)
        moved = moved or any(transport.deliver(most) for transport in transports)


class Recorder(asyncio.Protocol):
    """An application protocol that keeps all that happens to it.

    `keep_open` is what `eof_received` answers; `paused` whether writing is paused at the moment.
    """

    def __init__(self, *, keep_open: bool = True) -> None:
        self.transport: asyncio.Transport
        self.received = bytearray()
        self.chunks = 0
        self.eof = False
        self.lost = False
        self.error: Exception | None = None
        self.paused = False
        self.keep_open = keep_open
        self.closed: asyncio.Event = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are not derived from it

    def data_received(self, data: bytes) -> None:
        assert not self.eof, "bytes after the end"
        assert not self.lost, "bytes after the connection was lost"
        self.received += data
        self.chunks += 1

    def eof_received(self) -> bool:
        assert not self.eof, "two ends"
        self.eof = True
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        assert not self.lost, "lost twice"
        self.lost = True
        self.error = exc
        self.closed.set()

    def pause_writing(self) -> None:
        assert not self.paused, "paused twice"
        self.paused = True

    def resume_writing(self) -> None:
        assert self.paused, "resumed without a pause"
        self.paused = False


class FakeSubject:
    """A sidecar as the admin pages see it; `acts` is what it was told to do."""

    def __init__(self) -> None:
        self.alive = True
        self.reasons: list[str] = []
        self.facts: dict[str, object] = {"generation": 3, "last_failure": "line 7: no such key"}
        self.shown: dict[str, object] = {"name": "web"}
        self.open = 0
        self.page = b"# HELP x y\n# TYPE x gauge\nx 1\n"
        self.acts: list[str] = []

    def live(self) -> bool:
        return self.alive

    def ready(self) -> Sequence[str]:
        return self.reasons

    def status(self) -> dict[str, object]:
        return self.facts

    def metrics(self) -> bytes:
        return self.page

    def config_view(self) -> dict[str, object]:
        return self.shown

    def identity(self) -> dict[str, object]:
        return self.shown

    def connections(self, limit: int) -> tuple[int, list[dict[str, object]]]:
        return self.open, [{"number": number} for number in range(min(self.open, limit))]

    def drain(self) -> None:
        self.acts.append("drain")

    def quit(self) -> None:
        self.acts.append("quit")
