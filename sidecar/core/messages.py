"""Bytes in, HTTP/1.1 messages out: the two readers around the C parser.

llhttp (by way of httptools) is strict where smuggling lives: CL with TE, repeated or signed
lengths, bare LF, folded lines, blanks before the colon, NULs. It is blind in a few places, and
this module looks there: the size and number of fields, Host, codings other than chunked,
HTTP/1.0 with Transfer-Encoding, trailers that arrive as if they were fields, a response to HEAD
whose body never comes, bytes after the end of a response, and a request that asks for an
upgrade and has a body as well.

A reader tells its `sink` what it found, in order: a head, body pieces, the end. It never raises
for bad input: it reports the fault once and reads no further.
"""

from __future__ import annotations

from typing import Final, Protocol

import httptools

from sidecar.core.fields import KINDS, PLAIN, Fields, kind_of
from sidecar.core.reasons import (
    BAD_FRAMING,
    BAD_REQUEST,
    BAD_VERSION,
    HEAD_TOO_LARGE,
    UPSTREAM_PROTOCOL,
    Reason,
)

# One parser call sees at most this much, so that a burst of pipelined requests is looked at
# in pieces and the rest waits as bytes. A TLS record is no larger.
SLICE: Final = 16 * 1024
_MAX_INTERIM: Final = 32  # 1xx responses before the final one; nobody needs more


class RequestSink(Protocol):
    """Who is told about requests."""

    def request_head(self, method: bytes, target: bytes, version: str, fields: Fields) -> None:
        """A complete head that passed the reader's rules."""

    def request_body(self, data: bytes) -> None:
        """A piece of the body of the newest request."""

    def request_end(self, trailers: list[bytes]) -> None:
        """The newest request is complete."""

    def request_fault(self, reason: Reason, detail: str) -> None:
        """Nothing more can be read from this client."""


class ResponseSink(Protocol):
    """Who is told about the response."""

    def response_interim(self, status: int, phrase: bytes, fields: Fields) -> None:
        """A 1xx response other than 101."""

    def response_head(self, status: int, phrase: bytes, version: str, fields: Fields) -> None:
        """The final response's head; a 101 too."""

    def response_body(self, data: bytes) -> None:
        """A piece of the body."""

    def response_end(self, trailers: list[bytes]) -> None:
        """The response is complete."""

    def response_fault(self, reason: Reason, detail: str) -> None:
        """The upstream's bytes are no use."""


class _Fault(Exception):
    """Stops the parser from inside a callback."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail


def _trailer(name: bytes, value: bytes) -> bytes | None:
    """Render a trailer field, or None for one that must not come late (RFC 9110 section 6.5.1)."""
    if kind_of(name) is not PLAIN or b"_" in name:
        return None
    return b"%b: %b\r\n" % (name, value)


class _FieldReader:
    """What both readers do with a field: before the body it steers, after it, it is a trailer."""

    __slots__ = (
        "_fed", "_fields", "_head_bytes", "_in_body", "_max_fields", "_trailers", "broken",
    )  # fmt: skip

    def __init__(self, head_bytes: int, fields: int) -> None:
        self._head_bytes = head_bytes
        self._max_fields = fields
        self._fields = Fields()
        self._trailers: list[bytes] = []
        self._fed = 0  # bytes of a head that came in pieces
        self._in_body = False
        self.broken = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one field, or one trailer."""
        if self._in_body:
            line = _trailer(name, value)
            if line:
                self._trailers.append(line)
            return
        kind = KINDS.get(name)
        if kind is None:
            kind = kind_of(name)
        if kind is PLAIN:
            self._fields.lines.append(name + b": " + value + b"\r\n")
        else:
            self._fields.special(kind, name, value)


class RequestReader(_FieldReader):
    """Reads one client connection's requests."""

    __slots__ = (
        "_continued", "_muted", "_parser", "_reprime", "_sink", "_target", "in_head",
    )  # fmt: skip

    def __init__(self, sink: RequestSink, head_bytes: int, fields: int) -> None:
        super().__init__(head_bytes, fields)
        self._sink = sink
        self._parser = httptools.HttpRequestParser(self)
        self._target: list[bytes] = []
        self._continued = False  # the present head began in an earlier slice
        self._muted = False
        self._reprime = b""
        self.in_head = False

    def feed(self, data: bytes) -> int:
        """Parse at most `SLICE` bytes; return how many were taken."""
        self._continued = self.in_head
        taken = len(data)
        if taken > SLICE:
            data, taken = data[:SLICE], SLICE
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            taken = upgrade.args[0]
            if self._reprime:
                self._restart()
        except httptools.HttpParserError as error:
            fault = error.__context__
            if isinstance(fault, _Fault):
                self._fail(fault.reason, fault.detail)
            elif isinstance(fault, Exception):
                raise fault from None  # a defect of ours, not the client's
            else:
                self._fail(BAD_REQUEST, str(error))
        if self._continued and self.in_head:
            self._fed += taken
            if self._fed > self._head_bytes:
                self._fail(HEAD_TOO_LARGE, f"more than {self._head_bytes} bytes and no end")
        return taken

    def _fail(self, reason: Reason, detail: str) -> None:
        if not self.broken:
            self.broken = True
            self._sink.request_fault(reason, detail)

    # --- callbacks of the parser ---

    def on_message_begin(self) -> None:
        """Start a request."""
        if not self._muted:
            self._fields = Fields()
            self._target = []
            self._trailers = []
            self._fed = 0
            self.in_head = True
            self._in_body = False

    def on_url(self, piece: bytes) -> None:
        """Collect the target, which comes in pieces."""
        self._target.append(piece)

    def on_headers_complete(self) -> None:
        """Check what the parser does not, and hand the head on."""
        if self._muted:
            return
        self.in_head = False
        self._in_body = True
        fields, parser = self._fields, self._parser
        target = self._target[0] if len(self._target) == 1 else b"".join(self._target)
        version = parser.get_http_version()
        if fields.fault is not None:
            raise _Fault(fields.fault)
        if version not in {"1.1", "1.0"}:
            raise _Fault(BAD_VERSION, version)
        if fields.coding and version == "1.0":
            raise _Fault(BAD_FRAMING, "Transfer-Encoding in HTTP/1.0")
        self._check_size(fields, len(target))
        if parser.should_upgrade() and (fields.coding or fields.length):
            self._reprime = _framing_head(fields)
        self._sink.request_head(parser.get_method(), target, version, fields)

    def _check_size(self, fields: Fields, target_bytes: int) -> None:
        if fields.count > self._max_fields:
            raise _Fault(HEAD_TOO_LARGE, f"{fields.count} fields")
        # Only a head that came in several reads or in a full slice can be over a sane limit.
        if self._continued or self._head_bytes < SLICE:
            size = fields.size + target_bytes
            if size > self._head_bytes:
                raise _Fault(HEAD_TOO_LARGE, f"{size} bytes")

    def on_body(self, data: bytes) -> None:
        """Hand on a piece of the body."""
        self._sink.request_body(data)

    def on_message_complete(self) -> None:
        """Hand on the end, unless an ignored upgrade cut the body off."""
        if not self._muted and not self._reprime:
            self._sink.request_end(self._trailers)

    def _restart(self) -> None:
        """Read the body of a request that asked for an upgrade as well.

        llhttp takes such a request as complete after its head and would read the body as the
        next request. A fresh parser that has seen a head with the same framing reads it right.
        """
        self._muted = True
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(self._reprime)
        self._muted = False
        self._reprime = b""


def _framing_head(fields: Fields) -> bytes:
    if fields.coding:
        return b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    return b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (fields.length or 0)


class ResponseReader(_FieldReader):
    """Reads the responses that an upstream gives to one client connection's requests.

    `expect()` before each; `surplus` says that more came than was asked for, so the connection
    that it came from must not be used again (response queue poisoning).
    """

    __slots__ = (
        "_head_only", "_interim", "_parser", "_phrase", "_sink", "_stale", "complete", "rest",
        "surplus",
    )  # fmt: skip

    def __init__(self, sink: ResponseSink, head_bytes: int, fields: int) -> None:
        super().__init__(head_bytes, fields)
        self._sink = sink
        self._parser = httptools.HttpResponseParser(self)
        self._phrase = b""
        self._interim = 0
        self._head_only = False
        self._stale = False  # the parser's state no longer fits the connection
        self.complete = True
        self.surplus = False
        self.rest = b""  # what followed a 101

    def expect(self, *, head_only: bool) -> None:
        """Get ready for the response to the next request; `head_only` if that is HEAD."""
        if self._stale or self.broken or self._in_body or not self.complete:
            self._parser = httptools.HttpResponseParser(self)
        self._head_only = head_only
        self._interim = self._fed = 0
        self._stale = self._in_body = self.complete = self.surplus = self.broken = False
        self.rest = b""

    def feed(self, data: bytes) -> None:
        """Parse what the upstream sent."""
        if self._is_over():
            self.surplus = True
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stale = True
            self.rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            fault = error.__context__
            if isinstance(fault, _Fault):
                self._fail(fault.detail)
            elif isinstance(fault, Exception):
                raise fault from None
            else:
                self._fail(str(error))
        if self.complete:
            # Only now is it known whether more followed than was asked for.
            self._in_body = False
            self._sink.response_end(self._trailers)
        elif not self._in_body:
            self._fed += len(data)
            if self._fed > self._head_bytes:
                self._fail(f"a head of more than {self._head_bytes} bytes")

    def _is_over(self) -> bool:
        return self.complete or self.broken

    def _fail(self, detail: str) -> None:
        if self.complete:
            self._stale = self.surplus = True
        elif not self.broken:
            self.broken = True
            self._sink.response_fault(UPSTREAM_PROTOCOL, detail)

    # --- callbacks of the parser ---

    def on_message_begin(self) -> None:
        """Start a head."""
        if self.complete:
            self.surplus = self._stale = True
            return
        self._fields = Fields()
        self._phrase = b""
        self._trailers = []

    def on_status(self, piece: bytes) -> None:
        """Collect the reason phrase."""
        self._phrase += piece

    def on_headers_complete(self) -> None:
        """Check what the parser does not, and hand the head on."""
        if self.complete:
            return
        fields, parser = self._fields, self._parser
        status, version = parser.get_status_code(), parser.get_http_version()
        self._check(status, version, fields)
        self._fed = 0
        if status < 200 and status != 101:
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise _Fault(UPSTREAM_PROTOCOL, "endless interim responses")
            self._sink.response_interim(status, self._phrase, fields)
            return
        self._in_body = True
        self._stale = not fields.keep_alive(version)  # the parser would take nothing after it
        self._sink.response_head(status, self._phrase, version, fields)
        if self._head_only and status != 101:
            # The parser waits for a body that HEAD never gets; it is of no further use.
            self._stale = self.complete = True

    def _check(self, status: int, version: str, fields: Fields) -> None:
        if fields.fault is not None:
            raise _Fault(fields.fault, "its framing is ambiguous")
        if version not in {"1.1", "1.0"} or not 100 <= status <= 599:
            raise _Fault(UPSTREAM_PROTOCOL, f"HTTP/{version} status {status}")
        if fields.coding and version == "1.0":
            raise _Fault(UPSTREAM_PROTOCOL, "Transfer-Encoding in HTTP/1.0")
        if fields.count > self._max_fields or self._fed > self._head_bytes:
            raise _Fault(UPSTREAM_PROTOCOL, "head over the limits")

    def on_body(self, data: bytes) -> None:
        """Hand on a piece of the body."""
        if self.complete:
            self.surplus = True
        else:
            self._sink.response_body(data)

    def on_message_complete(self) -> None:
        """Remember that this was the end of the final response."""
        if self._in_body:
            self.complete = True
