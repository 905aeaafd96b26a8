"""From a request's head to what may be forwarded: the header rules, then policy, then a new head.

The order is the point. First everything that makes the request unambiguous (target, Host,
framing), then the question to policy, asked about exactly the method and path that will be
written, and only then is a head rendered. What policy saw and what the application gets cannot
differ, because they are the same string.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sidecar.core.fields import Fields, authority
from sidecar.core.ids import Denial, Permit, RefusedError
from sidecar.core.reasons import BAD_EXPECT, BAD_HOST, BAD_PATH, BODY_TOO_LARGE, NO_CONNECT
from sidecar.core.record import Direction

VIA: Final = b"via: 1.1 mtls-sidecar\r\n"
UPGRADE_PROTOCOL: Final = b"websocket"  # the one protocol that is let through an upgrade
_SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
_IDEMPOTENT: Final = _SAFE | {b"PUT", b"DELETE"}  # RFC 9110 section 9.2.2
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)([^#]*)")


Authorize = Callable[[str, str], Permit | Denial]
TargetRule = Callable[[str], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one exchange; `body_bytes` 0 is no bound."""

    head_bytes: int = 65536
    fields: int = 100
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: a whole head, silence, the wait for a response, all of it (0: none)."""

    head: float = 10.0
    idle: float = 75.0
    response: float = 60.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Route:
    """What all exchanges of one client connection have in common.

    `authorize` is policy, already bound to the peer. `target_rule` checks and canonicalises a
    request target (`core.path`), raising `RefusedError`. `new_id` makes a request id for those who
    bring none. `identity` is the whole header line that
    tells the application who called, or empty on the outbound side.
    """

    listener: str
    direction: Direction
    authorize: Authorize
    target_rule: TargetRule
    new_id: Callable[[], bytes]
    identity: bytes = b""
    peer: str = ""
    local: str = ""
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()


class Request:
    """One request, ready to be forwarded or refused.

    `head` is the new head. `verdict` is a `Permit`, or the `Denial` for which it goes nowhere.
    `body` holds pieces that arrived before this request had its turn.
    """

    __slots__ = (
        "body", "chunked", "complete", "head", "head_only", "http10", "keep_alive", "method",
        "path", "replayable", "request_id", "target", "trace_id", "trailers", "upgrade", "verdict",
    )  # fmt: skip

    def __init__(self, method: bytes, version: str, fields: Fields) -> None:
        self.method = method.decode("ascii")
        self.http10 = version == "1.0"
        self.keep_alive = fields.keep_alive(version)
        self.chunked = fields.coding is not None
        self.head_only = method == b"HEAD"
        self.complete = fields.coding is None and not fields.length
        self.replayable = self.complete and method in _IDEMPOTENT
        self.upgrade = _wants_upgrade(fields)
        self.request_id = fields.request_id
        self.trace_id = fields.trace_id
        self.target = ""
        self.path = ""
        self.head = b""
        self.verdict: Permit | Denial
        self.body: list[bytes] = []
        self.trailers: list[bytes] = []


def read_request(
    route: Route, method: bytes, target: bytes, version: str, fields: Fields
) -> Request:
    """Turn a parsed head into a `Request`; raise `RefusedError` where the connection must end."""
    request = Request(method, version, fields)
    if method == b"CONNECT":
        raise RefusedError(NO_CONNECT)
    host, target = _destination(method, target, version, fields)
    if fields.expect and fields.expect.lower() != b"100-continue":
        raise RefusedError(BAD_EXPECT, repr(fields.expect[:40]))
    limit = route.limits.body_bytes
    if limit and fields.length and fields.length > limit:
        raise RefusedError(BODY_TOO_LARGE, f"{fields.length} bytes")
    request.path, query = _target(route, method, target)
    request.target = request.path + query
    request.verdict = route.authorize(request.method, request.path)
    if not request.request_id:
        request.request_id = route.new_id()
    if isinstance(request.verdict, Permit):
        request.head = _render(route, request, host, fields)
    return request


def _target(route: Route, method: bytes, target: bytes) -> tuple[str, str]:
    if target == b"*" and method == b"OPTIONS":
        return "*", ""
    if not target.startswith(b"/"):
        raise RefusedError(BAD_PATH, "neither a path nor an http URI")
    return route.target_rule(target.decode("latin-1"))


def _destination(method: bytes, target: bytes, version: str, fields: Fields) -> tuple[bytes, bytes]:
    """Return the Host to send and the origin-form target (RFC 9112 sections 3.2 and 3.2.2)."""
    host = fields.host
    if host is None:
        if version == "1.1":
            raise RefusedError(BAD_HOST, "missing")
        host = b""
    if target.startswith(b"/"):
        return host, target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return host, target
    if authority(absolute[1]) is None:
        raise RefusedError(BAD_HOST, "in the target")
    rest = absolute[2]
    if not rest.startswith(b"/"):
        rest = b"*" if method == b"OPTIONS" and not rest else b"/" + rest
    return absolute[1], rest


def _wants_upgrade(fields: Fields) -> bool:
    return (
        bool(fields.upgrade)
        and fields.connection is not None
        and b"upgrade" in fields.connection
        and fields.upgrade.lower() == UPGRADE_PROTOCOL
        and not fields.coding
        and not fields.length
    )


def _render(route: Route, request: Request, host: bytes, fields: Fields) -> bytes:
    if fields.connection is not None:
        fields.drop_named_by_connection()
    if fields.coding is not None:
        framing = b"transfer-encoding: chunked\r\n"
    elif fields.length is not None:
        framing = b"content-length: %d\r\n" % fields.length
    else:
        framing = b""
    if fields.expect and not request.http10:
        framing += b"expect: 100-continue\r\n"
    if request.upgrade:
        framing += b"connection: upgrade\r\nupgrade: websocket\r\n"
    return b"".join(
        (
            request.method.encode("ascii"), b" ", request.target.encode("ascii"),
            b" HTTP/1.1\r\nhost: ", host, b"\r\n",
            *fields.lines, framing, route.identity, VIA,
            b"x-request-id: ", request.request_id, b"\r\n\r\n",
        )
    )  # fmt: skip
