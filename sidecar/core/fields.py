"""Which header fields go on, which are remembered, and which end here.

One table decides, by lower-case name. Everything that describes *this hop* (RFC 9110 section
7.6.1) or *this message's length* is taken out and written anew by whoever renders the head, so
no ambiguity in the input survives. Identity fields are taken out in every spelling that an
application might read as one: WSGI and CGI turn `-` into `_`, so `X_Forwarded_Client_Cert`
would reach the application under the name that only the sidecar may set.

`Fields` is filled by the parser's callbacks, one call for each field: it is the innermost loop
of the HTTP path, and ordinary fields cost one dict look-up and one append.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from sidecar.core.reasons import BAD_FRAMING, BAD_HOST, Reason

PLAIN: Final = 0  # goes on as it came
DROP: Final = 1  # ends here
HOST: Final = 2
CONNECTION: Final = 3
CONTENT_LENGTH: Final = 4
TRANSFER_ENCODING: Final = 5
UPGRADE: Final = 6
EXPECT: Final = 7
REQUEST_ID: Final = 8
TRACEPARENT: Final = 9
DATE: Final = 10

_KINDS: Final[dict[bytes, int]] = {
    b"host": HOST,
    b"connection": CONNECTION,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"x-request-id": REQUEST_ID,
    b"traceparent": TRACEPARENT,
    b"date": DATE,
    # This hop only.
    b"keep-alive": DROP,
    b"proxy-connection": DROP,
    b"proxy-authenticate": DROP,
    b"proxy-authorization": DROP,
    b"te": DROP,
    b"http2-settings": DROP,
    # Only a sidecar says who the peer is.
    b"x-forwarded-client-cert": DROP,
}
_IDENTITY: Final = b"x-forwarded-client-cert"
_HOP: Final = frozenset({b"close", b"keep-alive", b"upgrade", b"te"})
# What Connection may not remove: fields that this sidecar writes itself after the removal.
_KEPT: Final = frozenset({b"host", b"content-length", b"transfer-encoding"})
_SEPARATORS: Final = re.compile(rb"[^a-z0-9]")
# A registered name or IPv4 address, or a bracketed IPv6 address, and a port (RFC 3986 3.2.2),
# without user information, which has no place in a Host field.
_AUTHORITY: Final = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+=-]|%[0-9A-Fa-f]{2}){1,255}(?::[0-9]{0,5})?"
    rb"|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{0,5})?"
)
_TOKEN_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")


def _common_spellings() -> dict[bytes, int]:
    """Map the usual spellings of the usual names, so that most fields need no lower-casing."""
    plain = (
        b"accept accept-encoding accept-language authorization cache-control content-encoding "
        b"content-type cookie etag if-modified-since if-none-match last-modified location origin "
        b"pragma referer server set-cookie trailer user-agent vary via x-forwarded-for "
        b"x-forwarded-proto"
    )
    kinds = dict.fromkeys(plain.split(), PLAIN) | _KINDS
    return kinds | {name.title(): kind for name, kind in kinds.items()}


KINDS: Final = _common_spellings()


def kind_of(name: bytes) -> int:
    """Say what becomes of a field with this name, whatever its case."""
    lower = name.lower()
    kind = _KINDS.get(lower, PLAIN)
    if kind is PLAIN and _SEPARATORS.sub(b"-", lower) == _IDENTITY:
        return DROP
    return kind


@lru_cache(maxsize=256)  # a connection asks for the same few names again and again
def authority(value: bytes) -> bytes | None:
    """Return a well-formed `host[:port]` as it is, or None (RFC 9112 section 3.2)."""
    return value if _AUTHORITY.fullmatch(value) else None


class Fields:
    """The fields of one message: what goes on as lines, what steers as attributes.

    `fault` is the first reason for which the message must be refused; after it nothing else
    counts. `seen` and `seen_bytes` measure what did not become a line.
    """

    __slots__ = (
        "coding", "connection", "expect", "fault", "has_date", "host", "length", "lines",
        "request_id", "seen", "seen_bytes", "trace_id", "upgrade",
    )  # fmt: skip

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.connection: set[bytes] | None = None
        self.host: bytes | None = None
        self.length: int | None = None
        self.coding: bytes | None = None
        self.upgrade = b""
        self.expect = b""
        self.request_id = b""
        self.trace_id = ""
        self.has_date = False
        self.fault: Reason | None = None
        self.seen = 0
        self.seen_bytes = 0

    @property
    def count(self) -> int:
        """How many fields there were."""
        return len(self.lines) + self.seen

    @property
    def size(self) -> int:
        """How many bytes they took, each with its `: ` and line end."""
        return sum(map(len, self.lines)) + self.seen_bytes

    def special(self, kind: int, name: bytes, value: bytes) -> None:
        """Take a field that is not simply passed on; the usual ones first."""
        self.seen += 1
        self.seen_bytes += len(name) + len(value) + 4
        value = value.strip(b" \t")
        if kind == HOST:
            self._on_host(value)
        elif kind == CONNECTION:
            self._on_connection(value)
        elif kind == CONTENT_LENGTH:
            self._on_content_length(value)
        elif kind == DATE:
            self.lines.append(b"date: %b\r\n" % value)
            self.has_date = True
        else:
            self._rare(kind, value)

    def _rare(self, kind: int, value: bytes) -> None:
        if kind == REQUEST_ID:
            if not self.request_id and _TOKEN_ID.fullmatch(value):
                self.request_id = value
        elif kind == TRACEPARENT:
            self._on_traceparent(value)
        elif kind == TRANSFER_ENCODING:
            self._on_transfer_encoding(value)
        elif kind == UPGRADE:
            self.upgrade = self.upgrade + b"," + value if self.upgrade else value
        elif kind == EXPECT:
            self.expect = self.expect + b"," + value if self.expect else value

    def _on_host(self, value: bytes) -> None:
        if self.host is not None or authority(value) is None:
            self.fault = self.fault or BAD_HOST
        self.host = value

    def _on_connection(self, value: bytes) -> None:
        tokens = {token.strip(b" \t").lower() for token in value.split(b",")}
        self.connection = tokens if self.connection is None else self.connection | tokens

    def _on_content_length(self, value: bytes) -> None:
        # The parser has refused signs, lists and repetition; int() alone would take `1_0`.
        if not value.isdigit() or len(value) > 18 or self.length is not None:
            self.fault = self.fault or BAD_FRAMING
        else:
            self.length = int(value)

    def _on_transfer_encoding(self, value: bytes) -> None:
        # Any coding beside `chunked` would have to be undone or passed on; neither is safe.
        if self.coding is not None or value.lower() != b"chunked":
            self.fault = self.fault or BAD_FRAMING
        self.coding = b"chunked"

    def _on_traceparent(self, value: bytes) -> None:
        self.lines.append(b"traceparent: %b\r\n" % value)
        match = _TRACEPARENT.fullmatch(value)
        if match:
            self.trace_id = match[1].decode("ascii")

    def drop_named_by_connection(self) -> None:
        """Remove what Connection names as being for this hop only (RFC 9110 section 7.6.1)."""
        if self.connection is None or self.connection <= _HOP:
            return
        named = self.connection - _HOP - _KEPT
        self.lines = [line for line in self.lines if line[: line.index(b":")].lower() not in named]

    def keep_alive(self, version: str) -> bool:
        """Whether the sender keeps the connection open after this message (RFC 9112 9.3)."""
        tokens = self.connection
        if tokens is None:
            return version == "1.1"
        return b"close" not in tokens and (version == "1.1" or b"keep-alive" in tokens)
