"""What may be asked of the CA: life times, names and their bounds. Values only, no I/O.

A `Profile` is decided once, at `pki init`, and kept in the first record of the issuance log. A
`Request` is one wish; `Profile.check` says yes by returning and no by raising. Everything that
ends up in a certificate passed through here.

Names. URI names are constrained to the trust domain by the CA certificates themselves (RFC 5280
section 4.2.1.10: the host is exactly the trust domain). DNS names need more thought: one
permitted tree in a CA certificate forbids every name outside of it, and no tree holds `orders`
or `web`, the names that compose and Kubernetes give services. So there are two modes:

* `permit_dns` is empty (the default): the CA signs private DNS names only, those that nobody
  can register (one label, the reserved trees of `PRIVATE_TREES`) and the tree of the trust
  domain. The rule is kept by the CA, not by the certificate. It guards against slips; what
  guards against theft of the CA's key is that no identity here is ever taken from a DNS name.
* `permit_dns` names trees: names in these and in the trust domain's are signed, and the CA
  certificates carry the same list as a constraint, so every verifier refuses anything else. For
  a root that is going to be trusted by browsers and operating systems.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final, Self

from pki.errors import RequestError
from pki.names import SpiffeID, parse_trust_domain

IPAddress = IPv4Address | IPv6Address

SECOND: Final = timedelta(seconds=1)
DAY: Final = timedelta(days=1)
YEAR: Final = timedelta(days=365)
BACKDATE: Final = timedelta(seconds=60)  # clocks of peers that are a little behind

MAX_NAMES: Final = 100  # DNS names and addresses in one certificate
MAX_DNS_BYTES: Final = 253

# RFC 6761, RFC 6762, RFC 8375 and ICANN's reservation of .internal; `svc` is Kubernetes' own and
# not delegated.
PRIVATE_TREES: Final = ("localhost", "local", "internal", "home.arpa", "test", "example", "svc")

# RFC 1918, RFC 6598, loopback and link-local; RFC 4193 and RFC 4291 for IPv6.
PRIVATE_NETWORKS: Final = tuple(
    map(
        ip_network,
        (
            "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10",
        ),
    )
)  # fmt: skip

_UNITS: Final = {
    "s": SECOND,
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": DAY,
    "w": timedelta(weeks=1),
    "y": YEAR,
}
_DURATION = re.compile(r"([0-9]{1,9})([smhdwy])")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Request:
    """One certificate that somebody wants. `ttl` counts from now; None is the profile's own."""

    spiffe_id: SpiffeID
    dns: tuple[str, ...] = ()
    ips: tuple[IPAddress, ...] = ()
    ttl: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """What one CA issues. Raises `RequestError` for values out of bounds.

    Life times are what is asked for: nothing outlives its issuer, so the end may come sooner.
    `permit_dns` is explained above. `crl_ttl` is how long an intermediate's CRL lasts,
    `root_crl_ttl` a root's, whose key is meant to be offline; `refresh` is how often holders of
    the bundle should look for a new one.
    """

    trust_domain: str
    permit_dns: tuple[str, ...] = ()
    leaf_ttl: timedelta = DAY
    max_leaf_ttl: timedelta = 90 * DAY
    intermediate_ttl: timedelta = YEAR
    root_ttl: timedelta = 10 * YEAR
    crl_ttl: timedelta = 7 * DAY
    root_crl_ttl: timedelta = YEAR
    refresh: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        _check_constrainable(self.trust_domain)
        for tree in self.permit_dns:
            _check_dns(tree)
        for name, low, high in (
            ("leaf_ttl", SECOND, self.max_leaf_ttl),
            ("max_leaf_ttl", SECOND, YEAR),
            ("intermediate_ttl", timedelta(hours=1), 30 * YEAR),
            ("root_ttl", timedelta(hours=1), 30 * YEAR),
            ("crl_ttl", timedelta(minutes=1), YEAR),
            ("root_crl_ttl", timedelta(minutes=1), YEAR),
            ("refresh", SECOND, 30 * DAY),
        ):
            _check_span(name, getattr(self, name), low, high)

    def check(self, request: Request) -> None:
        """Return if `request` may be granted, else raise `RequestError`."""
        _check_span("ttl", self.ttl(request), SECOND, self.max_leaf_ttl)
        if request.spiffe_id.trust_domain != self.trust_domain:
            raise RequestError(
                f"{request.spiffe_id} is not in the trust domain {self.trust_domain}",
                f"this CA issues spiffe://{self.trust_domain}/...",
            )
        _check_count(request.dns, request.ips)
        for name in request.dns:
            _check_dns(name)
            self._check_permitted(name)
        for address in request.ips:
            _check_ip(address)
            if self.permit_dns and not any(address in network for network in PRIVATE_NETWORKS):
                raise RequestError(
                    f"{address} is not a private address, and this CA is constrained"
                )

    def ttl(self, request: Request) -> timedelta:
        """How long a certificate for `request` lasts from now."""
        return self.leaf_ttl if request.ttl is None else request.ttl

    def _check_permitted(self, name: str) -> None:
        trees = (self.trust_domain, *(self.permit_dns or PRIVATE_TREES))
        if any(_within(name, tree) for tree in trees):
            return
        if not self.permit_dns and "." not in name:
            return
        raise RequestError(
            f"the DNS name {name} is outside of what this CA signs: {', '.join(trees)}"
            + ("" if self.permit_dns else ", and names of one label"),
            "which names it signs is decided once: pki init --permit-dns TREE",
        )

    def as_dict(self) -> dict[str, Any]:
        """The profile as JSON values: durations are whole seconds."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_dict` wrote."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: _rich(value) for name, value in values.items() if name in names})


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return value // SECOND
    return list(value) if isinstance(value, tuple) else value


def _rich(value: object) -> Any:
    if isinstance(value, int):
        return timedelta(seconds=value)
    return tuple(value) if isinstance(value, list) else value


def parse_duration(text: str) -> timedelta:
    """Read `90s`, `15m`, `24h`, `7d`, `2w` or `10y` (of 365 days), or raise `RequestError`."""
    if found := _DURATION.fullmatch(text):
        try:
            return int(found[1]) * _UNITS[found[2]]
        except OverflowError:
            pass
    raise RequestError(
        f"{text[:40]!a} is not a duration",
        "one number and one of s m h d w y, as in 24h or 7d",
    )


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `duration` (whole seconds)."""
    texts = (
        f"{duration // unit}{letter}"
        for letter, unit in _UNITS.items()
        if duration % unit == timedelta(0)
    )
    return min(texts, key=len)


def parse_ip(text: str) -> IPAddress:
    """Read an IPv4 or IPv6 address without a zone, or raise `RequestError`."""
    try:
        address = ip_address(text)
    except ValueError as error:
        raise RequestError(f"{text[:60]!a} is not an IP address") from error
    _check_ip(address)
    return address


def _check_span(name: str, span: timedelta, low: timedelta, high: timedelta) -> None:
    if span % SECOND:
        raise RequestError(f"{name} is not a whole number of seconds")
    if not low <= span <= high:
        raise RequestError(
            f"{name} is {format_duration(span)}; "
            f"{format_duration(low)} to {format_duration(high)} is allowed"
        )


def _check_constrainable(trust_domain: str) -> None:
    """Refuse trust domains that a URI name constraint cannot hold: not shaped like a host name."""
    parse_trust_domain(trust_domain)
    labels = trust_domain.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise RequestError(
            f"the trust domain {trust_domain} cannot be constrained: it is not shaped like a"
            " host name",
            "use labels of a-z 0-9 and -, joined by dots, the last one not a number",
        )


def _check_count(dns: tuple[str, ...], ips: tuple[IPAddress, ...]) -> None:
    names = [*dns, *ips]
    if len(names) > MAX_NAMES:
        raise RequestError(f"{len(names)} DNS names and addresses; at most {MAX_NAMES} are allowed")
    if len(set(names)) < len(names):
        raise RequestError("a DNS name or address is given twice")


def _check_dns(name: str) -> None:
    labels = name.split(".")
    if len(name) > MAX_DNS_BYTES or not all(map(_LABEL.fullmatch, labels)):
        raise RequestError(
            f"{name[:80]!a} is not a DNS name that can be certified",
            "labels of a-z 0-9 and - joined by dots: no wildcard, underscore, capital or final dot",
        )
    if labels[-1].isdigit():
        raise RequestError(f"{name} looks like an address", f"write --ip {name}")


def _check_ip(address: IPAddress) -> None:
    if address.is_unspecified or address.is_multicast or getattr(address, "scope_id", None):
        raise RequestError(f"{address} does not name one host")


def _within(name: str, tree: str) -> bool:
    return name == tree or name.endswith("." + tree)
