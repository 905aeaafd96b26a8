"""A DER writer for tests: whatever bytes it is told to write, right or wrong."""

from __future__ import annotations

from typing import Final

NULL: Final = b"\x05\x00"


def tlv(tag: int, content: bytes) -> bytes:
    """One element: identifier octet, minimal length (X.690 section 10.1), content."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, b"".join(parts))


def set_of(*parts: bytes) -> bytes:
    return tlv(0x31, b"".join(parts))


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def boolean(value: bool) -> bytes:
    return tlv(0x01, b"\xff" if value else b"\x00")


def octet_string(content: bytes) -> bytes:
    return tlv(0x04, content)


def bit_string(content: bytes, unused: int = 0) -> bytes:
    return tlv(0x03, bytes([unused]) + content)


def oid(dotted: str) -> bytes:
    """X.690 section 8.19."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return tlv(0x06, b"".join(_arc(arc) for arc in (first * 40 + second, *rest)))


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    """An Extension of RFC 5280 section 4.1.2.9."""
    return sequence(oid(dotted), boolean(True) if critical else b"", octet_string(value))


def _arc(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))
