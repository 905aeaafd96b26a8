"""Just enough DER (X.690) to write an envelope and to look at how something was encoded.

cryptography reads and writes everything that has a type there. What it does not show is the
encoding itself (which kind of time, how long an integer), and that is what a linter is asked
about; what it does not write is a well-stretched key file.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final

NULL: Final = b"\x05\x00"


def tlv(tag: int, content: bytes) -> bytes:
    """One element with a definite length in its shortest form."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of elements that are encoded already."""
    return tlv(0x30, b"".join(parts))


def octets(value: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(0x04, value)


def integer(value: int) -> bytes:
    """INTEGER, not negative."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from its dotted form."""
    first, second, *rest = map(int, dotted.split("."))
    return tlv(0x06, b"".join(map(_base128, (40 * first + second, *rest))))


def _base128(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(0x80 | number & 0x7F)
    return bytes(reversed(digits))


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (tag, content) of each element in `data`, one after the other, not nested.

    For encodings that a real parser has accepted before: lengths are not checked again.
    """
    at = 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        yield tag, data[at : at + size]
        at += size


def content(data: bytes) -> bytes:
    """The content of the single element that `data` is."""
    return next(elements(data))[1]


def pem(label: str, data: bytes) -> bytes:
    """PEM armour (RFC 7468)."""
    text = base64.b64encode(data).decode()
    lines = (text[at : at + 64] for at in range(0, len(text), 64))
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()
