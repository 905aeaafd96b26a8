"""The DER reader: the one encoding of each value is read, every other one is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import der as reader
from sidecar.core.der import Element, MalformedCertificateError
from tests import der


def only(data: bytes) -> Element:
    (element,) = reader.elements(data, 0, len(data))
    return element


def refuses(data: bytes) -> None:
    with pytest.raises(MalformedCertificateError):
        reader.elements(data, 0, len(data))


# --- lengths (X.690 section 10.1) ---


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_minimal_lengths_are_read(size: int) -> None:
    data = der.octet_string(bytes(size))
    assert reader.content(data, only(data)) == bytes(size)
    assert reader.raw(data, only(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("04", id="no length"),
        pytest.param("0401", id="no content"),
        pytest.param("0480aa0000", id="indefinite"),
        pytest.param("04ff", id="reserved"),
        pytest.param("048105aaaaaaaaaa", id="long form of a short length"),
        pytest.param("0482000aaaaaaaaaaaaaaaaaaaaa", id="leading zero"),
        pytest.param("0481", id="length cut off"),
        pytest.param("0485000000000100", id="five length octets"),
        pytest.param("0484ffffffff00", id="longer than the input"),
        pytest.param("1f0100", id="high tag number"),
        pytest.param("0480" + "aa" * 128, id="indefinite, though 128 bytes follow"),
    ],
)
def test_other_lengths_are_refused(data: str) -> None:
    refuses(bytes.fromhex(data))


def test_padded_128_is_refused_and_its_minimal_twin_is_not() -> None:
    content = bytes(128)
    assert only(b"\x04\x81\x80" + content).stop == 131
    refuses(b"\x04\x82\x00\x80" + content)


def test_bytes_behind_the_end_are_refused() -> None:
    good = der.sequence(der.NULL)
    assert reader.whole(good, reader.SEQUENCE)
    for tail in (b"\x00", b"\x05\x00", good):
        with pytest.raises(MalformedCertificateError):
            reader.whole(good + tail, reader.SEQUENCE)


def test_whole_is_of_one_type() -> None:
    with pytest.raises(MalformedCertificateError):
        reader.whole(der.sequence(), reader.SET)


def test_element_may_not_reach_out_of_its_parent() -> None:
    inner = b"\x04\x03ab"  # says 3, has 2; the third byte belongs to the next element
    data = der.sequence(inner) + der.NULL
    outer, _ = reader.elements(data, 0, len(data))
    with pytest.raises(MalformedCertificateError, match="longer than its place"):
        reader.members(data, outer)


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_what_is_written_is_read(parts: list[bytes]) -> None:
    data = der.sequence(*(der.octet_string(part) for part in parts))
    found = reader.members(data, reader.whole(data, reader.SEQUENCE))
    assert [reader.content(data, one) for one in found] == parts


@given(st.binary(max_size=64))
def test_any_bytes_are_elements_or_one_error(data: bytes) -> None:
    try:
        found = reader.elements(data, 0, len(data))
    except MalformedCertificateError:
        return
    assert b"".join(reader.raw(data, one) for one in found) == data
    written = [der.tlv(one.tag, reader.content(data, one)) for one in found]
    assert b"".join(written) == data  # so there was no other way to encode it


# --- shapes ---


def test_shape_names_each_type() -> None:
    data = der.sequence(der.integer(1), der.NULL)
    parent = only(data)
    assert len(reader.shape(data, parent, reader.INTEGER, reader.NULL)) == 2
    for wrong in [(), (reader.INTEGER,), (reader.NULL, reader.INTEGER), (reader.INTEGER,) * 3]:
        with pytest.raises(MalformedCertificateError):
            reader.shape(data, parent, *wrong)


def test_lists_have_at_least_one_member_of_one_type() -> None:
    good = der.sequence(der.NULL, der.NULL)
    assert len(reader.all_of(good, only(good), reader.NULL)) == 2
    for bad in (der.sequence(), der.sequence(der.NULL, der.integer(1))):
        with pytest.raises(MalformedCertificateError):
            reader.all_of(bad, only(bad), reader.NULL)


# --- values ---


@given(st.integers(min_value=0, max_value=2**64))
def test_naturals_are_read(value: int) -> None:
    data = der.integer(value)
    assert reader.natural(data, only(data), 20) == value


@pytest.mark.parametrize("data", ["0200", "0201ff", "02020001", "0202ff80", "040101"])
def test_other_integers_are_refused(data: str) -> None:
    raw = bytes.fromhex(data)
    with pytest.raises(MalformedCertificateError):
        reader.natural(raw, only(raw), 20)


def test_integer_limit_is_in_octets() -> None:
    data = der.integer(2**31 - 1)
    assert reader.natural(data, only(data), 4) == 2**31 - 1
    with pytest.raises(MalformedCertificateError):
        reader.natural(data, only(data), 3)


def test_true_is_ff_and_false_is_left_out() -> None:
    assert reader.true(b"\x01\x01\xff", only(b"\x01\x01\xff"))
    for bad in (
        b"\x01\x01\x01",
        b"\x01\x01\x00",
        b"\x01\x00",
        b"\x01\x02\xff\xff",
        b"\x02\x01\xff",
    ):
        with pytest.raises(MalformedCertificateError):
            reader.true(bad, only(bad))


@pytest.mark.parametrize(
    ("data", "bits"),
    [("03020780", {0}), ("03020106", {5, 6}), ("030205a0", {0, 2}), ("03030700" + "80", {8})],
)
def test_named_bits_are_read(data: str, bits: set[int]) -> None:
    raw = bytes.fromhex(data)
    assert reader.named_bits(raw, only(raw)) == sum(1 << bit for bit in bits)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("0300", id="empty"),
        pytest.param("030100", id="no bit"),
        pytest.param("03020080", id="trailing zero bits"),
        pytest.param("03020881", id="eight unused bits"),
        pytest.param("03020781", id="unused bit set"),
        pytest.param("0303008000", id="trailing zero octet"),
        pytest.param("030400808080", id="too many"),
        pytest.param("04020780", id="other type"),
    ],
)
def test_other_named_bits_are_refused(data: str) -> None:
    raw = bytes.fromhex(data)
    with pytest.raises(MalformedCertificateError):
        reader.named_bits(raw, only(raw))


@pytest.mark.parametrize(
    "dotted", ["2.5.29.17", "1.2.840.113549.1.1.11", "0.0", "1.39.0", "2.999", "1.2.16384.3"]
)
def test_object_identifiers_are_read(dotted: str) -> None:
    data = der.oid(dotted)
    assert reader.identifier(data, only(data)) == dotted


@pytest.mark.parametrize("content", [b"", b"\x2a\x86", b"\x2a\x80\x01", b"\x80\x01", b"\x2a" * 65])
def test_other_object_identifiers_are_refused(content: bytes) -> None:
    with pytest.raises(MalformedCertificateError):
        reader.dotted(content)


def test_object_identifier_is_of_its_type() -> None:
    with pytest.raises(MalformedCertificateError):
        reader.identifier(b"\x04\x01\x2a", only(b"\x04\x01\x2a"))


def test_octets_are_whole_and_of_their_type() -> None:
    good = der.bit_string(b"key")
    assert reader.octets(good, only(good)) == b"key"
    for bad in (der.bit_string(b"\x80", 1), b"\x03\x00", der.octet_string(b"\x00key")):
        with pytest.raises(MalformedCertificateError):
            reader.octets(bad, only(bad))


def test_longest_object_identifier() -> None:
    assert reader.dotted(b"\x2a" * reader.MAX_OID_BYTES).count(".") == reader.MAX_OID_BYTES


@pytest.mark.parametrize(
    ("tag", "text", "epoch"),
    [
        (0x17, b"700101000000Z", 0),
        (0x17, b"500101000000Z", -631152000),
        (0x17, b"491231235959Z", 2524607999),
        (0x18, b"20500101000000Z", 2524608000),
        (0x18, b"99991231235959Z", 253402300799),
        (0x17, b"240229120000Z", 1709208000),
    ],
)
def test_times_are_read(tag: int, text: bytes, epoch: int) -> None:
    data = der.tlv(tag, text)
    assert reader.moment(data, only(data)) == epoch


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        pytest.param(0x17, b"7001010000Z", id="without seconds"),
        pytest.param(0x17, b"700101000000+0000", id="zone"),
        pytest.param(0x17, b"7001010000000", id="without Z"),
        pytest.param(0x17, b"700101 00000Z", id="blank"),
        pytest.param(0x17, b"+00101000000Z", id="sign"),
        pytest.param(0x17, b"7_0101000000Z", id="underscore"),
        pytest.param(0x17, b"700101240000Z", id="hour 24"),
        pytest.param(0x17, b"700101000060Z", id="leap second"),
        pytest.param(0x17, b"230229120000Z", id="no such day"),
        pytest.param(0x17, b"700001000000Z", id="month 0"),
        pytest.param(0x18, b"20491231235959Z", id="GeneralizedTime before 2050"),
        pytest.param(0x18, b"20500101000000.5Z", id="fraction"),
        pytest.param(0x18, b"500101000000Z", id="UTCTime as GeneralizedTime"),
        pytest.param(0x17, b"20500101000000Z", id="GeneralizedTime as UTCTime"),
        pytest.param(0x18, "2050010100000\u0660".encode(), id="Arabic digit"),
        pytest.param(0x16, b"20500101000000Z", id="a string"),
        pytest.param(0x17, b"", id="empty"),
    ],
)
def test_other_times_are_refused(tag: int, text: bytes) -> None:
    data = der.tlv(tag, text)
    with pytest.raises(MalformedCertificateError):
        reader.moment(data, only(data))
