"""One client connection's HTTP exchanges: bytes from two sides in, bytes for two sides out.

Theory of operation. The shell (`net.http`) feeds whatever arrived, with the time, and then looks
once at three things: `to_client`, `to_upstream` and `wants`. Nothing here waits. An upstream
connection is asked for with `DIAL` and given back with `RELEASE` (it can serve another request)
or `DROP` (it cannot: something is unfinished, unasked or wrong on it).

```
            head           dialled         response head      both ends complete
   IDLE ----------> DIAL ----------> SEND ---------------> STREAM ---------------> IDLE ...
     |  bytes         \\  request         \\ request complete    ^
     v                 \\ complete         `-----> WAIT --------'
   HEAD  (a head in pieces)                                 101: TUNNEL, for good
```

Everything that cannot go on ends in `CLOSED`: an answer if none has begun, otherwise an abort,
because a response cut short must look cut short. Where bytes of a refused request may still be
on their way the end is `LINGER`: close the sending side, read and forget for a moment, so that
the client reads its answer and not a reset (RFC 9112 section 9.6).

Requests come one at a time from `core.intake`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sidecar.core.fields import Fields
from sidecar.core.ids import Denial, Permit
from sidecar.core.intake import Intake
from sidecar.core.messages import ResponseReader
from sidecar.core.phases import (
    ABORT,
    ACTIVE,
    CLOSE,
    CLOSED,
    DIAL,
    DIALLING,
    DROP,
    HEAD,
    IDLE,
    IDLING,
    LINGER,
    LINGERING,
    NEVER,
    RELEASE,
    SEND,
    STREAM,
    SWITCH,
    TUNNEL,
    WAIT,
    deadline,
)
from sidecar.core.reasons import (
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    CLIENT_CLOSED,
    HEAD_TIMEOUT,
    TOTAL_TIMEOUT,
    UNASKED_UPGRADE,
    UPSTREAM_CLOSED,
    UPSTREAM_TIMEOUT,
    Reason,
)
from sidecar.core.record import Record
from sidecar.core.request import Request, Route
from sidecar.core.response import (
    frame_response,
    interim_response,
    own_response,
    switching_response,
)


class Env(Protocol):
    """What the exchange needs of the world, as values that the shell keeps current."""

    date: bytes  # a whole `date: ...\\r\\n` line
    epoch: float  # wall clock minus the clock of `now`


class Exchange:
    """The state of one client connection and of the upstream connection that serves it."""

    __slots__ = (
        "_began", "_chunked", "_client_done", "_close", "_done", "_env", "_intake", "_now",
        "_response_begun", "_responses", "_retried", "_since", "_timed", "_until_close",
        "_upstream_keeps", "detail", "draining", "fresh", "permit", "phase", "record",
        "rest_client", "rest_upstream", "route", "to_client", "to_upstream", "wants",
    )  # fmt: skip

    def __init__(self, route: Route, env: Env, done: Callable[[Record], None]) -> None:
        self.route = route
        self.to_client: list[bytes] = []
        self.to_upstream: list[bytes] = []
        self.wants = 0
        self.fresh = False  # with DIAL: no reused connection
        self.draining = False
        self.phase = IDLE
        self.detail = ""  # the newest fault, for the operational log
        self.permit: Permit | None = None  # policy's word for the request under way
        self.record: Record | None = None
        self.rest_client = b""  # with SWITCH: what either side had sent ahead
        self.rest_upstream = b""
        self._env = env
        self._done = done
        limits = route.limits
        self._intake = Intake(route, self)
        self._responses = ResponseReader(self, limits.head_bytes, limits.fields)
        self._client_done = False
        self._response_begun = False
        self._chunked = False
        self._until_close = False
        self._close = False
        self._upstream_keeps = False
        self._retried = False
        self._began = 0.0
        self._now = 0.0
        self._timed = ""
        self._since = NEVER  # nothing is waited for before `start`

    # --- the client's side -----------------------------------------------------------------

    @property
    def backlogged(self) -> bool:
        """Whether the shell should stop reading from the client."""
        return self.phase is DIALLING or self._intake.waiting

    @property
    def has_unread(self) -> bool:
        """Whether `resume` would find something to do."""
        return self._intake.has_unread

    def start(self, now: float) -> None:
        """The client connection is open: begin to wait."""
        self._now = now
        self._touch()

    def reroute(self, route: Route) -> None:
        """Serve under another route from the next request on."""
        self.route = self._intake.route = route

    def feed_client(self, data: bytes, now: float) -> None:
        """Take bytes from the client."""
        self._now = now
        self._intake.feed(data)
        if self.phase is IDLE and self._intake.in_head:
            self.phase = HEAD
        self._touch()

    def resume(self, now: float) -> None:
        """Go on with bytes that had to wait; the shell calls this when it may read again."""
        self._now = now
        self._intake.resume()
        if self.phase is IDLE and not self._intake.waiting:
            self._rest()
        self._touch()

    def client_eof(self, now: float) -> None:
        """The client will send no more; a complete request still gets its answer."""
        self._now = now
        self._client_done = True
        if self.phase in IDLING:
            self._end(CLOSE)
        elif self._intake.in_request:
            self.client_lost(now)

    def client_lost(self, now: float) -> None:
        """The client is gone, or its request can never be complete."""
        self.cut(CLIENT_CLOSED, now)

    def cut(self, reason: Reason, now: float) -> None:
        """End whatever is under way, for `reason`."""
        self._now = now
        if self.record is not None:
            self._finish(reason)
            self._give_up_upstream()
        self._end(ABORT)

    # --- one exchange ------------------------------------------------------------------------

    def begin(self, request: Request) -> None:
        """Serve a request: see `intake.Turn`."""
        self._began = self._now
        self._timed = ""
        self._response_begun = self._retried = self.fresh = False
        self.record = record = self._new_record()
        record.method = request.method
        record.path = request.target
        record.protocol = "HTTP/1.0" if request.http10 else "HTTP/1.1"
        record.request_id = request.request_id.decode("ascii")
        record.trace_id = request.trace_id
        record.rule = request.verdict.rule
        if isinstance(request.verdict, Denial):
            self._answer(request.verdict.reason)
            return
        self.permit = request.verdict
        self._dial(request)
        for piece in request.body:
            self.send_body(request, piece)
        request.body.clear()
        if request.complete:
            self.send_end(request)

    def _dial(self, request: Request) -> None:
        self.phase = DIALLING
        self.wants |= DIAL
        self.to_upstream.append(request.head)
        self._responses.expect(head_only=request.head_only)

    def _new_record(self) -> Record:
        route = self.route
        record = Record("http", route.direction, route.listener, self._env.epoch + self._now)
        record.peer = route.peer
        record.local = route.local
        return record

    def send_body(self, request: Request, data: bytes) -> None:
        """Forward a piece of the body."""
        assert self.record is not None
        self.record.bytes_in += len(data)
        limit = self.route.limits.body_bytes
        if limit and self.record.bytes_in > limit:
            self._fail(BODY_TOO_LARGE)
        elif request.chunked:
            self.to_upstream += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self.to_upstream.append(data)

    def send_end(self, request: Request) -> None:
        """Forward the end of the request."""
        if request.chunked:
            self.to_upstream += (b"0\r\n", *request.trailers, b"\r\n")
        if self.phase is SEND:
            self.phase = WAIT

    def refuse(self, reason: Reason, detail: str) -> None:
        """Answer bytes that are no request, and listen no more."""
        self.detail = detail
        self._began = self._now
        self.record = record = self._new_record()
        record.status = reason.status
        self.to_client.append(
            own_response(reason, head_only=False, close=True, date=self._env.date)
        )
        self._finish(reason)
        self._end(LINGER)

    def spoil(self, reason: Reason, detail: str) -> None:
        """Give up the request in service: its rest cannot be read."""
        self.detail = detail
        self._fail(reason)

    # --- the upstream's side -----------------------------------------------------------------

    def upstream_ready(self, address: str, peer: str, now: float) -> None:
        """The upstream connection is there; what waits in `to_upstream` can go."""
        self._now = now
        request = self._intake.current
        assert self.record is not None
        assert request is not None
        self.record.upstream = address
        if peer:
            self.record.peer = peer
        self.phase = WAIT if request.complete else SEND
        self._touch()

    def upstream_failed(self, reason: Reason, address: str, now: float) -> None:
        """There will be no upstream connection."""
        self._now = now
        if self.record is not None:
            self.record.upstream = address
        self.to_upstream.clear()
        self._answer(reason)
        self._touch()

    def feed_upstream(self, data: bytes, now: float) -> None:
        """Take bytes from the upstream."""
        self._now = now
        self._responses.feed(data)
        if self.phase is TUNNEL:
            self.rest_upstream = self._responses.rest
        self._touch()

    def upstream_eof(self, now: float, *, reused: bool, fault: Reason | None) -> None:
        """The upstream closed: the end of the body, a broken promise, or a reason to try again.

        `fault` is there after a reset or a TLS stream without its close_notify: then the end of
        the connection proves nothing about the end of the body.
        """
        self._now = now
        request = self._intake.current
        if request is None:
            self.wants |= DROP
        elif self._response_begun and self._until_close and fault is None:
            self._upstream_keeps = False
            self.response_end([])
        elif reused and request.replayable and not self._response_begun and not self._retried:
            self._retried = self.fresh = True
            self.wants = (self.wants & ~RELEASE) | DROP
            self.to_upstream.clear()
            self._dial(request)
        else:
            self._fail(fault or UPSTREAM_CLOSED)
        self._touch()

    # --- what the response reader says ---

    def response_interim(self, status: int, phrase: bytes, fields: Fields) -> None:
        """Pass a 1xx on, to those who know what it is."""
        request = self._intake.current
        if request is not None and not request.http10:
            self.to_client.append(interim_response(status, phrase, fields))

    def response_head(self, status: int, phrase: bytes, version: str, fields: Fields) -> None:
        """The final response begins."""
        request, record = self._intake.current, self.record
        if request is None or record is None:
            return
        record.upstream_s = self._now - self._began
        if status == 101:
            self._switch(request, phrase, fields)
            return
        close = not request.keep_alive or not request.complete or self.draining or self._client_done
        framed = frame_response(request, (status, phrase), fields, close=close, date=self._env.date)
        record.status = status
        self._close = framed.close
        self._chunked = framed.chunked
        self._until_close = framed.until_close
        self._upstream_keeps = fields.keep_alive(version) and not framed.until_close
        self._response_begun = True
        self.phase = STREAM
        self.to_client.append(framed.head)

    def response_body(self, data: bytes) -> None:
        """Pass a piece of the body on, in the client's framing."""
        if self.record is None or not self._response_begun:
            return
        self.record.bytes_out += len(data)
        if self._chunked:
            self.to_client += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self.to_client.append(data)

    def response_end(self, trailers: list[bytes]) -> None:
        """The response is complete."""
        if self.record is None or not self._response_begun:
            return
        if self._chunked:
            self.to_client += (b"0\r\n", *trailers, b"\r\n")
        self._complete()

    def response_fault(self, reason: Reason, detail: str) -> None:
        """The upstream's bytes make no sense."""
        self.detail = detail
        self._fail(reason)

    def _switch(self, request: Request, phrase: bytes, fields: Fields) -> None:
        asked = request.upgrade and fields.upgrade.lower() == b"websocket"
        if not asked or self.record is None:
            self._fail(UNASKED_UPGRADE)
            return
        self.record.status = 101
        self.to_client.append(switching_response(phrase, fields))
        self.phase = TUNNEL
        self.wants |= SWITCH
        self.rest_client = self._intake.take_unread()

    # --- ends ----------------------------------------------------------------------------------

    def _complete(self) -> None:
        """The response is out: reuse what can be reused, and go on with what waits."""
        request = self._intake.current
        assert request is not None
        reader = self._responses
        usable = request.complete and self._upstream_keeps and not reader.surplus
        self.wants |= RELEASE if usable else DROP
        self._finish(None)
        if self._close or not request.complete:
            self._end(CLOSE if request.complete else LINGER)
        else:
            self._next()

    def _next(self) -> None:
        self.phase = IDLE
        if not self._intake.next() and not self._intake.has_unread:
            self._rest()

    def _rest(self) -> None:
        """Nothing is left to answer: wait for more, if more may come."""
        if self._client_done or self.draining:
            self._end(CLOSE)
        elif self._intake.in_head:
            self.phase = HEAD

    def _finish(self, reason: Reason | None) -> None:
        record, self.record, self.permit = self.record, None, None
        if record is not None:
            record.reason = reason
            record.duration_s = self._now - self._began
            self._done(record)

    def _fail(self, reason: Reason) -> None:
        """End the exchange under way: with an answer if none has begun, cut short otherwise."""
        if self.record is None:
            return
        if self._response_begun:
            self._finish(reason)
            self._give_up_upstream()
            self._end(ABORT)
        else:
            self._give_up_upstream()
            self._answer(reason)

    def _give_up_upstream(self) -> None:
        self.to_upstream.clear()
        self.wants = (self.wants & ~(DIAL | RELEASE)) | DROP

    def _answer(self, reason: Reason) -> None:
        """Give the sidecar's own answer to the active request."""
        request, record = self._intake.current, self.record
        assert request is not None
        assert record is not None
        whole = not self._intake.owes(request)
        close = not whole or not request.keep_alive or self.draining or self._client_done
        record.status = reason.status
        self.to_client.append(
            own_response(reason, head_only=request.head_only, close=close, date=self._env.date)
        )
        self._response_begun = True
        self._finish(reason)
        if close:
            self._end(CLOSE if whole else LINGER)
        else:
            self._next()

    def _end(self, how: int) -> None:
        self.wants |= how
        self._intake.stop()
        self.phase = LINGERING if how is LINGER else CLOSED
        self._timed = ""
        self._touch()

    # --- time ----------------------------------------------------------------------------------

    def drain(self) -> None:
        """Finish what is under way, begin nothing new on this connection."""
        self.draining = True
        if self.phase is IDLE and not self.wants:
            self._end(CLOSE)

    def expire(self, now: float) -> None:
        """The deadline has passed: what that means depends on who was waited for."""
        self._now = now
        match self.phase:
            case "idle" | "lingering":
                self._end(CLOSE)
            case "head":
                self.refuse(HEAD_TIMEOUT, "")
            case "send":
                self._fail(TOTAL_TIMEOUT if self._over_total(now) else BODY_TIMEOUT)
            case "dialling" | "wait" | "stream":
                self._fail(TOTAL_TIMEOUT if self._over_total(now) else UPSTREAM_TIMEOUT)
            case _:
                pass

    def _over_total(self, now: float) -> bool:
        total = self.route.timeouts.total
        return bool(total) and now >= self._began + total

    @property
    def deadline(self) -> float:
        """When the phase has lasted too long; worked out when the sweep asks, not for each byte."""
        began = self._began if self.record is not None else None
        return deadline(self.phase, self.route.timeouts, self._since, began)

    def _touch(self) -> None:
        """Note when the phase began; in active phases, when something last moved."""
        phase = self.phase
        if phase is not self._timed or phase in ACTIVE:
            self._timed = phase
            self._since = self._now
