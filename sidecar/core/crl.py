"""A read-only view of a certificate revocation list: who issued it, until when, which serials.

RFC 5280 section 5. OpenSSL checks the lists of a chain, signatures included, in each full
handshake; it does not look again when a session is resumed or a connection grows old. For that
the serials are needed here. Only complete lists of one issuer's own certificates are read: a
delta or an indirect list has a critical extension, and taking it for a complete one would miss
certificates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sidecar.core import der
from sidecar.core.der import Element, MalformedCertificateError
from sidecar.core.dn import name_text
from sidecar.core.x509 import MAX_SERIAL_BYTES

MAX_CRL_BYTES: Final = 32 * 1024 * 1024  # about 800,000 entries
_VERSION_2: Final = bytes.fromhex("020101")
_TIMES: Final = frozenset({der.UTC_TIME, der.GENERALIZED_TIME})
_EXTENSIONS: Final = 0xA0


@dataclass(frozen=True, slots=True)
class Crl:
    """What `issuer` (DER of its name) has revoked; times are seconds since the epoch."""

    issuer: bytes
    issuer_text: str
    this_update: float
    next_update: float
    serials: frozenset[int] = field(repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Crl:
        """Read a complete version 2 list, or raise `MalformedCertificateError`."""
        if len(data) > MAX_CRL_BYTES:
            raise MalformedCertificateError(f"{len(data)} bytes are too many for a CRL")
        top = der.whole(data, der.SEQUENCE)
        tbs, algorithm, signature = der.shape(data, top, der.SEQUENCE, der.SEQUENCE, der.BIT_STRING)
        der.octets(data, signature)
        fields = der.members(data, tbs)
        if len(fields) < 5 or der.raw(data, fields[0]) != _VERSION_2:
            raise MalformedCertificateError("not a CRL of version 2 with both its times")
        if der.raw(data, fields[1]) != der.raw(data, algorithm):
            raise MalformedCertificateError("the two signature algorithms differ")
        issuer = der.raw(data, fields[2])
        return cls(
            issuer,
            name_text(issuer),
            der.moment(data, fields[3]),
            der.moment(data, fields[4]),
            _serials(data, fields[5:]),
        )


def _serials(data: bytes, rest: list[Element]) -> frozenset[int]:
    """The revoked serials; `rest` is the list, which may be missing, and the extensions."""
    if rest and rest[-1].tag == _EXTENSIONS:
        (extensions,) = der.shape(data, rest.pop(), der.SEQUENCE)
        _refuse_critical(data, extensions)
    if not rest:
        return frozenset()
    if len(rest) > 1:
        raise MalformedCertificateError("not the fields of a CRL")
    der.expect(rest[0], der.SEQUENCE)
    return frozenset(_serial(data, entry) for entry in der.all_of(data, rest[0], der.SEQUENCE))


def _serial(data: bytes, entry: Element) -> int:
    """The serial of one entry, which has a time and perhaps extensions behind it."""
    fields = der.members(data, entry)
    if not 2 <= len(fields) <= 3 or fields[1].tag not in _TIMES:
        raise MalformedCertificateError(f"not a revoked certificate at byte {entry.begin}")
    if len(fields) == 3:
        der.expect(fields[2], der.SEQUENCE)
        _refuse_critical(data, fields[2])
    return der.natural(data, fields[0], MAX_SERIAL_BYTES)


def _refuse_critical(data: bytes, extensions: Element) -> None:
    for extension in der.all_of(data, extensions, der.SEQUENCE):
        fields = der.members(data, extension)
        if len(fields) != 2:
            raise MalformedCertificateError(
                "a CRL with a critical extension: it is partial, indirect or a delta"
            )
