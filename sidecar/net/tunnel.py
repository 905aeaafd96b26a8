"""An opaque stream: two connections that write into each other.

Each side is a protocol whose `data_received` is the other transport's `write` and a counter. All
else follows from one sentence: what one side does, the other side does.

* One side ends its direction: the other's sending direction ends. When both have ended, both close.
* One side cannot take more: the other is not read.
* One side is reset, or ends without TLS's goodbye: the other is reset, so that nobody takes half
  a stream for a whole one. What had been handed to the kernel before is still delivered.

Whether TLS is below is not known here. Nor is the time: `tick` compares counters between two looks
of the sweep, so the hot path reads no clock.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from ssl import SSLError
from typing import Final

from sidecar.core.reasons import CLIENT_CLOSED, DRAINING, IDLE, UPSTREAM_CLOSED, Reason
from sidecar.core.record import Record
from sidecar.net.contexts import reason_of

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


class _Side(asyncio.Protocol):
    """One connection of a tunnel; `out` is where its bytes go."""

    __slots__ = ("_tunnel", "_write", "ended", "full", "gone", "moved", "out", "transport")

    def __init__(
        self, tunnel: Tunnel, transport: asyncio.Transport, out: asyncio.Transport
    ) -> None:
        self.transport = transport
        self.out = out
        self.moved = 0  # bytes that came from here
        self.full = False  # the transport takes no more for now
        self.ended = False  # nothing more comes from here
        self.gone = False  # closed
        self._tunnel = tunnel
        self._write = out.write

    def take_over(self) -> None:
        """Become the transport's protocol, and learn whether its buffer is full.

        There is no way to ask a transport whether it has paused its protocol. But with a limit
        of zero it has if and only if anything is buffered.
        """
        self.transport.set_protocol(self)
        if self.transport.is_closing():
            return
        low, high = self.transport.get_write_buffer_limits()
        self.transport.set_write_buffer_limits(0)
        self.full = self.transport.get_write_buffer_size() > 0
        self.transport.set_write_buffer_limits(high, low)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self.moved += len(data)
        self._write(data)

    def eof_received(self) -> bool:
        """Pass the end of this direction on; the other direction stays open."""
        self.ended = True
        self._tunnel.half_closed(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left of this side."""
        self.gone = True
        self._tunnel.lost(self, exc)

    def pause_writing(self) -> None:
        """This side is slow: stop reading what goes to it."""
        self.full = True
        self.out.pause_reading()

    def resume_writing(self) -> None:
        """This side caught up."""
        self.full = False
        self._tunnel.read_from(self.out)


class Tunnel:
    """Two connections that write into each other, until both are closed.

    `done` is called once, with the record filled in, when that is so.
    """

    __slots__ = (
        "_client", "_closing", "_done", "_draining", "_progress", "_since", "_upstream", "peers",
        "record",
    )  # fmt: skip

    def __init__(
        self,
        client: asyncio.Transport,
        upstream: asyncio.Transport,
        record: Record,
        done: Callable[[Record], None],
    ) -> None:
        self.record = record
        self.peers = (_peer_name(client), _peer_name(upstream))
        self._client = _Side(self, client, upstream)
        self._upstream = _Side(self, upstream, client)
        self._done: Callable[[Record], None] | None = done
        self._closing = False
        self._draining = False
        self._progress = -1
        self._since = 0.0

    def start(self, client_backlog: bytes = b"", upstream_backlog: bytes = b"") -> None:
        """Take both transports over, pass on what each has sent already, and read on."""
        self._client.take_over()
        self._upstream.take_over()
        if client_backlog:
            self._client.data_received(client_backlog)
        if upstream_backlog:
            self._upstream.data_received(upstream_backlog)
        for side in (self._client, self._upstream):
            if side.full:
                side.out.pause_reading()
            else:
                self.read_from(side.out)

    # --- what the sides report ---

    def half_closed(self, side: _Side) -> None:
        """One direction is over."""
        if self._other(side).ended:
            self._close(None)
        else:
            with suppress(OSError):  # the other side is gone already, and will say so
                side.out.write_eof()

    def lost(self, side: _Side, exc: Exception | None) -> None:
        """One side is closed."""
        other = self._other(side)
        if exc is not None and not self._closing:
            self._blame(side, exc)
            reset(other.transport)
        else:
            other.transport.close()
        self._closing = True
        if other.gone:
            self._finish()

    def read_from(self, transport: asyncio.Transport) -> None:
        """Read a side again, unless its direction is over: that would find the same end twice."""
        side = self._client if transport is self._client.transport else self._upstream
        if not side.ended and not transport.is_closing():
            transport.resume_reading()

    def _other(self, side: _Side) -> _Side:
        return self._upstream if side is self._client else self._client

    def _blame(self, side: _Side, exc: Exception) -> None:
        if self.record.reason is not None:
            return
        if isinstance(exc, SSLError):
            self.record.reason = reason_of(exc)[0]
        else:
            self.record.reason = CLIENT_CLOSED if side is self._client else UPSTREAM_CLOSED

    # --- what the owner wants ---

    def tick(self, now: float, idle_s: float) -> None:
        """Look whether anything moved since the last look; `idle_s` 0 allows any silence.

        A tunnel in which nothing moved for so long is closed in order; one that is closing and
        cannot get rid of its last bytes from one look to the next is reset.
        """
        self._count()
        if (progress := self._sent()) != self._progress:
            self._progress = progress
            self._since = now
        elif self._closing:
            self._give_up()
        elif self._draining:
            self._close(DRAINING)
        elif idle_s and now - self._since >= idle_s:
            self._close(IDLE)

    def drain(self) -> None:
        """Close in order as soon as nothing moves from one tick to the next.

        What is inside of a tunnel has no end that could be waited for, but silence is a good time.
        """
        self._draining = True

    def close(self, reason: Reason) -> None:
        """Cut the tunnel now, with resets, since it is in the middle of something."""
        if self.record.reason is None:
            self.record.reason = reason
        self._closing = True
        reset(self._client.transport)
        reset(self._upstream.transport)

    def _close(self, reason: Reason | None) -> None:
        """Send what was read, then close both sides in order."""
        if self.record.reason is None:
            self.record.reason = reason
        self._closing = True
        self._progress = -1
        self._client.transport.close()
        self._upstream.transport.close()

    def _give_up(self) -> None:
        reset(self._client.transport)
        reset(self._upstream.transport)
        self._finish()

    def _sent(self) -> int:
        """Bytes that both sides have got rid of: grows as long as anything moves."""
        sides = (self._client, self._upstream)
        return sum(side.moved - side.transport.get_write_buffer_size() for side in sides)

    def _count(self) -> None:
        self.record.bytes_in = self._client.moved
        self.record.bytes_out = self._upstream.moved

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._count()
            done(self.record)


def reset(transport: asyncio.Transport) -> None:
    """Close so that the other end sees a reset and not an end."""
    if transport.is_closing():
        transport.abort()
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def _peer_name(transport: asyncio.Transport) -> str:
    """Who is at the other end, as `host:port`, or `unix`."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        return "unix"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{host}:{name[1]}"
