"""The peer's identity for the application: the value of `x-forwarded-client-cert`.

Envoy's grammar: an element is `key=value` pairs joined by `;`, elements are joined by `,`. A
value that holds one of those, or `=`, stands in double quotes with its own quotes escaped by a
backslash. This workload makes the only element, so the application never sees another one.

Some of the values come out of a certificate, and what a certificate says must not end a value,
an element or the field. So, beyond the grammar, whatever is not visible ASCII or a space is
percent-encoded, `%` with it so that decoding is exact; and so is a backslash that would stand
before a quote, where readers disagree about what it escapes. A SPIFFE ID, a hash and a DNS
name never need any of that; a subject can.
"""

from __future__ import annotations

import re
from typing import Final

from pki.names import SpiffeID
from sidecar.core.ids import Peer

_BARE: Final = re.compile(r"[A-Za-z0-9._:/*-]+")
_ENCODED: Final = re.compile(r'[^ -~]|%|\\(?="|\Z)')


def xfcc(peer: Peer, own: SpiffeID) -> bytes:
    """The field value for requests of `peer` to this workload; made once for each connection."""
    pairs = [
        f"By={_value(str(own))}",
        f"Hash={_value(peer.fingerprint)}",
        f"Subject={_quoted(peer.subject)}",
        f"URI={_value(str(peer.spiffe_id))}",
        *(f"DNS={_value(name)}" for name in peer.dns),
    ]
    return ";".join(pairs).encode("ascii")


def _value(text: str) -> str:
    return text if _BARE.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    plain = _ENCODED.sub(_percent, text).replace('"', '\\"')
    return f'"{plain}"'


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in match[0].encode("utf-8", "surrogatepass"))
