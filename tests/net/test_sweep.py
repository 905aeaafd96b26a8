"""The sweep, and connections that it (or a drain) meets between accept and `connection_made`."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sidecar.core.ids import Permit
from sidecar.core.reasons import DRAINING
from sidecar.core.record import Record
from sidecar.core.request import Route
from sidecar.net.http import HttpConnection
from sidecar.net.serving import Connection, TunnelStart
from sidecar.net.sweep import Clock, Sweep
from sidecar.net.upstream import Target, Upstream
from sidecar.net.world import World
from sidecar.telemetry.metrics import Telemetry
from tests.core.conversation import route
from tests.fakes import RawTransport, Recorder


class Item:
    """Something with a deadline that may fail when it is over."""

    def __init__(self, deadline: float, error: Exception | None = None) -> None:
        self.deadline = deadline
        self.expired: list[float] = []
        self._error = error

    def expire(self, now: float) -> None:
        self.expired.append(now)
        if self._error is not None:
            raise self._error


def make_sweep() -> Sweep:
    return Sweep(Clock(), lambda: None)


def test_what_is_over_expires_and_the_rest_does_not() -> None:
    sweep = make_sweep()
    items = [Item(1.0), Item(2.0), Item(2.5), Item(math.inf)]
    for item in items:
        sweep.add(item)
    sweep.pass_over(2.0)
    assert [item.expired for item in items] == [[2.0], [2.0], [], []]


def test_one_that_fails_stops_nobody_and_is_not_asked_again() -> None:
    sweep = make_sweep()
    bad, good = Item(1.0, ValueError("broken")), Item(1.0)
    sweep.add(bad)
    sweep.add(good)
    sweep.pass_over(2.0)
    sweep.pass_over(3.0)
    assert bad.expired == [2.0]
    assert good.expired == [2.0, 3.0]


class Place:
    """A world with one connection in it, whose transport is still to come."""

    def __init__(self) -> None:
        sweep = make_sweep()
        self.world = World(Clock(), sweep, Telemetry(None), b"test")
        self.ended = 0
        self.connection = Connection(self.world, self._end)
        target = Target((), None, connect_s=1, handshake_s=1, idle_s=1, max_idle=0)
        self.upstream = Upstream(target, sweep)

    def _end(self) -> None:
        self.ended += 1

    def http(self) -> HttpConnection:
        made: Route = route()
        self.connection.inner = http = HttpConnection(made, self.upstream, self.connection)
        return http

    def tunnel(self) -> TunnelStart:
        record = Record("tcp", "inbound", "web", 0.0)
        self.connection.inner = start = TunnelStart(
            self.connection, self.upstream, Permit("allow[0]"), record, b""
        )
        return start


def test_nothing_is_due_before_the_transport_is_there() -> None:
    place = Place()
    place.http()
    assert place.connection.deadline == math.inf


@pytest.mark.parametrize("kind", ["http", "tunnel"])
@pytest.mark.parametrize("end", ["drain", "cut"])
async def test_ended_before_its_transport_is_there(kind: str, end: str) -> None:
    """The transport that comes late is closed, nothing is dialled, and the end is told once."""
    place = Place()
    protocol: Any = getattr(place, kind)()
    if end == "drain":
        place.connection.drain()
    else:
        place.connection.cut(DRAINING)
    transport = RawTransport(protocol)
    transport.other = RawTransport(Recorder())
    protocol.connection_made(transport)
    assert transport.is_closing()
    protocol.connection_lost(None)
    assert place.ended == 1
    assert not place.world.connections
