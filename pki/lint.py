"""Is this certificate or CRL what SPIFFE and RFC 5280 ask for? Asked before it is signed.

The linter shares no code with `build`: it reads what was encoded and compares it with the rules,
so a mistake in one is seen by the other. It works on a draft: the very bytes that are about to
be signed, with an empty signature.

A rule is a small function that yields what is wrong. Those of certificates get a `_Case`: the
certificate in its role beside its issuer. What is being read about an issuer is kept between
calls, because one issuer signs many leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from pki import der
from pki.constraints import outside
from pki.errors import PkiError, RequestError
from pki.keys import PublicKey, check_public_key
from pki.names import SCHEME, InvalidNameError, SpiffeID, parse_trust_domain


class Role(StrEnum):
    """What a certificate is for."""

    ROOT = "root"
    INTERMEDIATE = "intermediate"
    LEAF = "leaf"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: a short stable `code`, and a sentence with what was found."""

    code: str
    message: str


class LintError(PkiError):
    """Something was about to be signed that breaks a rule; nothing was signed."""

    def __init__(self, what: str, findings: list[Finding]) -> None:
        listed = "; ".join(f"{f.message} ({f.code})" for f in findings)
        super().__init__(f"the {what} breaks {len(findings)} rule(s) and was not signed: {listed}")
        self.findings = findings


def check(what: str, findings: list[Finding]) -> None:
    """Raise `LintError` if anything was found in `what`."""
    if findings:
        raise LintError(what, findings)


def certificate_findings(
    certificate: x509.Certificate, role: Role, issuer: x509.Certificate | None
) -> list[Finding]:
    """Every rule that `certificate` breaks in `role`; `issuer` None means self-signed."""
    try:
        facts = _facts(certificate)
        authority = facts if issuer is None else _issuer_facts(issuer)
    except _UNREADABLE as error:
        return [Finding("unreadable", f"it cannot be read: {error}")]
    case = _Case(facts, role, authority)
    rules = _LEAF_RULES if role is Role.LEAF else _CA_RULES
    return [finding for rule in rules for finding in rule(case)]


def crl_findings(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> list[Finding]:
    """Every rule that `crl` of `issuer` breaks."""
    try:
        case = _CrlCase(crl, _by_type(crl.extensions), _issuer_facts(issuer))
    except _UNREADABLE as error:
        return [Finding("unreadable", f"it cannot be read: {error}")]
    return [finding for rule in _CRL_RULES for finding in rule(case)]


# --- what is read -----------------------------------------------------------------------------

_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    RequestError,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
)

Extensions = Mapping[type[x509.ExtensionType], x509.Extension[Any]]


@dataclass(frozen=True, slots=True)
class _Facts:
    certificate: x509.Certificate
    extensions: Extensions
    public_key: PublicKey
    not_before: datetime
    not_after: datetime

    def value(self, kind: type[x509.ExtensionType]) -> Any:
        found = self.extensions.get(kind)
        return None if found is None else found.value

    @property
    def names(self) -> tuple[x509.GeneralName, ...]:
        return tuple(self.value(x509.SubjectAlternativeName) or ())


@dataclass(frozen=True, slots=True)
class _Case:
    it: _Facts
    role: Role
    issuer: _Facts


@dataclass(frozen=True, slots=True)
class _CrlCase:
    crl: x509.CertificateRevocationList
    extensions: Extensions
    issuer: _Facts


def _facts(certificate: x509.Certificate) -> _Facts:
    return _Facts(
        certificate,
        _by_type(certificate.extensions),
        check_public_key(certificate.public_key()),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def _by_type(extensions: x509.Extensions) -> Extensions:
    return {type(extension.value): extension for extension in extensions}


_issuer_facts = lru_cache(maxsize=8)(_facts)

# --- rules of every certificate ---------------------------------------------------------------

_ALGORITHMS: Final = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384,
    SignatureAlgorithmOID.ED25519,
    SignatureAlgorithmOID.RSA_WITH_SHA256,
}

# RFC 5280 section 4.2.1, X.509-SVID section 4; None: depends on the subject.
_CRITICAL: Final[dict[type[x509.ExtensionType], bool | None]] = {
    x509.BasicConstraints: True,
    x509.KeyUsage: True,
    x509.NameConstraints: True,
    x509.ExtendedKeyUsage: False,
    x509.SubjectKeyIdentifier: False,
    x509.AuthorityKeyIdentifier: False,
    x509.SubjectAlternativeName: None,
}


def _version(case: _Case) -> Iterator[Finding]:
    if case.it.certificate.version is not x509.Version.v3:
        yield Finding("version", "it is not X.509 v3")


def _serial(case: _Case) -> Iterator[Finding]:
    serial = case.it.certificate.serial_number
    if serial <= 0 or serial.bit_length() // 8 + 1 != 20:
        yield Finding("serial", f"the serial number {serial:x} is not positive with 20 octets")


def _algorithm(case: _Case) -> Iterator[Finding]:
    return _known_algorithm(case.it.certificate.signature_algorithm_oid)


def _known_algorithm(oid: x509.ObjectIdentifier) -> Iterator[Finding]:
    if oid not in _ALGORITHMS:
        yield Finding("algorithm", f"the signature algorithm {oid.dotted_string} is not used here")


def _validity(case: _Case) -> Iterator[Finding]:
    it, issuer = case.it, case.issuer
    if it.not_before >= it.not_after:
        yield Finding("validity", "it ends before it begins")
    if it.not_before < issuer.not_before:
        yield Finding("validity-issuer", f"it begins before its issuer, at {it.not_before}")
    if it.not_after > issuer.not_after:
        yield Finding("validity-issuer", f"it outlives its issuer, to {it.not_after}")


def _times(case: _Case) -> Iterator[Finding]:
    """RFC 5280 section 4.1.2.5: two-digit years to 2049, four digits from 2050."""
    fields = [
        value for _, value in der.elements(der.content(case.it.certificate.tbs_certificate_bytes))
    ]
    # version, serial number, signature, issuer, validity
    yield from _time_encoding(der.elements(fields[4]))


def _time_encoding(times: Iterator[tuple[int, bytes]]) -> Iterator[Finding]:
    for tag, text in times:
        short = tag == der.UTC_TIME and len(text) == 13
        long = tag == der.GENERALIZED_TIME and len(text) == 15 and text >= b"2050"
        if not (short or long) or not text.endswith(b"Z"):
            yield Finding("time", f"the time {text!r} is not encoded as RFC 5280 asks")


def _parents(case: _Case) -> Iterator[Finding]:
    it, issuer = case.it, case.issuer
    if not issuer.certificate.subject.rdns or it.certificate.issuer != issuer.certificate.subject:
        yield Finding("issuer", "its issuer's name is empty or not the subject of its issuer")
    ski = issuer.value(x509.SubjectKeyIdentifier)
    aki = it.value(x509.AuthorityKeyIdentifier)
    if ski is None or aki is None or aki.key_identifier != ski.digest:
        yield Finding("aki", "its authority key identifier is not that of its issuer's key")
    if it.value(x509.SubjectKeyIdentifier) is None:
        yield Finding("ski", "it has no subject key identifier")
    if case.role is not Role.ROOT and it.public_key == issuer.public_key:
        yield Finding("own-key", "it certifies the key of its own issuer")


def _issuer_may(case: _Case) -> Iterator[Finding]:
    basic = case.issuer.value(x509.BasicConstraints)
    usage = case.issuer.value(x509.KeyUsage)
    if basic is None or not basic.ca or usage is None or not usage.key_cert_sign:
        yield Finding("issuer-right", "its issuer is not a CA that may sign certificates")


def _criticality(case: _Case) -> Iterator[Finding]:
    bare = not case.it.certificate.subject.rdns
    for kind, extension in case.it.extensions.items():
        if kind not in _CRITICAL:
            yield Finding("extension", f"it has the extension {extension.oid.dotted_string}")
            continue
        wanted = _CRITICAL[kind]
        if extension.critical is not (bare if wanted is None else wanted):
            state = "critical" if extension.critical else "not critical"
            yield Finding("critical", f"its {kind.__name__} is {state}")


def _inside(case: _Case) -> Iterator[Finding]:
    constraints = case.issuer.value(x509.NameConstraints)
    if constraints is None:
        yield Finding("unconstrained", "its issuer has no name constraints")
    else:
        for name in outside(case.it.names, constraints):
            yield Finding("name-constraint", f"its issuer may not sign the name {name.value!r}")


def _one_uri(case: _Case) -> Iterator[Finding]:
    """X.509-SVID section 2: exactly one URI name."""
    uris = [n.value for n in case.it.names if isinstance(n, x509.UniformResourceIdentifier)]
    if len(uris) != 1:
        yield Finding("one-uri", f"it has {len(uris)} URI names instead of exactly one")
    for uri in uris:
        try:
            _read_id(uri, case.role)
        except InvalidNameError as error:
            yield Finding("spiffe-id", str(error))


def _read_id(uri: str, role: Role) -> None:
    """Sections 3.1 and 3.2: a leaf's ID has a path, a signing certificate's has none."""
    if role is Role.LEAF:
        SpiffeID.parse(uri)
    elif not uri.startswith(SCHEME):
        raise InvalidNameError(f"{uri!r} does not start with {SCHEME}")
    else:
        parse_trust_domain(uri.removeprefix(SCHEME))


# --- rules of leaves --------------------------------------------------------------------------

_PURPOSES: Final = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def _not_a_ca(case: _Case) -> Iterator[Finding]:
    basic = case.it.value(x509.BasicConstraints)
    if basic is None or basic.ca:
        yield Finding("ca", "it does not say that it is no CA")
    if case.it.value(x509.NameConstraints) is not None:
        yield Finding("ca", "it has name constraints, which are for CAs")


def _leaf_usage(case: _Case) -> Iterator[Finding]:
    if _granted(case.it.value(x509.KeyUsage)) != {"digital_signature"}:
        yield Finding("key-usage", "its key usage is not exactly digitalSignature")


def _purposes(case: _Case) -> Iterator[Finding]:
    purposes = case.it.value(x509.ExtendedKeyUsage)
    if purposes is None or set(purposes) != _PURPOSES:
        yield Finding("eku", "its extended key usage is not exactly serverAuth and clientAuth")


def _granted(usage: x509.KeyUsage | None) -> set[str]:
    if usage is None:
        return set()
    bits = {name for name in _USAGES if getattr(usage, name)}
    if usage.key_agreement:
        bits |= {name for name in ("encipher_only", "decipher_only") if getattr(usage, name)}
    return bits


_USAGES: Final = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign",
)  # fmt: skip

# --- rules of CA certificates -----------------------------------------------------------------


def _path_length(case: _Case) -> Iterator[Finding]:
    basic = case.it.value(x509.BasicConstraints)
    if basic is None or not basic.ca or basic.path_length is None:
        yield Finding("path-length", "it does not say that it is a CA of limited path length")
    elif case.role is Role.INTERMEDIATE:
        above = case.issuer.value(x509.BasicConstraints)
        if above is None or above.path_length is None or basic.path_length >= above.path_length:
            yield Finding("path-length", "its path length is not below its issuer's")


def _ca_usage(case: _Case) -> Iterator[Finding]:
    if _granted(case.it.value(x509.KeyUsage)) != {"key_cert_sign", "crl_sign"}:
        yield Finding("key-usage", "its key usage is not exactly keyCertSign and cRLSign")
    if case.it.value(x509.ExtendedKeyUsage) is not None:
        yield Finding("eku", "it has an extended key usage, which is for leaves")


def _constrained(case: _Case) -> Iterator[Finding]:
    """The tree of URI names is the one trust domain that its own ID names."""
    constraints = case.it.value(x509.NameConstraints)
    trees = () if constraints is None else constraints.permitted_subtrees or ()
    uris = [t.value for t in trees if isinstance(t, x509.UniformResourceIdentifier)]
    own = [n.value for n in case.it.names if isinstance(n, x509.UniformResourceIdentifier)]
    if [SCHEME + host for host in uris] != own:
        yield Finding("constraint", f"it is not constrained to its trust domain: {uris}")
    above = case.issuer.value(x509.NameConstraints)
    if above is not None and constraints is not None and above != constraints:
        yield Finding("constraint", "its name constraints differ from its issuer's")


_COMMON: Final = (
    _version, _serial, _algorithm, _validity, _times, _parents, _issuer_may, _criticality,
    _inside, _one_uri,
)  # fmt: skip
_LEAF_RULES: Final = (*_COMMON, _not_a_ca, _leaf_usage, _purposes)
_CA_RULES: Final = (*_COMMON, _path_length, _ca_usage, _constrained)

# --- rules of CRLs (RFC 5280 section 5) -------------------------------------------------------


def _crl_issuer(case: _CrlCase) -> Iterator[Finding]:
    usage = case.issuer.value(x509.KeyUsage)
    if usage is None or not usage.crl_sign:
        yield Finding("issuer-right", "its issuer may not sign CRLs")
    if case.crl.issuer != case.issuer.certificate.subject:
        yield Finding("issuer", "its issuer's name is not the subject of its issuer")
    aki = case.extensions.get(x509.AuthorityKeyIdentifier)
    ski = case.issuer.value(x509.SubjectKeyIdentifier)
    if aki is None or ski is None or aki.value.key_identifier != ski.digest:
        yield Finding("aki", "its authority key identifier is not that of its issuer's key")


def _crl_algorithm(case: _CrlCase) -> Iterator[Finding]:
    return _known_algorithm(case.crl.signature_algorithm_oid)


def _crl_extensions(case: _CrlCase) -> Iterator[Finding]:
    """Exactly the two that section 5.2 asks for: anything else would narrow what it covers."""
    number = case.extensions.get(x509.CRLNumber)
    if number is None or not 0 <= number.value.crl_number < 1 << 159:
        yield Finding("crl-number", "its CRL number is missing, negative or over 20 octets")
    for kind, extension in case.extensions.items():
        if extension.critical or kind not in {x509.CRLNumber, x509.AuthorityKeyIdentifier}:
            yield Finding(
                "extension",
                f"its extension {extension.oid.dotted_string} is critical"
                " or not one of a complete CRL",
            )


def _crl_times(case: _CrlCase) -> Iterator[Finding]:
    fields = der.elements(der.content(case.crl.tbs_certlist_bytes))
    times = [field for field in fields if field[0] in {der.UTC_TIME, der.GENERALIZED_TIME}]
    yield from _time_encoding(iter(times))
    start, end = case.crl.last_update_utc, case.crl.next_update_utc
    if end is None or end <= start:
        yield Finding("next-update", "it does not say when the next one comes, after this one")


def _crl_entries(case: _CrlCase) -> Iterator[Finding]:
    seen: set[int] = set()
    for entry in case.crl:
        if entry.serial_number in seen:
            yield Finding("twice", f"the serial number {entry.serial_number:x} is in it twice")
        seen.add(entry.serial_number)
        if entry.revocation_date_utc > case.crl.last_update_utc:
            yield Finding("future", f"{entry.serial_number:x} is revoked after the CRL was made")
        if {e.value for e in entry.extensions} & _BAD_REASONS:
            yield Finding("reason", f"{entry.serial_number:x} has a reason that is not for CRLs")


# "unspecified" is said by leaving the reason out (5.3.1); the other two are for delta CRLs.
_BAD_REASONS: Final = {
    x509.CRLReason(x509.ReasonFlags.unspecified),
    x509.CRLReason(x509.ReasonFlags.remove_from_crl),
    x509.CRLReason(x509.ReasonFlags.certificate_hold),
}

_CRL_RULES: Final = (_crl_issuer, _crl_algorithm, _crl_extensions, _crl_times, _crl_entries)
