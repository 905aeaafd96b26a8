"""The rules of certificates: RFC 5280 section 4, X.509-SVID sections 2 to 5.

A rule is a small function that gets a `_Case`, the certificate in its role beside its issuer,
and yields what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki import der
from pki.constraints import outside
from pki.errors import RequestError
from pki.keys import check_public_key
from pki.lint.facts import (
    UNREADABLE,
    Facts,
    Finding,
    Role,
    facts,
    issuer_facts,
    known_algorithm,
    time_encoding,
)
from pki.names import SCHEME, InvalidNameError, SpiffeID, parse_trust_domain


class _Case(NamedTuple):
    it: Facts
    role: Role
    issuer: Facts


def certificate_findings(tbs: bytes, role: Role, issuer: x509.Certificate | None) -> list[Finding]:
    """Every rule that a certificate breaks in `role`; `issuer` None means self-signed.

    `tbs` is its DER-encoded TBSCertificate: what is about to be signed.
    """
    try:
        it = facts(tbs)
        case = _Case(it, role, it if issuer is None else issuer_facts(issuer))
    except UNREADABLE as error:
        return [Finding("unreadable", f"it cannot be read: {error}")]
    rules = _LEAF_RULES if role is Role.LEAF else _CA_RULES
    return [finding for rule in rules for finding in rule(case)]


# --- rules of every certificate ---------------------------------------------------------------

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


def _serial(case: _Case) -> Iterator[Finding]:
    serial = case.it.certificate.serial_number
    if serial <= 0 or serial.bit_length() // 8 + 1 != 20:
        yield Finding("serial", f"the serial number {serial:x} is not positive with 20 octets")


def _algorithm(case: _Case) -> Iterator[Finding]:
    return known_algorithm(case.it.certificate.signature_algorithm_oid)


def _key(case: _Case) -> Iterator[Finding]:
    if case.it.key.startswith(_STRONG):
        return
    try:
        check_public_key(case.it.certificate.public_key())
    except (ValueError, UnsupportedAlgorithm, RequestError) as error:
        yield Finding("weak-key", str(error))


# Algorithms that leave nothing to choose: only other keys are decoded and looked at, which for
# the common ones would cost as much as all other rules together.
_EC: Final = der.oid("1.2.840.10045.2.1")
_STRONG: Final = (
    der.sequence(_EC, der.oid("1.2.840.10045.3.1.7")),  # P-256
    der.sequence(_EC, der.oid("1.3.132.0.34")),  # P-384
    der.sequence(der.oid("1.3.101.112")),  # Ed25519
)


def _validity(case: _Case) -> Iterator[Finding]:
    it, issuer = case.it, case.issuer
    if it.not_before >= it.not_after:
        yield Finding("validity", "it ends before it begins")
    if it.not_before < issuer.not_before:
        yield Finding("validity-issuer", f"it begins before its issuer, at {it.not_before}")
    if it.not_after > issuer.not_after:
        yield Finding("validity-issuer", f"it outlives its issuer, to {it.not_after}")


def _times(case: _Case) -> Iterator[Finding]:
    return time_encoding(case.it.validity)


def _parents(case: _Case) -> Iterator[Finding]:
    it, issuer = case.it, case.issuer
    if not issuer.subject or it.issuer != issuer.subject:
        yield Finding("issuer", "its issuer's name is empty or not the subject of its issuer")
    ski = issuer.value(x509.SubjectKeyIdentifier)
    aki = it.value(x509.AuthorityKeyIdentifier)
    if ski is None or aki is None or aki.key_identifier != ski.digest:
        yield Finding("aki", "its authority key identifier is not that of its issuer's key")
    if it.value(x509.SubjectKeyIdentifier) is None:
        yield Finding("ski", "it has no subject key identifier")
    if case.role is not Role.ROOT and it.key == issuer.key:
        yield Finding("own-key", "it certifies the key of its own issuer")


def _issuer_may(case: _Case) -> Iterator[Finding]:
    basic = case.issuer.value(x509.BasicConstraints)
    usage = case.issuer.value(x509.KeyUsage)
    if basic is None or not basic.ca or usage is None or not usage.key_cert_sign:
        yield Finding("issuer-right", "its issuer is not a CA that may sign certificates")


def _criticality(case: _Case) -> Iterator[Finding]:
    bare = not case.it.subject
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
    _serial, _algorithm, _key, _validity, _times, _parents, _issuer_may, _criticality,
    _inside, _one_uri,
)  # fmt: skip
_LEAF_RULES: Final = (*_COMMON, _not_a_ca, _leaf_usage, _purposes)
_CA_RULES: Final = (*_COMMON, _path_length, _ca_usage, _constrained)
