"""The few lines of DER: read by an independent reader, and compared with an independent writer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki import der
from tests import der as other

CONTENT = st.binary(max_size=300)


@given(st.integers(0, 255), CONTENT)
def test_an_element_is_written_as_another_writer_does_and_read_back(tag: int, data: bytes) -> None:
    assert der.tlv(tag, data) == other.tlv(tag, data)
    assert list(der.elements(der.tlv(tag, data))) == [(tag, data)]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_lengths_around_the_edges_of_their_forms(size: int) -> None:
    assert der.content(der.octets(bytes(size))) == bytes(size)


@given(st.lists(st.tuples(st.integers(0, 255), CONTENT), max_size=5))
def test_elements_in_a_row_come_back_in_order(items: list[tuple[int, bytes]]) -> None:
    joined = b"".join(der.tlv(tag, data) for tag, data in items)
    assert list(der.elements(joined)) == items
    assert list(der.elements(der.content(der.sequence(joined)))) == items


@given(st.integers(0, 1 << 200))
def test_integers_agree_with_another_writer(number: int) -> None:
    assert der.integer(number) == other.integer(number)


@pytest.mark.parametrize("dotted", ["1.2.840.113549.1.5.13", "1.3.101.112", "2.5.29.17", "0.9.127"])
def test_object_identifiers_agree_with_another_writer(dotted: str) -> None:
    assert der.oid(dotted) == other.oid(dotted)


def test_pem_has_lines_of_64_and_its_label() -> None:
    assert der.pem("X", bytes(60)).decode() == (
        f"-----BEGIN X-----\n{'A' * 64}\n{'A' * 16}\n-----END X-----\n"
    )
