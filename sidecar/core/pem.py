"""PEM, read strictly: the blocks of one label, in order (RFC 7468).

Text outside of blocks is allowed, as RFC 7468 section 5.2 does, and so are blocks of other
labels: a key file may hold its curve's parameters. Within a block there is base64 and white
space, nothing else.
"""

from __future__ import annotations

import binascii
from typing import Final

from sidecar.core.der import MalformedCertificateError

CERTIFICATE: Final = "CERTIFICATE"
CRL: Final = "X509 CRL"


def pem_blocks(data: bytes, label: str) -> list[bytes]:
    """The decoded content of every block of `label`; raises `MalformedCertificateError`."""
    begin, end = f"-----BEGIN {label}-----".encode(), f"-----END {label}-----".encode()
    _, *chunks = data.split(begin)
    blocks = []
    for number, chunk in enumerate(chunks, 1):
        body, found, _ = chunk.partition(end)
        if not found:
            raise MalformedCertificateError(f"{label} block {number} has no END line")
        try:
            blocks.append(binascii.a2b_base64(b"".join(body.split()), strict_mode=True))
        except binascii.Error as error:
            raise MalformedCertificateError(f"{label} block {number}: {error}") from None
    return blocks
