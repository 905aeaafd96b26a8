"""PEM, read strictly: the blocks of one label, in order (RFC 7468).

Text outside of blocks is allowed, as RFC 7468 section 5.2 does, and so are blocks of other
labels: a key file may hold its curve's parameters. BEGIN and END are whole lines, because
OpenSSL, which reads the same files, sees no block that begins within one. Between them there is
base64 and white space, nothing else.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from sidecar.core.der import MalformedCertificateError

CERTIFICATE: Final = "CERTIFICATE"
CRL: Final = "X509 CRL"


def pem_blocks(data: bytes, label: str) -> list[bytes]:
    """The decoded content of every block of `label`; raises `MalformedCertificateError`."""
    boundary = re.compile(rf"^-----(BEGIN|END) {label}-----[ \t\r]*$".encode(), re.MULTILINE)
    _, *parts = boundary.split(data)
    kinds, texts = parts[0::2], parts[1::2]
    if kinds != [b"BEGIN", b"END"] * (len(kinds) // 2):
        raise MalformedCertificateError(f"a {label} block is cut off: BEGIN and END do not match")
    return [_decode(text, f"{label} block {n}") for n, text in enumerate(texts[0::2], 1)]


def _decode(text: bytes, what: str) -> bytes:
    try:
        return binascii.a2b_base64(b"".join(text.split()), strict_mode=True)
    except binascii.Error as error:
        raise MalformedCertificateError(f"{what} is not base64: {error}") from None
