"""Certificates for every suite: good ones in one line, and each kind of bad one by naming the flaw.

    ca = TestCA("demo.local")
    web = ca.intermediate().leaf("spiffe://demo.local/ns/shop/sa/web")
    web.write_folder(tmp_path / "web")
    old = ca.leaf("spiffe://demo.local/ns/shop/sa/web", not_after=time.time() - 1)

What the library refuses to sign on purpose (SHA-1, version 1, repeated extensions) is made by
editing the signed part and signing it again: `ca.resign(leaf, edit)`.

Only tests import this module: the proxy never loads `cryptography`.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, TypedDict, Unpack

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests import der

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | (
    ed448.Ed448PrivateKey
)  # fmt: skip
SignatureHash = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512

HOUR: Final = 3600.0
BOTH: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "p224": ec.SECP224R1(),
    "p256": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
    "k256": ec.SECP256K1(),
}
USAGES: Final = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


class Options(TypedDict, total=False):
    """How a certificate differs from a good one; times are seconds since the epoch."""

    uris: Sequence[str]  # instead of the SPIFFE ID
    dns: Sequence[str]
    ips: Sequence[str]
    other_names: Sequence[x509.GeneralName]
    names_critical: bool  # default: only where the subject is empty
    subject: x509.Name | str  # a str is the common name
    key: str | PrivateKey  # p224 p256 p384 p521 k256 ed25519 ed448 rsa1024 rsa2048 ...
    key_usage: Sequence[str] | None  # names of USAGES; None leaves the extension out
    key_usage_critical: bool
    eku: Sequence[x509.ObjectIdentifier] | None
    ca: bool
    path_length: int | None
    basic_constraints: bool  # False leaves the extension out
    not_before: float
    not_after: float
    serial: int
    hash: SignatureHash | None
    extensions: Sequence[tuple[x509.ExtensionType, bool]]  # more of them, with criticality


@dataclass(frozen=True, slots=True)
class Leaf:
    """An end-entity certificate with its key and everything a peer needs to verify it."""

    cert: x509.Certificate
    key: PrivateKey = field(repr=False)
    issuer: TestCA

    @property
    def der(self) -> bytes:
        return self.cert.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return pem(self.cert)

    @property
    def chain_pem(self) -> bytes:
        """What stands in `tls.crt`: the leaf, then the intermediates, without the root."""
        return self.pem + self.issuer.intermediates_pem

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key)

    @property
    def trust_pem(self) -> bytes:
        """What stands in `ca.crt`: the root."""
        return self.issuer.root.pem

    def write_folder(self, path: Path, *, crl: bytes | None = None) -> Path:
        """Write `tls.crt`, `tls.key`, `ca.crt` and, if given, `crl.pem`; return the folder."""
        path.mkdir(parents=True, exist_ok=True)
        for name, content in self._files(crl).items():
            _write(path / name, content)
        return path

    def write_secret(self, path: Path, *, crl: bytes | None = None) -> Path:
        """Write as the kubelet mounts a Secret: a dated folder behind the symlink `..data`.

        A second call swaps the symlink in one rename, as the kubelet does.
        """
        version = path / f"..{os.urandom(6).hex()}"
        self.write_folder(version, crl=crl)
        staged = path / "..data_tmp"
        staged.symlink_to(version.name)
        staged.rename(path / "..data")
        for name in self._files(crl):
            if not (path / name).is_symlink():
                (path / name).symlink_to(f"..data/{name}")
        return path

    def _files(self, crl: bytes | None) -> dict[str, bytes]:
        files = {"tls.crt": self.chain_pem, "tls.key": self.key_pem, "ca.crt": self.trust_pem}
        return files if crl is None else {**files, "crl.pem": crl}


class TestCA:
    """A certificate authority that signs whatever it is told to."""

    __test__ = False  # pytest: this is no test class

    def __init__(
        self,
        trust_domain: str = "demo.local",
        *,
        parent: TestCA | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.trust_domain = trust_domain
        self.parent = parent
        # Two CAs of one name with different keys are a case of its own; by default none share one.
        default: Options = {
            "uris": [f"spiffe://{trust_domain}"],
            "subject": f"{'root' if parent is None else 'intermediate'} {os.urandom(4).hex()}",
            "ca": True,
            "key_usage": ("key_cert_sign", "crl_sign"),
            "eku": None,
            "not_after": time.time() + 24 * HOUR,
        }
        merged = default | options
        self.key = make_key(merged.get("key", "p256"))
        self.cert = _sign(parent or self, self.key, merged)

    @property
    def root(self) -> TestCA:
        return self if self.parent is None else self.parent.root

    @property
    def der(self) -> bytes:
        return self.cert.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return pem(self.cert)

    @property
    def intermediates_pem(self) -> bytes:
        """This CA and those above it, without the root; empty for a root."""
        return b"" if self.parent is None else self.pem + self.parent.intermediates_pem

    def intermediate(self, **options: Unpack[Options]) -> TestCA:
        """A CA signed by this one."""
        return TestCA(self.trust_domain, parent=self, **options)

    def leaf(self, spiffe_id: str | None = None, **options: Unpack[Options]) -> Leaf:
        """A certificate for `spiffe_id` (default: `/ns/shop/sa/web`), bent by `options`."""
        name = spiffe_id or f"spiffe://{self.trust_domain}/ns/shop/sa/web"
        key = make_key(options.get("key", "p256"))
        defaults: Options = {"uris": [name]}
        return Leaf(_sign(self, key, defaults | options), key, self)

    def resign(self, leaf: Leaf, edit: Callable[[bytes], bytes], hash_name: str = "") -> Leaf:
        """Sign the edited to-be-signed part of `leaf`; `hash_name` is sha1 or md5, for RSA CAs."""
        tbs = edit(leaf.cert.tbs_certificate_bytes)
        raw = self.sign_raw(tbs, hash_name)
        return Leaf(x509.load_der_x509_certificate(raw), leaf.key, self)

    def sign_raw(self, tbs: bytes, hash_name: str = "") -> bytes:
        """DER of a certificate around `tbs`, which may be anything at all."""
        if hash_name:
            assert isinstance(self.key, rsa.RSAPrivateKey)
            weak, oid = _WEAK[hash_name]
            tbs = tbs.replace(der.oid("1.2.840.113549.1.1.11"), der.oid(oid))
            signature = self.key.sign(tbs, padding.PKCS1v15(), weak)
            return der.sequence(
                tbs, der.sequence(der.oid(oid), der.NULL), der.bit_string(signature)
            )
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        signature = self.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
        return der.sequence(tbs, algorithm, der.bit_string(signature))

    def crl(
        self,
        revoked: Iterable[Leaf | TestCA | int] = (),
        *,
        this_update: float | None = None,
        next_update: float | None = None,
        key: PrivateKey | None = None,
    ) -> bytes:
        """PEM of this CA's revocation list; `key` signs it instead of the CA's own."""
        this = time.time() - 60 if this_update is None else this_update
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.cert.subject)
            .last_update(moment(this))
            .next_update(moment(time.time() + HOUR if next_update is None else next_update))
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(_authority_key(self), critical=False)
        )
        for entry in revoked:
            serial = entry if isinstance(entry, int) else entry.cert.serial_number
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(serial)
                .revocation_date(moment(this))
                .build()
            )
        signer = key or self.key
        return builder.sign(signer, _hash_for(signer)).public_bytes(serialization.Encoding.PEM)

    def crls(self, revoked: Iterable[Leaf | TestCA] = ()) -> bytes:
        """PEM of the lists of this CA and of all above it, which full-chain checking needs."""
        everything = tuple(revoked)
        mine = [entry for entry in everything if _issuer(entry) is self]
        above = b"" if self.parent is None else self.parent.crls(everything)
        return self.crl(mine) + above


_WEAK: Final[dict[str, tuple[hashes.HashAlgorithm, str]]] = {
    "sha1": (hashes.SHA1(), "1.2.840.113549.1.1.5"),
    "md5": (hashes.MD5(), "1.2.840.113549.1.1.4"),
}


def make_key(kind: str | PrivateKey) -> PrivateKey:
    """A private key of that kind: fresh ones where that is cheap, RSA from a cache."""
    if not isinstance(kind, str):
        return kind
    if kind.startswith("rsa"):
        return _rsa_key(int(kind[3:]))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ed448":
        return ed448.Ed448PrivateKey.generate()
    return ec.generate_private_key(CURVES[kind])


def pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)


def key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def moment(epoch: float) -> datetime:
    return datetime.fromtimestamp(int(epoch), UTC)


@cache
def _rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def _sign(issuer: TestCA, key: PrivateKey, options: Options) -> x509.Certificate:
    now = time.time()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(options))
        .issuer_name(_subject(options) if issuer.key is key else issuer.cert.subject)
        .public_key(key.public_key())
        .serial_number(options.get("serial", x509.random_serial_number()))
        .not_valid_before(moment(options.get("not_before", now - 60)))
        .not_valid_after(moment(options.get("not_after", now + HOUR)))
    )
    for extension, critical in _extensions(key, options):
        builder = builder.add_extension(extension, critical)
    if issuer.key is not key:
        builder = builder.add_extension(_authority_key(issuer), critical=False)
    return builder.sign(issuer.key, options.get("hash", _hash_for(issuer.key)))


def _extensions(key: PrivateKey, options: Options) -> list[tuple[x509.ExtensionType, bool]]:
    ca = options.get("ca", False)
    usage = options.get("key_usage", ("digital_signature",))
    eku = options.get("eku", BOTH)
    names = _names(options)
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    ]
    if options.get("basic_constraints", True):
        length = options.get("path_length") if ca else None
        found.append((x509.BasicConstraints(ca=ca, path_length=length), True))
    if usage is not None:
        bits = x509.KeyUsage(**{name: name in usage for name in USAGES})
        found.append((bits, options.get("key_usage_critical", True)))
    if eku is not None:
        found.append((x509.ExtendedKeyUsage(eku), False))
    if names:
        critical = options.get("names_critical", not _subject(options).rdns)
        found.append((x509.SubjectAlternativeName(names), critical))
    return [*found, *options.get("extensions", ())]


def _names(options: Options) -> list[x509.GeneralName]:
    return [
        *(x509.UniformResourceIdentifier(uri) for uri in options.get("uris", ())),
        *(x509.DNSName(name) for name in options.get("dns", ())),
        *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in options.get("ips", ())),
        *options.get("other_names", ()),
    ]


def _subject(options: Options) -> x509.Name:
    subject = options.get("subject", "")
    if isinstance(subject, x509.Name):
        return subject
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])


def _authority_key(issuer: TestCA) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def _hash_for(key: PrivateKey) -> SignatureHash | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else _SHA256


_SHA256: Final = hashes.SHA256()


def _issuer(entry: Leaf | TestCA) -> TestCA | None:
    return entry.issuer if isinstance(entry, Leaf) else entry.parent


def _write(path: Path, content: bytes) -> None:
    """Write with mode 0600 from the first byte, then rename into place."""
    staged = path.with_name(path.name + ".tmp")
    staged.touch(0o600)
    staged.write_bytes(content)
    staged.replace(path)
