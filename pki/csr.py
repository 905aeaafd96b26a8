"""Reading certificate signing requests, which strangers write.

A CSR gives a public key and the proof that its sender holds the private half. It names nothing:
subject and extensions are never copied into a certificate. What it asks for beyond the order is
refused rather than dropped, so nobody believes that they got it (threat class: CSR trust).
"""

from __future__ import annotations

from typing import Final

from pki.keys import PublicKey
from pki.profile import Request

MAX_CSR_BYTES: Final = 16 * 1024


def read_csr(data: bytes, request: Request) -> PublicKey:
    """Return the public key of a PEM or DER CSR that asks for nothing beyond `request`.

    Raises `RequestError`, with its own message each, for: oversized or unreadable input, a bad
    self-signature, a weak or unknown key, a CA bit, names that were not ordered, key usages
    beyond a leaf's, and any other extension.
    """
    raise NotImplementedError
