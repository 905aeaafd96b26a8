"""Certificates, requests and revocation lists -> plain values, ready for JSON.

`pki.render` turns the same values into text, so what a person reads and what a program reads
can never disagree. Nothing is verified here (`pki.verify` does that) and nothing is normalised:
strings are as the certificate has them, and `json.dumps` escapes them. A field that cannot be
read becomes a line in `problems`; the fields beside it are still shown.

Times are RFC 3339 in UTC, serials and fingerprints lower-case hex.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypedDict

from cryptography import x509

from pki import fields
from pki.read import MALFORMED, Item, PrivateKeyBlock, quiet, words
from pki.text import timestamp

State = Literal["valid", "expired", "not-yet-valid"]


class Name(TypedDict):
    """One subject alternative name; `kind` is URI, DNS, IP, email, …"""

    kind: str
    value: str


class OtherExtension(TypedDict):
    """An extension without a field of its own; `value` is the DER in hex."""

    oid: str
    name: str
    critical: bool
    value: str


class Constraints(TypedDict):
    """Name constraints: what may be below this CA, and what may not."""

    permitted: list[Name]
    excluded: list[Name]


class Extended(TypedDict):
    """What the extensions of a certificate or request say; None where one is not there."""

    names: list[Name]
    ca: bool
    path_length: int | None
    key_usage: list[str] | None
    extended_key_usage: list[str] | None
    name_constraints: Constraints | None
    subject_key_id: str | None
    authority_key_id: str | None
    critical: list[str]
    other_extensions: list[OtherExtension]


class CertificateView(Extended):
    """A certificate. `seconds_left` counts to its end and is negative once that has passed."""

    type: Literal["certificate"]
    source: str
    position: int
    subject: str
    issuer: str
    serial: str
    not_before: str
    not_after: str
    state: State
    seconds_left: int
    key: str
    signature: str
    sha256: str
    key_sha256: str
    problems: list[str]


class RequestView(Extended):
    """A certificate signing request; `signature_valid` says whether its sender holds the key."""

    type: Literal["request"]
    source: str
    position: int
    subject: str
    key: str
    signature: str
    signature_valid: bool
    key_sha256: str
    problems: list[str]


class RevokedView(TypedDict):
    """One line of a CRL; `reason` by RFC 5280 section 5.3.1."""

    serial: str
    at: str
    reason: str


class CrlView(TypedDict):
    """A revocation list; `seconds_left` counts to its next update (None: it names none)."""

    type: Literal["crl"]
    source: str
    position: int
    issuer: str
    number: int | None
    this_update: str
    next_update: str | None
    seconds_left: int | None
    signature: str
    authority_key_id: str | None
    sha256: str
    revoked: list[RevokedView]
    other_extensions: list[OtherExtension]
    problems: list[str]


class PrivateKeyView(TypedDict):
    """A private key was there; it was not looked at."""

    type: Literal["private-key"]
    source: str
    position: int
    problems: list[str]


View = CertificateView | RequestView | CrlView | PrivateKeyView

_OWN_FIELDS = (
    x509.SubjectAlternativeName,
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.NameConstraints,
    x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier,
    x509.CRLNumber,
)


def view(item: Item, now: datetime) -> View:
    """The plain value of anything that `pki.read` reads."""
    with quiet():
        return _view(item, now)


def _view(item: Item, now: datetime) -> View:
    match item.value:
        case x509.Certificate():
            return _certificate(item, item.value, now)
        case x509.CertificateSigningRequest():
            return _request(item, item.value)
        case x509.CertificateRevocationList():
            return _crl(item, item.value, now)
        case PrivateKeyBlock():
            return PrivateKeyView(
                type="private-key", source=item.source, position=item.position, problems=[]
            )


def _certificate(item: Item, cert: x509.Certificate, now: datetime) -> CertificateView:
    found, problem = fields.extensions(cert)
    problems = [f"extensions cannot be read: {problem}"] if problem else []
    serial = fields.serial_number(cert)
    if serial <= 0:
        problems.append("the serial number is not positive (RFC 5280 section 4.1.2.2)")
    return CertificateView(
        type="certificate",
        source=item.source,
        position=item.position,
        subject=_name(cert, "subject", problems),
        issuer=_name(cert, "issuer", problems),
        serial=fields.serial_text(serial),
        not_before=timestamp(cert.not_valid_before_utc),
        not_after=timestamp(cert.not_valid_after_utc),
        state=_state(cert, now),
        seconds_left=int((cert.not_valid_after_utc - now).total_seconds()),
        key=fields.key_words(cert),
        signature=fields.signature_name(cert),
        sha256=fields.fingerprint(cert),
        key_sha256=fields.key_fingerprint(cert),
        problems=problems,
        **_extended(found),
    )


def _state(cert: x509.Certificate, now: datetime) -> State:
    """Both ends are part of the validity (RFC 5280 section 4.1.2.5)."""
    if now < cert.not_valid_before_utc:
        return "not-yet-valid"
    return "expired" if now > cert.not_valid_after_utc else "valid"


def _request(item: Item, csr: x509.CertificateSigningRequest) -> RequestView:
    found, problem = fields.extensions(csr)
    problems = [f"extensions cannot be read: {problem}"] if problem else []
    valid = fields.proves_possession(csr)
    if not valid:
        problems.append("its signature is not by the key in it")
    return RequestView(
        type="request",
        source=item.source,
        position=item.position,
        subject=_name(csr, "subject", problems),
        key=fields.key_words(csr),
        signature=fields.signature_name(csr),
        signature_valid=valid,
        key_sha256=fields.key_fingerprint(csr),
        problems=problems,
        **_extended(found),
    )


def _crl(item: Item, crl: x509.CertificateRevocationList, now: datetime) -> CrlView:
    found, problem = fields.extensions(crl)
    problems = [f"extensions cannot be read: {problem}"] if problem else []
    number = fields.value(found, x509.CRLNumber)
    until = crl.next_update_utc
    return CrlView(
        type="crl",
        source=item.source,
        position=item.position,
        issuer=_name(crl, "issuer", problems),
        number=number.crl_number if number else None,
        this_update=timestamp(crl.last_update_utc),
        next_update=timestamp(until) if until else None,
        seconds_left=int((until - now).total_seconds()) if until else None,
        signature=fields.signature_name(crl),
        authority_key_id=fields.authority_key_id(found),
        sha256=fields.fingerprint(crl),
        revoked=[_revoked(entry) for entry in crl],
        other_extensions=_others(found),
        problems=problems,
    )


def _name(signed: fields.Signed, which: str, problems: list[str]) -> str:
    try:
        return fields.distinguished_name(getattr(signed, which))
    except MALFORMED as error:
        problems.append(f"the {which} cannot be read: {words(error)}")
        return ""


def _extended(found: x509.Extensions) -> Extended:
    basic = fields.value(found, x509.BasicConstraints)
    usage = fields.value(found, x509.KeyUsage)
    purposes = fields.value(found, x509.ExtendedKeyUsage)
    own_id = fields.value(found, x509.SubjectKeyIdentifier)
    return Extended(
        names=[_general(name) for name in fields.alternative_names(found)],
        ca=basic is not None and basic.ca,
        path_length=basic.path_length if basic else None,
        key_usage=list(fields.usages(usage)) if usage else None,
        extended_key_usage=list(fields.purposes(purposes)) if purposes else None,
        name_constraints=_constraints(found),
        subject_key_id=own_id.digest.hex() if own_id else None,
        authority_key_id=fields.authority_key_id(found),
        critical=[fields.extension_name(e.oid) for e in found if e.critical],
        other_extensions=_others(found),
    )


def _constraints(found: x509.Extensions) -> Constraints | None:
    constraints = fields.value(found, x509.NameConstraints)
    if constraints is None:
        return None
    return Constraints(
        permitted=[_general(name) for name in constraints.permitted_subtrees or ()],
        excluded=[_general(name) for name in constraints.excluded_subtrees or ()],
    )


def _general(name: x509.GeneralName) -> Name:
    kind, text = fields.general_name(name)
    return Name(kind=kind, value=text)


def _others(found: x509.Extensions) -> list[OtherExtension]:
    return [
        OtherExtension(
            oid=extension.oid.dotted_string,
            name=fields.extension_name(extension.oid),
            critical=extension.critical,
            value=extension.value.public_bytes().hex(),
        )
        for extension in found
        if not isinstance(extension.value, _OWN_FIELDS)
    ]


def _revoked(entry: x509.RevokedCertificate) -> RevokedView:
    return RevokedView(
        serial=fields.serial_text(entry.serial_number),
        at=timestamp(entry.revocation_date_utc),
        reason=fields.revocation_reason(entry),
    )
