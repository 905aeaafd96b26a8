"""From a response's head to what the client gets, and the responses that the sidecar makes itself.

Framing is chosen anew for the client's version of HTTP (RFC 9112 section 6.3): the length if
there is one, chunks for HTTP/1.1, the end of the connection for HTTP/1.0.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, NamedTuple

from sidecar.core.fields import Fields
from sidecar.core.reasons import Reason
from sidecar.core.request import VIA, Request

_PHRASES: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


class Framed(NamedTuple):
    """A rendered response head and how its body is delimited.

    `until_close`: the upstream ends the body by closing. `chunked`: the client gets chunks.
    """

    head: bytes
    chunked: bool
    until_close: bool
    close: bool


def frame_response(
    request: Request, status_line: tuple[int, bytes], fields: Fields, *, close: bool, date: bytes
) -> Framed:
    """Render a final response's head for the client that asked."""
    status, phrase = status_line
    if fields.connection is not None:
        fields.drop_named_by_connection()
    bodiless = request.head_only or status in {204, 304}
    until_close = not bodiless and fields.length is None and fields.coding is None
    chunked = not bodiless and fields.length is None and not request.http10
    close = close or (until_close and request.http10)
    close = close or (fields.coding is not None and request.http10 and not bodiless)
    if chunked:
        framing = b"transfer-encoding: chunked\r\n"
    elif fields.length is not None and status != 204:
        framing = b"content-length: %d\r\n" % fields.length
    else:
        framing = b""
    if close:
        framing += b"connection: close\r\n"
    elif request.http10:
        framing += b"connection: keep-alive\r\n"
    if not fields.has_date:
        framing += date  # RFC 9110 section 6.6.1
    first = b"HTTP/1.1 %d %b\r\n" % (status, phrase)
    head = b"".join((first, *fields.lines, framing, VIA, b"\r\n"))
    return Framed(head, chunked, until_close, close)


def interim_response(status: int, phrase: bytes, fields: Fields) -> bytes:
    """Render a 1xx response (RFC 9110 section 15.2)."""
    fields.drop_named_by_connection()
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, phrase, b"".join(fields.lines))


def switching_response(phrase: bytes, fields: Fields) -> bytes:
    """Render the 101 that turns an exchange into a tunnel."""
    fields.drop_named_by_connection()
    return (b"HTTP/1.1 101 %b\r\n%bconnection: upgrade\r\nupgrade: websocket\r\n%b\r\n") % (
        phrase,
        b"".join(fields.lines),
        VIA,
    )


def own_response(reason: Reason, *, head_only: bool, close: bool, date: bytes) -> bytes:
    """Render the sidecar's own answer: the reason's status, its code as a field and as the body."""
    body = f"{reason.code} {reason.title}\n".encode("ascii")
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
        b"x-sidecar-reason: %b\r\n%b%b%b\r\n%b"
    ) % (
        reason.status,
        _PHRASES[reason.status],
        len(body),
        reason.code.encode("ascii"),
        b"connection: close\r\n" if close else b"",
        date,
        VIA,
        b"" if head_only else body,
    )
