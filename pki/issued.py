"""What the CA hands out: a certificate with everything its holder needs, as values and as PEM."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.errors import AuthorityError
from pki.keys import PrivateKey, private_pem
from pki.view import Entry


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that is recorded, with everything its holder needs.

    `chain` is the leaf first, then its intermediates (never the root); `bundle` the roots to
    trust; `key` is None when the key was somebody else's (a CSR).
    """

    chain: tuple[x509.Certificate, ...]
    bundle: tuple[x509.Certificate, ...]
    key: PrivateKey | None = field(repr=False)
    entry: Entry

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate itself."""
        return self.chain[0]

    @property
    def chain_pem(self) -> bytes:
        """What belongs into `tls.crt`."""
        return _pem(self.chain)

    @property
    def key_pem(self) -> bytes:
        """What belongs into `tls.key` (PKCS#8, not encrypted); raises if there is no key."""
        if self.key is None:
            raise AuthorityError("the key of this certificate stayed with whoever sent the CSR")
        return private_pem(self.key)

    @property
    def bundle_pem(self) -> bytes:
        """What belongs into `ca.crt`."""
        return _pem(self.bundle)


def _pem(certificates: tuple[x509.Certificate, ...]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
