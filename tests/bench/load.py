"""Load: N connections, on each the next request when the last one is answered (closed loop).

Why our own and not wrk: the CPU of the proxies must be read at the very moments between which
requests are counted, after connections are open and warm. wrk counts its own connection set-up
(a hundred handshakes would pass for requests), says nothing above p99 without a script, and will
not carry bodies, WebSockets or a fixed rate. On uvloop this one costs 2.7 µs a request, and with
the application beside it on one core it reaches 180,000 requests a second, wrk 215,000.

The window runs inside the harness, which is pinned away from the proxies.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, Literal, TypeVar, cast

import uvloop

from tests.bench.app import BODY

Protocol = Literal["http", "tcp"]
T = TypeVar("T")

_OK: Final = b"HTTP/1.1 200 "
_END: Final = b"\r\n\r\n" + BODY  # every proxy keeps the application's content-length framing
_POLL_SECONDS: Final = 0.01


class LoadError(Exception):
    """The chain did not answer as it should; a sample with one wrong answer is no sample."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is sent, and what the proxies take it for: `http` is parsed, `tcp` is opaque."""

    name: str
    protocol: Protocol
    title: str
    request: bytes


# What a service sends to another one: eight fields, 649 bytes, a bearer token the largest.
REQUEST: Final = (
    "GET /api/v1/orders/18446744073?expand=items,customer HTTP/1.1\r\n"
    "Host: inbound.bench.local\r\n"
    "User-Agent: orders-client/3.1 (linux; amd64)\r\n"
    "Accept: application/json\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Accept-Language: en-GB,en;q=0.8\r\n"
    f"Authorization: Bearer {'eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ' * 8}\r\n"
    "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
    "Cookie: session=c2Vzc2lvbi0xMjM0NTY3ODkw; theme=dark\r\n"
    "\r\n"
).encode()

WORKLOADS: Final = (
    Workload("l7", "http", "HTTP parsed and routed, small requests kept alive", REQUEST),
    Workload("l4", "tcp", "the same requests through opaque TCP", REQUEST),
)


@dataclass(frozen=True, slots=True)
class Pressure:
    """How hard and how long; seconds. `patience` is for connecting and for the first answers."""

    connections: int
    warm_up: float
    seconds: float
    patience: float = 10.0


@dataclass(frozen=True, slots=True)
class Window(Generic[T]):
    """What happened between two looks at the proxies.

    `latencies` are seconds in ascending order, one for each answered request; `before` and
    `after` are what `look` returned at both ends, with the connections open.
    """

    latencies: array[float]
    seconds: float
    before: T
    after: T


class _Tally:
    """What all connections share: where latencies go, whether to go on, and the first fault."""

    def __init__(self, fault: asyncio.Future[None]) -> None:
        self.clients: list[_Client] = []
        self.latencies = array("d")
        self.running = True
        self.fault = fault

    def fail(self, reason: str) -> None:
        self.running = False
        if not self.fault.done():
            self.fault.set_exception(LoadError(reason))


class _Client(asyncio.Protocol):
    """One connection with one request on its way since `sent_at`."""

    __slots__ = ("_partial", "_request", "_tally", "_transport", "sent_at")

    def __init__(self, request: bytes, tally: _Tally) -> None:
        self._request = request
        self._tally = tally
        self._partial = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._tally.clients.append(self)
        self.sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._partial:
            data = self._partial + data
        if not data.startswith(_OK[: len(data)]):
            self._tally.fail(f"answered {data[:60]!r}")
        elif not data.endswith(_END):
            self._partial = data
        else:
            self._partial = b""
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._tally.running:
            self._tally.fail(f"closed the connection ({'end of stream' if exc is None else exc})")

    def close(self) -> None:
        self._transport.close()

    def _answered(self) -> None:
        now = time.perf_counter()
        self._tally.latencies.append(now - self.sent_at)
        if self._tally.running:
            self.sent_at = now
            self._transport.write(self._request)


def run(port: int, request: bytes, pressure: Pressure, look: Callable[[], T]) -> Window[T]:
    """Drive the chain that begins at `port`; raise `LoadError` at the first wrong answer.

    A connection that gets no answer during the whole window is a wrong answer too.
    """
    return uvloop.run(_drive(port, request, pressure, look))


async def _drive(port: int, request: bytes, pressure: Pressure, look: Callable[[], T]) -> Window[T]:
    tally = _Tally(asyncio.get_running_loop().create_future())
    try:
        await _connect(port, partial(_Client, request, tally), pressure)
        await _settle(tally, pressure.patience)
        await _pass(pressure.warm_up, tally)
        before, started, tally.latencies = look(), time.perf_counter(), array("d")
        await _pass(pressure.seconds, tally)
        latencies, ended, after = tally.latencies[:], time.perf_counter(), look()
        _check_all_answered(tally.clients, since=started)
    finally:
        tally.running = False
        for client in tally.clients:
            client.close()
    return Window(array("d", sorted(latencies)), ended - started, before, after)


async def _connect(port: int, client: Callable[[], _Client], pressure: Pressure) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(pressure.patience):
            for _ in range(pressure.connections):
                await loop.create_connection(client, "127.0.0.1", port)
    except (OSError, TimeoutError) as exc:
        raise LoadError(f"refused a connection ({str(exc) or 'no answer in time'})") from exc


async def _settle(tally: _Tally, patience: float) -> None:
    """Wait until each connection has been answered: the handshakes behind it are done then."""
    opened = time.perf_counter()
    while any(client.sent_at < opened for client in tally.clients):
        await _pass(_POLL_SECONDS, tally)
        if time.perf_counter() - opened > patience:
            _check_all_answered(tally.clients, since=opened)


def _check_all_answered(clients: list[_Client], since: float) -> None:
    stuck = sum(client.sent_at < since for client in clients)
    if stuck:
        raise LoadError(f"left {stuck} of {len(clients)} connections without an answer")


async def _pass(seconds: float, tally: _Tally) -> None:
    """Let time go by, unless something goes wrong first."""
    await asyncio.wait([tally.fault], timeout=seconds)
    if tally.fault.done():
        tally.fault.result()
