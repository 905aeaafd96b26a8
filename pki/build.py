"""Values in, certificate out: (issuer, request, profile, now, serial) -> certificate. No I/O.

Nothing here reads a clock, makes a random number or touches a file, so every certificate can be
built again in a test, byte for byte but for the signature. Nothing leaves without passing `lint`
first: `_sign` is the one place where a CA key is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from pki.keys import PrivateKey, PublicKey
from pki.profile import Profile, Request


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate that may sign, and its key."""

    certificate: x509.Certificate
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class Revoked:
    """One line of a CRL. `reason` is None for RFC 5280's `unspecified`, which is left out."""

    serial: int
    at: datetime
    reason: x509.ReasonFlags | None


def serial_number(entropy: bytes) -> int:
    """Turn 20 random bytes into a positive serial number of exactly 20 octets."""
    raise NotImplementedError


def root(key: PrivateKey, profile: Profile, now: datetime, serial: int) -> x509.Certificate:
    """A self-signed root: path length 1, constrained to the profile's names."""
    raise NotImplementedError


def intermediate(
    issuer: Issuer, public_key: PublicKey, profile: Profile, now: datetime, serial: int
) -> x509.Certificate:
    """An issuing CA under `issuer`: path length 0, the same name constraints."""
    raise NotImplementedError


def leaf(  # noqa: PLR0913  # what decides a certificate, and nothing hidden
    issuer: Issuer,
    request: Request,
    public_key: PublicKey,
    profile: Profile,
    now: datetime,
    serial: int,
) -> x509.Certificate:
    """An X.509-SVID for `request`, or raise `RequestError`/`LintError`; never outlives `issuer`."""
    raise NotImplementedError


def crl(
    issuer: Issuer, revoked: Iterable[Revoked], number: int, now: datetime, until: datetime
) -> x509.CertificateRevocationList:
    """A complete v2 CRL of `issuer`, next update at `until`, with `number` as its CRL number."""
    raise NotImplementedError
