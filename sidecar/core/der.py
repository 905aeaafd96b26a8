"""DER, read strictly: one encoding for each value, nothing repaired, nothing left over.

What two parsers can read differently, an attacker can use. So this reader takes the one form
that X.690 section 10 allows and raises `MalformedCertificateError` for all others: indefinite
or padded lengths, padded integers, long tags, bytes behind the end.

An element is a tuple of offsets into the whole input, not a copy and not an object: that, and
reading all members of a SEQUENCE in one loop, is what makes a certificate cost microseconds.
There is no recursion; each caller names the shape that it expects, one level at a time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OID: Final = 0x06
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31

MAX_OID_BYTES: Final = 64
_new: Final = tuple.__new__  # a named tuple at half the cost of calling its class


class MalformedCertificateError(ValueError):
    """Bytes that are not the certificate, CRL or PEM that they should be."""


class Element(NamedTuple):
    """One element: its tag, where its header begins, where its content begins and ends."""

    tag: int
    begin: int
    start: int
    stop: int


def elements(data: bytes, start: int, stop: int) -> list[Element]:
    """All elements that lie side by side in `data[start:stop]`, which they fill exactly."""
    found = []
    while start < stop:
        if start + 2 > stop:
            raise MalformedCertificateError(f"an element is cut off at byte {start}")
        tag, size, content = data[start], data[start + 1], start + 2
        if size >= 0x80:
            size, content = _long_length(data, content)
        end = content + size
        if end > stop:
            raise MalformedCertificateError(f"the element at byte {start} is longer than its place")
        if tag & 0x1F == 0x1F:
            raise MalformedCertificateError(f"a tag number above 30 at byte {start}")
        found.append(_new(Element, (tag, start, content, end)))
        start = end
    return found


def whole(data: bytes, tag: int) -> Element:
    """The one element that is all of `data`."""
    found = elements(data, 0, len(data))
    if len(found) != 1 or found[0].tag != tag:
        raise MalformedCertificateError(f"expected one element of type 0x{tag:02x} and no more")
    return found[0]


def members(data: bytes, parent: Element) -> list[Element]:
    """The elements in the content of `parent`."""
    return elements(data, parent.start, parent.stop)


def shape(data: bytes, parent: Element, *tags: int) -> list[Element]:
    """The elements in `parent`, which must be of exactly these types in this order."""
    found = members(data, parent)
    if len(found) != len(tags):
        raise MalformedCertificateError(
            f"expected {len(tags)} elements at byte {parent.start}, found {len(found)}"
        )
    for element, tag in zip(found, tags, strict=True):
        expect(element, tag)
    return found


def all_of(data: bytes, parent: Element, tag: int) -> list[Element]:
    """The elements of a SEQUENCE OF or SET OF: at least one, and all of type `tag`."""
    found = members(data, parent)
    if not found:
        raise MalformedCertificateError(f"an empty list at byte {parent.begin}")
    for element in found:
        expect(element, tag)
    return found


def expect(element: Element, tag: int) -> None:
    """Raise unless `element` is of type `tag`."""
    if element.tag != tag:
        raise MalformedCertificateError(
            f"expected type 0x{tag:02x} at byte {element.begin}, found 0x{element.tag:02x}"
        )


def raw(data: bytes, element: Element) -> bytes:
    """The element with its header."""
    return data[element.begin : element.stop]


def content(data: bytes, element: Element) -> bytes:
    """The element without its header."""
    return data[element.start : element.stop]


def natural(data: bytes, element: Element, max_bytes: int) -> int:
    """An INTEGER that is not negative, of at most `max_bytes` octets (X.690 section 8.3)."""
    expect(element, INTEGER)
    value = data[element.start : element.stop]
    if not value or len(value) > max_bytes:
        raise MalformedCertificateError(f"an integer of {len(value)} bytes at byte {element.begin}")
    if value[0] & 0x80 or (value[0] == 0 and len(value) > 1 and not value[1] & 0x80):
        raise MalformedCertificateError(f"a negative or padded integer at byte {element.begin}")
    return int.from_bytes(value, "big")


def true(data: bytes, element: Element) -> bool:
    """A BOOLEAN where FALSE is the default, which DER then leaves out (X.690 section 11.5)."""
    expect(element, BOOLEAN)
    if data[element.start : element.stop] != b"\xff":
        raise MalformedCertificateError(f"not the DER of TRUE at byte {element.begin}")
    return True


def octets(data: bytes, element: Element) -> bytes:
    """The content of a BIT STRING of whole octets, as keys and signatures are."""
    expect(element, BIT_STRING)
    if element.start == element.stop or data[element.start] != 0:
        raise MalformedCertificateError(f"a bit string of broken octets at byte {element.begin}")
    return data[element.start + 1 : element.stop]


def named_bits(data: bytes, element: Element) -> int:
    """A BIT STRING of named bits as a number in which bit n is bit n (X.690 section 11.2)."""
    expect(element, BIT_STRING)
    value = data[element.start : element.stop]
    if not 2 <= len(value) <= 3:
        raise MalformedCertificateError(f"not a list of named bits at byte {element.begin}")
    if value[-1] & ((2 << value[0]) - 1) != 1 << value[0]:
        raise MalformedCertificateError(f"named bits end in zeros at byte {element.begin}")
    return sum(
        1 << (8 * index + bit)
        for index, octet in enumerate(value[1:])
        for bit in range(8)
        if octet & (0x80 >> bit)
    )


@lru_cache(maxsize=256)
def dotted(value: bytes) -> str:
    """The content of an OBJECT IDENTIFIER as `1.2.840` (X.690 section 8.19)."""
    if not 0 < len(value) <= MAX_OID_BYTES or value[-1] & 0x80:
        raise MalformedCertificateError("an object identifier is empty, cut off or too long")
    arcs: list[int] = []
    arc = 0
    for octet in value:
        if arc == 0 and octet == 0x80:
            raise MalformedCertificateError("an object identifier has a padded arc")
        arc = arc << 7 | octet & 0x7F
        if octet < 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def identifier(data: bytes, element: Element) -> str:
    """An OBJECT IDENTIFIER as `1.2.840`."""
    expect(element, OID)
    return dotted(data[element.start : element.stop])


def moment(data: bytes, element: Element) -> float:
    """A Time in seconds since the epoch (RFC 5280 section 4.1.2.5).

    Years to 2049 are UTCTime, later ones GeneralizedTime; both end in seconds and `Z`.
    """
    text = data[element.start : element.stop]
    if element.tag == UTC_TIME:
        text = (b"20" if text < b"5" else b"19") + text
    elif element.tag != GENERALIZED_TIME or text < b"2050":
        raise MalformedCertificateError(f"not a time of RFC 5280 at byte {element.begin}")
    if text[14:] != b"Z" or not text[:14].isdigit():
        raise MalformedCertificateError(f"a time that is not in UTC at byte {element.begin}")
    date = int(text[:4]), int(text[4:6]), int(text[6:8])
    time = int(text[8:10]), int(text[10:12]), int(text[12:14])
    try:
        return datetime(*date, *time, tzinfo=UTC).timestamp()
    except ValueError:
        raise MalformedCertificateError(f"no such time at byte {element.begin}") from None


def _long_length(data: bytes, start: int) -> tuple[int, int]:
    """The length whose first octet stands before `start`, and where the content begins.

    One that says less than it could in fewer octets is refused, and with it the indefinite form,
    which says nothing; one that says too much does not fit into its place.
    """
    count = data[start - 1] & 0x7F
    size = int.from_bytes(data[start : start + count], "big")
    if size < 0x80 or size >> (8 * (count - 1)) == 0:
        raise MalformedCertificateError(f"an indefinite or padded length at byte {start - 1}")
    return size, start + count
