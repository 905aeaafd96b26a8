"""The accept loop: one port, whatever is behind it.

It owns the socket and counts what is open; how a connection is served is the service's business,
and a reload replaces the service while the socket stays. An accept that fails for want of
descriptors backs off and tries again: the port of a busy process must not die of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from typing import Any, Final, Protocol

from sidecar.config import Address
from sidecar.core.reasons import CONNECTION_LIMIT, Reason
from sidecar.core.record import Direction, Record
from sidecar.net.world import Cancel, Ended, World
from sidecar.telemetry.oplog import log

_BACKLOG: Final = 1024
_BURST: Final = 64  # connections taken in one turn of the loop
_BACKOFF_S: Final = (0.005, 1.0)
_GONE: Final = frozenset({errno.ECONNABORTED, errno.EINTR, errno.EPROTO, errno.EPERM})


class Service(Protocol):
    """What serves a listener's connections under one snapshot."""

    def serve(self, sock: socket.socket, ended: Ended) -> None:
        """Take over an accepted socket; call `ended` exactly once when it is closed."""

    def retire(self) -> None:
        """Nobody follows: finish what is open."""


def bind(address: Address) -> socket.socket:
    """Open a listening socket, or raise OSError that names the address."""
    try:
        return _unix(address.path) if address.is_unix else _inet(address.host, address.port)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from None


def _inet(host: str, port: int) -> socket.socket:
    family, kind, proto, _, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return _listening(sock, name)


def _unix(path: str) -> socket.socket:
    """Bind a UNIX socket, replacing one that a process left behind when it died."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode) and not _answers(path):
            os.unlink(path)
    return _listening(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0


def _listening(sock: socket.socket, name: Any) -> socket.socket:
    try:
        sock.bind(name)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


class Listener:
    """One listening socket."""

    def __init__(self, name: str, direction: Direction, address: Address, world: World) -> None:
        self.name = name
        self.direction: Direction = direction
        self.configured = address
        self.sock = bind(address)
        self.limit = 0
        self.open = 0
        self.service: Service | None = None
        self._world = world
        self._meter = world.telemetry.listener(name, direction)
        self._stop: Cancel | None = None

    @property
    def address(self) -> str:
        """The bound address as `host:port` or `unix:path`."""
        name = self.sock.getsockname()
        return str(Address(*name[:2]) if isinstance(name, tuple) else Address(path=name))

    def start(self, service: Service) -> None:
        """Serve with `service` from now on."""
        self.service = service
        if self._stop is None:
            self._stop = self._world.spawn(self._accept_forever())

    def close(self) -> None:
        """Accept nothing more."""
        if self._stop is not None:
            self._stop()
        self.sock.close()

    async def _accept_forever(self) -> None:
        loop = asyncio.get_running_loop()
        wait = _BACKOFF_S[0]
        while True:
            try:
                sock, _ = await loop.sock_accept(self.sock)
                self._admit(sock)
                self._accept_more()
                wait = _BACKOFF_S[0]
            except OSError as error:
                if error.errno in _GONE:
                    continue
                log.warning("accept failed", listener=self.name, error=str(error), retry_s=wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, _BACKOFF_S[1])

    def _accept_more(self) -> None:
        """Take what else is waiting without another turn of the loop."""
        for _ in range(_BURST):
            try:
                sock, _ = self.sock.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        if self.limit and self.open >= self.limit:
            self.refuse(sock, CONNECTION_LIMIT)
            return
        assert self.service is not None
        self.open += 1
        self._meter.opened()
        self.service.serve(sock, self._ended)

    def refuse(self, sock: socket.socket, reason: Reason) -> None:
        """Close a connection that is not served, and say why."""
        sock.close()
        record = Record("tcp", self.direction, self.name, self._world.clock.wall())
        record.reason = reason
        self._world.telemetry.done(record)

    def _ended(self) -> None:
        self.open -= 1
        self._meter.closed()
