"""Values in, certificate out: (issuer, request, profile, now, serial) -> certificate. No I/O.

Nothing here reads a clock, makes a random number or touches a file, so every certificate can be
built again in a test, byte for byte but for the signature.

Nothing is signed that `lint` has not passed: what a builder gets instead of the CA's key is a
`_Linted` key, which lints the bytes that it is asked to sign before it signs them. So the bytes
that were linted are the bytes that were signed, and there is no path around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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


def _extension(value: x509.ExtensionType, critical: bool = False) -> x509.Extension[Any]:
    return x509.Extension(value.oid, critical, value)


def _usage(*granted: str) -> x509.KeyUsage:
    bits = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{bit: bit in granted for bit in bits})


_NO_NAME: Final = x509.Name([])

# What all leaves share, made once. There is no keyEncipherment, not for RSA either: only key
# transport without forward secrecy needs it.
_LEAF_EXTENSIONS: Final = (
    _extension(x509.BasicConstraints(ca=False, path_length=None), critical=True),
    _extension(_usage("digital_signature"), critical=True),
    _extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    ),
)


class _Linted:
    """A private key that calls `check` with what it is about to sign; `check` raises to refuse."""

    def __init__(self, key: Any, check: Callable[[bytes], None]) -> None:
        self._key = key
        self._check = check

    def sign(self, data: bytes, *how: object) -> bytes:
        self._check(data)
        signature: bytes = self._key.sign(data, *how)
        return signature


# One for each kind of key: by its kind, a builder knows which algorithm to write down.
@ec.EllipticCurvePrivateKey.register
class _LintedEC(_Linted):
    pass


@ed25519.Ed25519PrivateKey.register
class _LintedEd25519(_Linted):
    pass


@rsa.RSAPrivateKey.register
class _LintedRSA(_Linted):
    pass


def _linted(key: PrivateKey, check: Callable[[bytes], None]) -> Any:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _LintedEC(key, check)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return _LintedEd25519(key, check)
    return _LintedRSA(key, check)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate that may sign, and its key. Make it once: it keeps what every leaf needs."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    name: x509.Name = field(init=False, repr=False)
    key_id: x509.Extension[x509.AuthorityKeyIdentifier] = field(init=False, repr=False)
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
            ("key_id", _extension(key_id)),
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
    key_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)
    name = _ca_name("root", profile, ski)
    builder = (
        _builder(name, public_key, serial, _ca_extensions(profile, 1, ski, _extension(key_id)))
        .issuer_name(name)
        .not_valid_before(_whole(now) - BACKDATE)
        .not_valid_after(_whole(now) + profile.root_ttl)
    )
    return _certify(builder, key, Role.ROOT, None)


def intermediate(
    issuer: Issuer, public_key: PublicKey, profile: Profile, now: datetime, serial: int
) -> x509.Certificate:
    """An issuing CA under `issuer`: path length 0, the same name constraints."""
    ski = x509.SubjectKeyIdentifier.from_public_key(check_public_key(public_key))
    name = _ca_name("intermediate", profile, ski)
    builder = _builder(name, public_key, serial, _ca_extensions(profile, 0, ski, issuer.key_id))
    builder = _under(issuer, builder, now, profile.intermediate_ttl)
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
    extensions = [
        _extension(x509.SubjectAlternativeName(names), critical=True),
        *_LEAF_EXTENSIONS,
        _extension(x509.SubjectKeyIdentifier.from_public_key(public_key)),
        issuer.key_id,
    ]
    builder = _builder(_NO_NAME, public_key, serial, extensions)
    builder = _under(issuer, builder, now, profile.ttl(request))
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
        .add_extension(issuer.key_id.value, critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )

    def check(tbs: bytes) -> None:
        lint.check("CRL", lint.crl_findings(tbs, issuer.certificate))

    return builder.sign(_linted(issuer.key, check), signature_hash(issuer.key))


def _certify(
    builder: x509.CertificateBuilder,
    key: PrivateKey,
    role: Role,
    issuer: x509.Certificate | None,
) -> x509.Certificate:
    def check(tbs: bytes) -> None:
        lint.check(f"{role} certificate", lint.certificate_findings(tbs, role, issuer))

    return builder.sign(_linted(key, check), signature_hash(key))


def _builder(
    subject: x509.Name, public_key: PublicKey, serial: int, extensions: list[x509.Extension[Any]]
) -> x509.CertificateBuilder:
    # All extensions at once: adding them one by one copies the list for each.
    builder = x509.CertificateBuilder(extensions=extensions)
    return builder.subject_name(subject).public_key(public_key).serial_number(serial)


def _under(
    issuer: Issuer, builder: x509.CertificateBuilder, now: datetime, ttl: timedelta
) -> x509.CertificateBuilder:
    """Name `issuer`, and lay the validity within the issuer's."""
    if not issuer.start <= now < issuer.end:
        raise RequestError(
            f"the issuing CA is valid from {issuer.start:%Y-%m-%d %H:%M:%S} to"
            f" {issuer.end:%Y-%m-%d %H:%M:%S} UTC, and now is outside of that",
            "check this machine's clock (date -u); an expired issuing CA is replaced by pki rotate",
        )
    start = _whole(now)
    return (
        builder.issuer_name(issuer.name)
        .not_valid_before(max(start - BACKDATE, issuer.start))
        .not_valid_after(min(start + ttl, issuer.end))
    )


def _ca_extensions(
    profile: Profile,
    path_length: int,
    ski: x509.SubjectKeyIdentifier,
    key_id: x509.Extension[x509.AuthorityKeyIdentifier],
) -> list[x509.Extension[Any]]:
    """What root and intermediate share. A signing certificate's SPIFFE ID has no path."""
    name = x509.UniformResourceIdentifier(SCHEME + profile.trust_domain)
    return [
        _extension(x509.BasicConstraints(True, path_length), critical=True),
        _extension(_usage("key_cert_sign", "crl_sign"), critical=True),
        _extension(_constraints(profile), critical=True),
        _extension(x509.SubjectAlternativeName([name])),
        _extension(ski),
        key_id,
    ]


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
