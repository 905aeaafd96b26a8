"""The client's bytes as requests, in order, one of them in service at a time.

Requests that arrive while one is in service wait parsed, with the pieces of their bodies; what
arrives after them waits as bytes, and the shell stops reading. So a client can pipeline and
cannot make us hoard. Bytes that are no request at all are answered too, in their turn.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from sidecar.core.fields import Fields
from sidecar.core.ids import RefusedError
from sidecar.core.messages import RequestReader
from sidecar.core.reasons import Reason
from sidecar.core.request import Request, Route, read_request


class Turn(Protocol):
    """Who serves requests."""

    def begin(self, request: Request) -> None:
        """Serve this one; its body may be partly there already."""

    def send_body(self, request: Request, data: bytes) -> None:
        """Another piece of the body of the request in service."""

    def send_end(self, request: Request) -> None:
        """The request in service is complete."""

    def refuse(self, reason: Reason, detail: str) -> None:
        """What the client sent is no request, and nothing is in service."""

    def spoil(self, reason: Reason, detail: str) -> None:
        """The rest of the request in service is no use."""


class Intake:
    """Reads one client connection."""

    __slots__ = (
        "_fault", "_newest", "_queue", "_reader", "_stopped", "_turn", "_unread", "current",
        "route",
    )  # fmt: skip

    def __init__(self, route: Route, turn: Turn) -> None:
        self.route = route
        self.current: Request | None = None
        self._turn = turn
        self._reader = RequestReader(self, route.limits.head_bytes, route.limits.fields)
        self._queue: deque[Request] = deque()
        self._newest: Request | None = None  # still receiving its body
        self._unread = b""
        self._fault: tuple[Reason, str] | None = None  # waits for its turn
        self._stopped = False

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and not ended."""
        return self._reader.in_head

    @property
    def in_request(self) -> bool:
        """Whether the client still owes the rest of a request."""
        return self._newest is not None or self._reader.in_head

    @property
    def waiting(self) -> bool:
        """Whether something is here that has not had its turn."""
        return bool(self._queue or self._unread) or self._fault is not None

    @property
    def has_unread(self) -> bool:
        """Whether bytes wait that may be looked at now: the rest of a body, or what is next."""
        return bool(self._unread) and not self._must_wait()

    def owes(self, request: Request) -> bool:
        """Whether part of `request` has yet to come."""
        return request is self._newest

    def stop(self) -> None:
        """Look at nothing any more."""
        self._stopped = True
        self._queue.clear()
        self._unread = b""
        self._fault = None

    def feed(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._stopped or self._reader.broken:
            return
        if self._unread:
            self._unread += data
        else:
            self._read(data)

    def resume(self) -> None:
        """Look at bytes that had to wait."""
        if self.has_unread:
            data, self._unread = self._unread, b""
            self._read(data)

    def _read(self, data: bytes) -> None:
        """Parse until something has to wait for its turn."""
        while data:
            taken = self._reader.feed(data)
            data = b"" if self._reader.broken else data[taken:]
            if self._must_wait():
                break
        self._unread = b"" if self._stopped else data

    def _must_wait(self) -> bool:
        """Whether a request is waiting already, or what follows may be of another protocol."""
        return bool(self._queue) or (self.current is not None and self.current.upgrade)

    def take_unread(self) -> bytes:
        """Hand over bytes that belong to another protocol."""
        data, self._unread = self._unread, b""
        return data

    def next(self) -> bool:
        """The request in service is over: begin the next, if there is one."""
        self.current = None
        if self._queue:
            self._begin(self._queue.popleft())
            return True
        if self._fault is not None:
            self._turn.refuse(*self._fault)
            return True
        return False

    def _begin(self, request: Request) -> None:
        self.current = request
        self._turn.begin(request)

    # --- what the reader says ---

    def request_head(self, method: bytes, target: bytes, version: str, fields: Fields) -> None:
        """A head is complete: judge it now, serve it in its turn."""
        if self._stopped:
            return
        try:
            request = read_request(self.route, method, target, version, fields)
        except RefusedError as refusal:
            self._reader.broken = True
            self.request_fault(refusal.reason, refusal.detail)
            return
        self._newest = None if request.complete else request
        if self.current is None:
            self._begin(request)
        else:
            self._queue.append(request)

    def request_body(self, data: bytes) -> None:
        """A piece of a body: forward it, or keep it until its request is served."""
        request = self._newest
        if request is None or self._stopped:
            return
        if request is self.current:
            self._turn.send_body(request, data)
        else:
            request.body.append(data)

    def request_end(self, trailers: list[bytes]) -> None:
        """The newest request is complete."""
        request, self._newest = self._newest, None
        if request is None or self._stopped:
            return
        request.complete = True
        request.trailers = trailers
        if request is self.current:
            self._turn.send_end(request)

    def request_fault(self, reason: Reason, detail: str) -> None:
        """The client's bytes make no sense: answer that when those before have been answered."""
        if self._stopped:
            return
        if self.current is None:
            self._turn.refuse(reason, detail)
        elif self.current is self._newest:
            self._turn.spoil(reason, detail)
        else:
            self._fault = (reason, detail)
