"""The CA: decides, builds, records, and only then hands out.

A certificate is built and linted, its record is committed to the index, and after that it is
returned. A crash in between leaves a record without a certificate in anyone's hands, which is
harmless; the other order could leave a certificate that nobody knows of.

A CA is a directory (mode 0700):

    index.db               everything that was issued, and the log (`pki.store`)
    root/ca.crt            the root certificate; bundles are made of it
    root/ca.key            the root's key; may be taken away to an offline medium: only `init`,
                           `rotate`, the root's CRL and revoking an intermediate need it
    root/crl.pem           the root's newest CRL, served while the key is away
    intermediate-1/ca.crt  the issuing CA, then -2, -3 … after each rotation; the highest signs,
    intermediate-1/ca.key  the older ones stay to sign their CRLs until they expire

The clock is an argument (`now`, aware) everywhere; serial numbers and keys come from the
operating system.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography import x509

from pki.keys import KeyType, PrivateKey, PublicKey
from pki.log import LogReport
from pki.profile import Profile, Request
from pki.store import Entry, Page, Query

REASONS: tuple[str, ...] = (
    "unspecified",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)
"""RFC 5280 section 5.3.1, without the two that take a revocation back (hold, removeFromCRL)."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that is recorded, with everything its holder needs.

    `chain` is the leaf first, then its intermediates (never the root); `bundle` the roots to
    trust; `key` is None when the key was somebody else's (a CSR).
    """

    chain: tuple[x509.Certificate, ...]
    bundle: tuple[x509.Certificate, ...]
    key: PrivateKey | None
    entry: Entry

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate itself."""
        return self.chain[0]

    @property
    def chain_pem(self) -> bytes:
        """What belongs into `tls.crt`."""
        raise NotImplementedError

    @property
    def key_pem(self) -> bytes:
        """What belongs into `tls.key` (PKCS#8, not encrypted); raises if there is no key."""
        raise NotImplementedError

    @property
    def bundle_pem(self) -> bytes:
        """What belongs into `ca.crt`."""
        raise NotImplementedError


def needs_passphrase(directory: Path) -> bool:
    """Whether the issuing key in a CA directory is encrypted; raise `AuthorityError` if no CA."""
    raise NotImplementedError


class Authority:
    """One CA directory, opened. Use as a context manager."""

    profile: Profile

    @classmethod
    def create(
        cls,
        directory: Path,
        profile: Profile,
        now: datetime,
        *,
        key_type: KeyType = KeyType.P256,
        passphrase: bytes | None = None,
    ) -> Self:
        """Make a CA: root, first intermediate, index. Raise `AuthorityError` if one is there."""
        raise NotImplementedError

    @classmethod
    def open(cls, directory: Path, passphrase: bytes | None = None) -> Self:
        """Open a CA. Keys are read when they are first needed, so `ls` needs no passphrase."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the index."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def issue(
        self, request: Request, now: datetime, key: KeyType | PublicKey = KeyType.P256
    ) -> Issued:
        """Issue for `request`: with a new key of that type, or for somebody's public key."""
        raise NotImplementedError

    def sign_csr(self, csr: bytes, request: Request, now: datetime) -> Issued:
        """Issue for `request` with the key of a CSR (PEM or DER); see `pki.csr`."""
        raise NotImplementedError

    def renew(
        self,
        serial: str,
        now: datetime,
        *,
        ttl: timedelta | None = None,
        key: KeyType | PublicKey | None = None,
    ) -> Issued:
        """Issue again for the names of `serial`, as long-lived as it was unless `ttl` is given.

        A new key of the same type unless `key` says otherwise. An expired certificate may be
        renewed; a revoked or unknown one or a CA's raises `AuthorityError`.
        """
        raise NotImplementedError

    def revoke(self, serial: str, now: datetime, reason: str = "unspecified") -> Entry:
        """Revoke a leaf or an intermediate; raise `AuthorityError` if unknown, revoked, a root."""
        raise NotImplementedError

    def crls(self, now: datetime) -> tuple[x509.CertificateRevocationList, ...]:
        """A current CRL of every living issuer: each intermediate's, then the root's.

        New ones are signed; the root's last one is served while its key is away.
        """
        raise NotImplementedError

    def bundle(self) -> tuple[x509.Certificate, ...]:
        """The roots to trust."""
        raise NotImplementedError

    def spiffe_bundle(self) -> dict[str, Any]:
        """The SPIFFE bundle of the trust domain, ready for `json.dumps`."""
        raise NotImplementedError

    def rotate(self, now: datetime, key_type: KeyType = KeyType.P256) -> Entry:
        """Make the next intermediate (needs the root's key); new leaves are signed by it."""
        raise NotImplementedError

    def find(self, serial: str) -> Entry:
        """The entry of a certificate; serials may be upper case or have colons."""
        raise NotImplementedError

    def certificate(self, serial: str) -> x509.Certificate:
        """The certificate as it was issued; raise `AuthorityError` if unknown."""
        raise NotImplementedError

    def ls(self, query: Query) -> Page:
        """One page of the index."""
        raise NotImplementedError

    def verify_log(self, head: str | None = None) -> LogReport:
        """Check the index; see `Store.verify`."""
        raise NotImplementedError
