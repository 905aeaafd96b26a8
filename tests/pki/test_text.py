"""Words for people: durations, tables, and strangers' text that does nothing to a terminal."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.text import count, printable, span, table


@given(st.text())
def test_printable_text_has_nothing_that_a_terminal_acts_on(text: str) -> None:
    assert printable(text).isprintable()


@given(st.text(), st.text())
def test_two_texts_never_look_the_same_by_escaping(one: str, other: str) -> None:
    assert (printable(one) == printable(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Müller & Söhne", "Müller & Söhne"),
        ("a\nb", r"a\nb"),
        ("a\\nb", r"a\\nb"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x00", r"\x00"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("a\u200bb", r"a\u200bb"),
        ("\udcff", r"\udcff"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_backslashes_of_distinguished_names_stay_as_they_are() -> None:
    assert printable("CN=a\\,b\x1b", backslash=False) == r"CN=a\,b\x1b"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (1, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3659, "1 h"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (365 * 86_400, "1 y"),
        (3650 * 86_400 + 86_400, "10 y 1 d"),
        (-61, "1 min 1 s"),
    ],
)
def test_span_has_the_two_largest_units(seconds: int, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text


def test_a_table_is_as_wide_as_it_must_be() -> None:
    assert table([("a", "bb", "c"), ("aaa", "b", "")]) == "a    bb  c\naaa  b\n"


@pytest.mark.parametrize(("number", "text"), [(0, "0 CRLs"), (1, "1 CRL"), (2, "2 CRLs")])
def test_count(number: int, text: str) -> None:
    assert count(number, "CRL") == text
