"""Values in, certificate out: (issuer, request, profile, now, serial) -> certificate. No I/O.

Nothing here reads a clock, makes a random number or touches a file, so every certificate can be
built again in a test, byte for byte but for the signature.

Nothing is signed that `lint` has not passed. A builder is signed twice: first with a key that
signs nothing, which gives the draft that the linter reads, then, if there is no finding, with
the CA's key. Both hold the same bytes to be signed, and that is checked too. `_certify` and
`crl` are the only places where a CA key is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki import lint
from pki.errors import RequestError
from pki.keys import PrivateKey, PublicKey, check_public_key, signature_hash
from pki.lint import Role
from pki.names import SCHEME
from pki.profile import BACKDATE, PRIVATE_NETWORKS, Profile, Request

_NOT_A_CA: Final = x509.BasicConstraints(ca=False, path_length=None)
_BOTH: Final = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)
_NO_NAME: Final = x509.Name([])


def _usage(*granted: str) -> x509.KeyUsage:
    bits = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{bit: bit in granted for bit in bits})


# No keyEncipherment, not for RSA either: only key transport without forward secrecy needs it.
_LEAF_USAGE: Final = _usage("digital_signature")
_CA_USAGE: Final = _usage("key_cert_sign", "crl_sign")


class _Blank:
    """A key that signs nothing: the signature of a draft is empty."""

    def sign(self, *_: object) -> bytes:
        return b""


# One for each kind of key, because the kind decides the algorithm that stands in a certificate.
@ec.EllipticCurvePrivateKey.register
class _BlankEC(_Blank):
    pass


@ed25519.Ed25519PrivateKey.register
class _BlankEd25519(_Blank):
    pass


@rsa.RSAPrivateKey.register
class _BlankRSA(_Blank):
    pass


def _blank_for(key: PrivateKey) -> Any:
    match key:
        case ec.EllipticCurvePrivateKey():
            return _BlankEC()
        case ed25519.Ed25519PrivateKey():
            return _BlankEd25519()
        case rsa.RSAPrivateKey():
            return _BlankRSA()


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate that may sign, and its key. Make it once: it keeps what every leaf needs."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    name: x509.Name = field(init=False, repr=False)
    key_id: x509.AuthorityKeyIdentifier = field(init=False, repr=False)
    start: datetime = field(init=False, repr=False)
    end: datetime = field(init=False, repr=False)

    def __post_init__(self) -> None:
        certificate = self.certificate
        if certificate.public_key() != self.key.public_key():
            raise RequestError("the issuer's key does not belong to its certificate")
        ski = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        key_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski.value)
        for name, value in (
            ("name", certificate.subject),
            ("key_id", key_id),
            ("start", certificate.not_valid_before_utc),
            ("end", certificate.not_valid_after_utc),
        ):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class Revoked:
    """One line of a CRL. `reason` is None for RFC 5280's `unspecified`, which is left out."""

    serial: int
    at: datetime
    reason: x509.ReasonFlags | None


def serial_number(entropy: bytes) -> int:
    """Turn 20 random bytes into a positive serial number of exactly 20 octets.

    The two highest bits are fixed for that; 158 random ones are left (CABF asks for 64).
    """
    assert len(entropy) == 20
    return int.from_bytes(entropy, "big") & ~(0b11 << 158) | 0b01 << 158


def root(key: PrivateKey, profile: Profile, now: datetime, serial: int) -> x509.Certificate:
    """A self-signed root: path length 1, constrained to the profile's names."""
    public_key = check_public_key(key.public_key())
    ski = x509.SubjectKeyIdentifier.from_public_key(public_key)
    name = _ca_name("root", profile, ski)
    builder = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=public_key)
        .serial_number(serial)
        .not_valid_before(_whole(now) - BACKDATE)
        .not_valid_after(_whole(now) + profile.root_ttl)
    )
    key_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)
    builder = _ca_extensions(builder, profile, 1, ski, key_id)
    return _certify(builder, key, Role.ROOT, None)


def intermediate(
    issuer: Issuer, public_key: PublicKey, profile: Profile, now: datetime, serial: int
) -> x509.Certificate:
    """An issuing CA under `issuer`: path length 0, the same name constraints."""
    ski = x509.SubjectKeyIdentifier.from_public_key(check_public_key(public_key))
    builder = _dated(issuer, now, now + profile.intermediate_ttl)
    builder = (
        builder.serial_number(serial)
        .subject_name(_ca_name("intermediate", profile, ski))
        .public_key(public_key)
    )
    builder = _ca_extensions(builder, profile, 0, ski, issuer.key_id)
    return _certify(builder, issuer.key, Role.INTERMEDIATE, issuer.certificate)


def leaf(
    issuer: Issuer,
    request: Request,
    public_key: PublicKey,
    profile: Profile,
    now: datetime,
    serial: int,
) -> x509.Certificate:
    """An X.509-SVID for `request`; it ends with its issuer if that is sooner than asked.

    Raises `RequestError` if the profile says no, `LintError` if the result would break a rule.
    """
    profile.check(request)
    check_public_key(public_key)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(request.spiffe_id))]
    names += map(x509.DNSName, request.dns)
    names += map(x509.IPAddress, request.ips)
    builder = (
        _dated(issuer, now, now + profile.ttl(request))
        .serial_number(serial)
        .subject_name(_NO_NAME)
        .public_key(public_key)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(_NOT_A_CA, critical=True)
        .add_extension(_LEAF_USAGE, critical=True)
        .add_extension(_BOTH, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(issuer.key_id, critical=False)
    )
    return _certify(builder, issuer.key, Role.LEAF, issuer.certificate)


def crl(
    issuer: Issuer, revoked: Iterable[Revoked], number: int, now: datetime, until: datetime
) -> x509.CertificateRevocationList:
    """A complete v2 CRL of `issuer`, next update at `until`, with `number` as its CRL number."""
    builder = (
        # All lines at once: adding them one by one copies the list for each.
        x509.CertificateRevocationListBuilder(revoked_certificates=[_line(r) for r in revoked])
        .issuer_name(issuer.name)
        .last_update(_whole(now))
        .next_update(_whole(until))
        .add_extension(issuer.key_id, critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    hash_ = signature_hash(issuer.key)
    draft = builder.sign(_blank_for(issuer.key), hash_)
    lint.check("CRL", lint.crl_findings(draft, issuer.certificate))
    signed = builder.sign(issuer.key, hash_)
    assert signed.tbs_certlist_bytes == draft.tbs_certlist_bytes
    return signed


def _certify(
    builder: x509.CertificateBuilder,
    key: PrivateKey,
    role: Role,
    issuer: x509.Certificate | None,
) -> x509.Certificate:
    hash_ = signature_hash(key)
    draft = builder.sign(_blank_for(key), hash_)
    lint.check(f"{role} certificate", lint.certificate_findings(draft, role, issuer))
    signed = builder.sign(key, hash_)
    assert signed.tbs_certificate_bytes == draft.tbs_certificate_bytes
    return signed


def _dated(issuer: Issuer, now: datetime, until: datetime) -> x509.CertificateBuilder:
    """A builder under `issuer` whose validity lies within the issuer's."""
    if not issuer.start <= now < issuer.end:
        raise RequestError(
            f"the issuing CA is valid from {issuer.start:%Y-%m-%d %H:%M:%S} to"
            f" {issuer.end:%Y-%m-%d %H:%M:%S} UTC, and now is outside of that",
            "check this machine's clock (date -u); an expired issuing CA is replaced by pki rotate",
        )
    return (
        x509.CertificateBuilder(issuer_name=issuer.name)
        .not_valid_before(max(_whole(now) - BACKDATE, issuer.start))
        .not_valid_after(min(_whole(until), issuer.end))
    )


def _ca_extensions(
    builder: x509.CertificateBuilder,
    profile: Profile,
    path_length: int,
    ski: x509.SubjectKeyIdentifier,
    key_id: x509.AuthorityKeyIdentifier,
) -> x509.CertificateBuilder:
    """What root and intermediate share. A signing certificate's SPIFFE ID has no path."""
    name = x509.UniformResourceIdentifier(SCHEME + profile.trust_domain)
    return (
        builder.add_extension(x509.BasicConstraints(True, path_length), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(_constraints(profile), critical=True)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(ski, critical=False)
        .add_extension(key_id, critical=False)
    )


def _constraints(profile: Profile) -> x509.NameConstraints:
    """URI names are always held to the trust domain; for the rest see `pki.profile`."""
    trees: list[x509.GeneralName] = [x509.UniformResourceIdentifier(profile.trust_domain)]
    if profile.permit_dns:
        trees += map(x509.DNSName, dict.fromkeys((profile.trust_domain, *profile.permit_dns)))
        trees += map(x509.IPAddress, PRIVATE_NETWORKS)
    return x509.NameConstraints(permitted_subtrees=trees, excluded_subtrees=None)


def _ca_name(kind: str, profile: Profile, ski: x509.SubjectKeyIdentifier) -> x509.Name:
    """A name that no other key of this trust domain has, so that paths are found, not guessed."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, profile.trust_domain[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{kind} {ski.digest.hex()[:16]}"),
        ]
    )


def _line(revoked: Revoked) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(revoked.serial)
    builder = builder.revocation_date(_whole(revoked.at))
    if revoked.reason is not None:
        builder = builder.add_extension(x509.CRLReason(revoked.reason), critical=False)
    return builder.build()


def _whole(moment: datetime) -> datetime:
    """Certificates count whole seconds."""
    return moment.replace(microsecond=0)
