"""The certificate extensions that decide who a peer is and what its key may do.

RFC 5280 section 4.2. The ones that are named here are read whole or the certificate is refused;
of the others only the OID and the criticality are read, because OpenSSL has dealt with them.
An extension that stands twice makes the certificate ambiguous, so it is refused whatever it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sidecar.core import der
from sidecar.core.der import Element, MalformedCertificateError

MAX_EXTENSIONS: Final = 64

SUBJECT_KEY_ID: Final = "2.5.29.14"
KEY_USAGE: Final = "2.5.29.15"
SUBJECT_ALT_NAME: Final = "2.5.29.17"
BASIC_CONSTRAINTS: Final = "2.5.29.19"
AUTHORITY_KEY_ID: Final = "2.5.29.35"
EXTENDED_KEY_USAGE: Final = "2.5.29.37"

# Bits of `Extensions.key_usage` (section 4.2.1.3).
DIGITAL_SIGNATURE: Final = 1 << 0
KEY_CERT_SIGN: Final = 1 << 5
CRL_SIGN: Final = 1 << 6

# Purposes in `Extensions.extended_key_usage` (section 4.2.1.12).
SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"

# GeneralName (section 4.2.1.6): context-specific tags, of which 0, 3, 4 and 5 are constructed.
_DNS: Final = 0x82
_URI: Final = 0x86
_IP: Final = 0x87
_GENERAL_NAMES: Final = frozenset({0xA0, 0x81, _DNS, 0xA3, 0xA4, 0xA5, _URI, _IP, 0x88})


@dataclass(frozen=True, slots=True)
class SubjectNames:
    """The subject alternative names by type, in order, as they stand in the certificate.

    `uris` and `dns` are ASCII and may hold control characters; `ips` are 4 or 16 bytes; `others`
    is how many names of any other type there are.
    """

    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    ips: tuple[bytes, ...] = ()
    others: int = 0


NO_NAMES: Final = SubjectNames()


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the extensions of one certificate say.

    `key_usage` is a bit set and `extended_key_usage` dotted OIDs; both are None where the
    extension is missing. Key identifiers are empty where it is. `critical` holds the OIDs of
    all critical extensions.
    """

    names: SubjectNames
    key_usage: int | None
    extended_key_usage: tuple[str, ...] | None
    is_ca: bool
    path_length: int | None
    subject_key_id: bytes
    authority_key_id: bytes
    critical: frozenset[str]


def read_extensions(data: bytes, element: Element) -> Extensions:
    """Read `[3] EXPLICIT Extensions`, or raise `MalformedCertificateError`."""
    (listing,) = der.shape(data, element, der.SEQUENCE)
    found = der.all_of(data, listing, der.SEQUENCE)
    if len(found) > MAX_EXTENSIONS:
        raise MalformedCertificateError(f"{len(found)} extensions are too many")
    values: dict[str, bytes] = {}
    critical: list[str] = []
    for extension in found:
        oid, is_critical, value = _extension(der.raw(data, extension))
        if oid in values:
            raise MalformedCertificateError(f"the extension {oid} stands twice")
        values[oid] = value
        if is_critical:
            critical.append(oid)
    return _interpret(values, frozenset(critical))


# Nearly all certificates of a trust domain say the same in most of their extensions, byte for
# byte, so each of these readers remembers a few answers.


@lru_cache(maxsize=64)
def _extension(data: bytes) -> tuple[str, bool, bytes]:
    """OID, criticality and value of one extension."""
    fields = der.members(data, der.whole(data, der.SEQUENCE))
    critical = len(fields) == 3 and der.true(data, fields[1])
    if len(fields) != 2 + critical:
        raise MalformedCertificateError("an extension is not an OID and a value")
    der.expect(fields[-1], der.OCTET_STRING)
    return der.identifier(data, fields[0]), critical, der.content(data, fields[-1])


def _interpret(values: dict[str, bytes], critical: frozenset[str]) -> Extensions:
    """Read the values of the extensions that are known here."""
    names, usage, purposes, constraints, subject_key, authority_key = map(
        values.get, (SUBJECT_ALT_NAME, KEY_USAGE, EXTENDED_KEY_USAGE, BASIC_CONSTRAINTS,
                     SUBJECT_KEY_ID, AUTHORITY_KEY_ID)
    )  # fmt: skip
    is_ca, path_length = (False, None) if constraints is None else _basic_constraints(constraints)
    return Extensions(
        names=NO_NAMES if names is None else _subject_names(names),
        key_usage=None if usage is None else _key_usage(usage),
        extended_key_usage=None if purposes is None else _purposes(purposes),
        is_ca=is_ca,
        path_length=path_length,
        subject_key_id=b"" if subject_key is None else _subject_key_id(subject_key),
        authority_key_id=b"" if authority_key is None else _authority_key_id(authority_key),
        critical=critical,
    )


def _subject_names(value: bytes) -> SubjectNames:
    found: dict[int, list[bytes]] = {_URI: [], _DNS: [], _IP: []}
    others = 0
    names = der.members(value, der.whole(value, der.SEQUENCE))
    if not names:
        raise MalformedCertificateError("the list of alternative names is empty")
    for name in names:
        if name.tag not in _GENERAL_NAMES:
            raise MalformedCertificateError(f"an alternative name of type 0x{name.tag:02x}")
        if name.tag in found:
            found[name.tag].append(der.content(value, name))
        else:
            others += 1
    if any(len(address) not in {4, 16} for address in found[_IP]):
        raise MalformedCertificateError("an IP address that has neither 4 nor 16 bytes")
    return SubjectNames(
        tuple(map(_ia5, found[_URI])), tuple(map(_ia5, found[_DNS])), tuple(found[_IP]), others
    )


def _ia5(text: bytes) -> str:
    try:
        return text.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedCertificateError("an alternative name that is not ASCII") from None


@lru_cache(maxsize=64)
def _key_usage(value: bytes) -> int:
    return der.named_bits(value, der.whole(value, der.BIT_STRING))


@lru_cache(maxsize=64)
def _purposes(value: bytes) -> tuple[str, ...]:
    found = der.all_of(value, der.whole(value, der.SEQUENCE), der.OID)
    return tuple(der.identifier(value, purpose) for purpose in found)


@lru_cache(maxsize=64)
def _basic_constraints(value: bytes) -> tuple[bool, int | None]:
    """Whether it is a CA, and the path length (section 4.2.1.9)."""
    fields = der.members(value, der.whole(value, der.SEQUENCE))
    if not fields:
        return False, None
    der.true(value, fields[0])
    if len(fields) > 2:
        raise MalformedCertificateError("the basic constraints have more than two fields")
    return True, der.natural(value, fields[1], 4) if len(fields) == 2 else None


@lru_cache(maxsize=64)
def _authority_key_id(value: bytes) -> bytes:
    """The key identifier of section 4.2.1.1, which is optional."""
    fields = der.members(value, der.whole(value, der.SEQUENCE))
    return der.content(value, fields[0]) if fields and fields[0].tag == 0x80 else b""


def _subject_key_id(value: bytes) -> bytes:
    return der.content(value, der.whole(value, der.OCTET_STRING))
