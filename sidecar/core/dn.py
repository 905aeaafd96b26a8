"""Distinguished names as text: RFC 4514, and nothing outside of printable ASCII.

The text goes into logs and into an HTTP header, so every character that is not plain and
printable comes out as `\\XX`, which RFC 4514 section 2.4 allows for any of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from sidecar.core import der
from sidecar.core.der import Element, MalformedCertificateError

# RFC 4514 section 3; all other types are written as dotted numbers with the value in hex.
_TYPES: Final = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
# The string types of X.520 and how their octets spell characters.
_ENCODINGS: Final = {
    0x0C: "utf-8",
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, as everybody reads it
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_UNSAFE: Final = re.compile(r'[^ -~]|["+,;<>\\]')
MAX_NAME_BYTES: Final = 4096


@lru_cache(maxsize=256)  # issuers are few, and most subjects are empty
def name_text(name: bytes) -> str:
    """The DER of a Name as RFC 4514 text, most specific first; empty for the empty name."""
    if len(name) > MAX_NAME_BYTES:
        raise MalformedCertificateError(f"a name of {len(name)} bytes is too long")
    sets = der.members(name, der.whole(name, der.SEQUENCE))
    return ",".join(_relative(name, one) for one in reversed(sets))


def _relative(name: bytes, parent: Element) -> str:
    der.expect(parent, der.SET)
    return "+".join(_attribute(name, one) for one in der.all_of(name, parent, der.SEQUENCE))


def _attribute(name: bytes, parent: Element) -> str:
    found = der.members(name, parent)
    if len(found) != 2:
        raise MalformedCertificateError(f"not a type and a value at byte {parent.begin} of a name")
    kind, value = der.identifier(name, found[0]), found[1]
    if kind not in _TYPES or value.tag not in _ENCODINGS:
        return f"{_TYPES.get(kind, kind)}=#{der.raw(name, value).hex()}"
    try:
        text = der.content(name, value).decode(_ENCODINGS[value.tag])
    except UnicodeDecodeError:
        raise MalformedCertificateError(f"a name's {_TYPES[kind]} is not text") from None
    return f"{_TYPES[kind]}={escape(text)}"


def escape(text: str) -> str:
    """An attribute value as RFC 4514 section 2.4 allows it, in printable ASCII.

    Only the pairs of hex digits are used, never `\\"` or `\\,`: no reader has to look at two
    characters to know where a value ends.
    """
    plain = _UNSAFE.sub(_hex, text)
    if plain.startswith((" ", "#")):
        plain = _hex_of(plain[0]) + plain[1:]
    return plain[:-1] + _hex_of(" ") if plain.endswith(" ") else plain


def _hex(match: re.Match[str]) -> str:
    return _hex_of(match[0])


def _hex_of(character: str) -> str:
    return "".join(f"\\{octet:02X}" for octet in character.encode("utf-8"))
