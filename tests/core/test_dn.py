"""Names as text: whatever a certificate says, the text is printable ASCII and means the name."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.der import MalformedCertificateError
from sidecar.core.dn import MAX_NAME_BYTES, escape, name_text
from tests import der


def attribute(kind: str, tag: int, text: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.tlv(tag, text))


def common_name(text: bytes, tag: int = 0x0C) -> bytes:
    return der.sequence(der.set_of(attribute("2.5.4.3", tag, text)))


def test_most_specific_comes_first_and_sets_are_joined_by_plus() -> None:
    name = der.sequence(
        der.set_of(attribute("2.5.4.6", 0x13, b"DE")),
        der.set_of(attribute("2.5.4.10", 0x0C, b"Shop"), attribute("2.5.4.11", 0x0C, b"Web")),
        der.set_of(attribute("2.5.4.3", 0x0C, b"web")),
    )
    assert name_text(name) == "CN=web,O=Shop+OU=Web,C=DE"


def test_empty_name_is_empty_text() -> None:
    assert name_text(der.sequence()) == ""


def test_unknown_types_are_numbers_and_hex() -> None:
    name = der.sequence(der.set_of(attribute("1.2.3", 0x0C, b"a,b")))
    assert name_text(name) == "1.2.3=#0c03612c62"


def test_value_that_is_no_string_is_hex() -> None:
    assert name_text(common_name(b"\x01\x01", tag=0x05)) == "CN=#05020101"


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (0x0C, "Zoë"), (0x13, "Zoe"), (0x14, "Zoë"), (0x16, "Zoe"), (0x1A, "Zoe"), (0x1C, "Zoë"),
        (0x1E, "Zoë"),
    ],
)  # fmt: skip
def test_string_types(tag: int, text: str) -> None:
    encoding = {0x0C: "utf-8", 0x14: "latin-1", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}
    octets = text.encode(encoding.get(tag, "ascii"))
    assert name_text(common_name(octets, tag)) == "CN=" + text.replace("ë", r"\C3\AB")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(common_name(b"\xff"), id="not UTF-8"),
        pytest.param(common_name(b"\xed\xa0\x80"), id="surrogate"),
        pytest.param(common_name(b"a", tag=0x1E), id="half a character"),
        pytest.param(common_name("ë".encode(), tag=0x13), id="PrintableString beyond ASCII"),
        pytest.param(der.sequence(der.set_of()), id="empty set"),
        pytest.param(der.sequence(der.sequence(attribute("2.5.4.3", 12, b"a"))), id="not a set"),
        pytest.param(der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3")))), id="no value"),
        pytest.param(der.sequence(der.set_of(der.sequence(der.NULL, der.NULL))), id="no type"),
        pytest.param(der.sequence() + b"\x00", id="bytes behind"),
        pytest.param(der.set_of(), id="another type"),
    ],
)
def test_malformed_names_are_refused(name: bytes) -> None:
    with pytest.raises(MalformedCertificateError):
        name_text(name)


def test_length_is_bounded() -> None:
    room = MAX_NAME_BYTES - len(common_name(bytes(1000))) + 1000
    assert len(name_text(common_name(b"a" * room))) == room + 3
    with pytest.raises(MalformedCertificateError, match="too long"):
        name_text(common_name(b"a" * (room + 1)))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("web", "web"), ("", ""), (" ", r"\20"), ("  ", r"\20\20"), (" a ", r"\20a\20"),
        ("#a#", r"\23a#"), ("a b", "a b"), ('a"b', r"a\22b"), ("a\\", r"a\5C"), ("a,b", r"a\2Cb"),
        ("a\x00b", r"a\00b"), ("a\r\nb", r"a\0D\0Ab"), ("\x7f", r"\7F"), ("ë", r"\C3\AB"),
    ],
)  # fmt: skip
def test_escaping(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=16))  # they stop at 64 octets
def test_text_is_printable_and_means_the_same(text: str) -> None:
    """Threats 7 and 29: nothing in a name ends a line, a quote or a value."""
    rendered = name_text(common_name(text.encode()))
    assert all(" " <= character <= "~" for character in rendered)
    assert not set('",;') & set(rendered)
    if "\x00" not in text:  # the other reader takes no NUL
        (back,) = x509.Name.from_rfc4514_string(rendered).get_attributes_for_oid(
            NameOID.COMMON_NAME
        )
        assert back.value == text
