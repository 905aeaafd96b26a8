"""Who is there, and what they may do: the values that pass between the handshake and the dial.

A `Permit` is the proof that policy said yes. Everything that opens a connection to the
application or to an upstream takes one as an argument, so forgetting the check is a type error
and not a hole (`core.policy` is the only place that makes them).
"""

from __future__ import annotations

from dataclasses import dataclass

from pki.names import SpiffeID
from sidecar.core.reasons import Reason


@dataclass(frozen=True, slots=True)
class Peer:
    """The verified identity at the other end of a TLS connection.

    `not_before` and `not_after` are seconds since the epoch; `fingerprint` is the SHA-256 of the
    certificate's DER in lower-case hex; `subject` is RFC 4514 text, empty for most SVIDs; `dns`
    are the certificate's DNS names.
    """

    spiffe_id: SpiffeID
    fingerprint: str
    not_before: float
    not_after: float
    serial: int
    subject: str
    dns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Permit:
    """Policy said yes; `rule` is the id of the rule that did."""

    rule: str


@dataclass(frozen=True, slots=True)
class Denial:
    """Policy said no; `rule` is the id of the `deny` rule that matched, or `-` for the default."""

    reason: Reason
    rule: str


class RefusedError(Exception):
    """A connection is refused for `reason`; `detail` is for the operational log, not the peer."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.code} {reason.title}" + (f": {detail}" if detail else ""))
        self.reason = reason
        self.detail = detail
