"""What may be asked of the CA: life times, names and their bounds. Values only, no I/O.

A `Profile` is decided once, at `pki init`, and kept in the first record of the issuance log. A
`Request` is one person's or program's wish; `Profile.check` says yes by returning and no by
raising. Everything that ends up in a certificate passed through here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from pki.names import SpiffeID

IPAddress = IPv4Address | IPv6Address

LEAF_TTL: Final = timedelta(hours=24)
INTERMEDIATE_TTL: Final = timedelta(days=365)
ROOT_TTL: Final = timedelta(days=3650)
BACKDATE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Request:
    """One certificate that somebody wants. `ttl` counts from now; None is the profile's own."""

    spiffe_id: SpiffeID
    dns: tuple[str, ...] = ()
    ips: tuple[IPAddress, ...] = ()
    ttl: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """What one CA issues. `permit_dns` empty: private DNS names only; else exactly those trees."""

    trust_domain: str
    permit_dns: tuple[str, ...] = ()
    leaf_ttl: timedelta = LEAF_TTL
    max_leaf_ttl: timedelta = timedelta(days=90)
    intermediate_ttl: timedelta = INTERMEDIATE_TTL
    root_ttl: timedelta = ROOT_TTL
    crl_ttl: timedelta = timedelta(days=7)
    root_crl_ttl: timedelta = timedelta(days=365)

    def check(self, request: Request) -> None:
        """Return if `request` may be granted, else raise `RequestError`."""
        raise NotImplementedError


def parse_duration(text: str) -> timedelta:
    """Read `90s`, `15m`, `24h`, `7d` or `2w` (one number, one unit), or raise `RequestError`."""
    raise NotImplementedError


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `duration` (whole seconds)."""
    raise NotImplementedError


def parse_ip(text: str) -> IPAddress:
    """Read an IPv4 or IPv6 address, or raise `RequestError`."""
    raise NotImplementedError
