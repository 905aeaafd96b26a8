"""The forwarded identity: an independent reader gets back exactly the peer, whatever is in it."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.names import SpiffeID
from sidecar.core.forwarded import xfcc
from sidecar.core.ids import Peer

OWN = SpiffeID.parse("spiffe://demo.local/ns/shop/sa/orders")
WEB = SpiffeID.parse("spiffe://demo.local/ns/shop/sa/web")
HASH = "ab" * 32


def peer(subject: str = "", dns: tuple[str, ...] = ()) -> Peer:
    return Peer(WEB, HASH, 0.0, 1.0, 1, subject, dns)


def read(field: bytes) -> list[list[tuple[str, str]]]:
    """Envoy's grammar, written from its documentation: elements of pairs, quotes, backslashes."""
    elements: list[list[tuple[str, str]]] = [[]]
    text = field.decode("ascii")
    at = 0
    while at < len(text):
        key, _, _ = text[at:].partition("=")
        at += len(key) + 1
        value, at = read_value(text, at)
        elements[-1].append((key, unquote(value, errors="surrogatepass")))
        if at < len(text):
            assert text[at] in ",;", f"{text[at:]!r} stands behind a value"
            if text[at] == ",":
                elements.append([])
            at += 1
    return elements


def read_value(text: str, at: int) -> tuple[str, int]:
    if not text.startswith('"', at):
        end = min((text.find(c, at) for c in ",;" if c in text[at:]), default=len(text))
        return text[at:end], end
    value = ""
    at += 1
    while text[at] != '"':
        if text.startswith('\\"', at):
            at += 1
        value += text[at]
        at += 1
    return value, at + 1


def test_element_as_envoy_writes_it() -> None:
    assert xfcc(peer("CN=web,O=Shop", ("web.shop.svc", "web")), OWN) == (
        b"By=spiffe://demo.local/ns/shop/sa/orders;Hash=" + HASH.encode() + b";"
        b'Subject="CN=web,O=Shop";URI=spiffe://demo.local/ns/shop/sa/web;'
        b"DNS=web.shop.svc;DNS=web"
    )


def test_empty_subject_is_quoted_nothing() -> None:
    assert b';Subject="";URI=' in xfcc(peer(), OWN)


@pytest.mark.parametrize(
    ("subject", "rendered"),
    [
        (r"CN=a\2Cb", r'"CN=a\2Cb"'),
        ('CN="a"', r'"CN=\"a\""'),
        ("CN=a\\", r'"CN=a%5C"'),
        ('CN=a\\"', r'"CN=a%5C\""'),
        ("CN=100%", r'"CN=100%25"'),
        ("CN=a\r\nx: y", r'"CN=a%0D%0Ax: y"'),
        ("CN=Zoë", r'"CN=Zo%C3%AB"'),
        ("CN=a\x00", r'"CN=a%00"'),
    ],
)
def test_subject_is_quoted(subject: str, rendered: str) -> None:
    assert f"Subject={rendered};".encode() in xfcc(peer(subject), OWN)


@pytest.mark.parametrize(
    "text", ["a,By=x", "a;URI=spiffe://demo.local/admin", "a=b", 'a"', "a b", ""]
)
def test_value_that_the_grammar_would_split_is_quoted(text: str) -> None:
    field = xfcc(peer(dns=(text,)), OWN)
    assert field.endswith(b'"')
    assert read(field)[0][-1] == ("DNS", text)


@given(
    st.text(st.characters(), max_size=30),
    st.lists(st.text(st.characters(), max_size=20), max_size=3).map(tuple),
)
def test_certificate_fields_cannot_inject(subject: str, dns: tuple[str, ...]) -> None:
    """Threat class 7: one element, one pair for each value, each value as it was."""
    field = xfcc(peer(subject, dns), OWN)
    assert all(0x20 <= octet <= 0x7E for octet in field)
    assert read(field) == [
        [
            ("By", str(OWN)),
            ("Hash", HASH),
            ("Subject", subject),
            ("URI", str(WEB)),
            *(("DNS", name) for name in dns),
        ]
    ]


@given(st.text(st.sampled_from('a\\",;=% '), max_size=12))
def test_readers_that_unescape_everything_see_the_same_pairs(subject: str) -> None:
    """A second habit: any character behind a backslash is literal. The pairs end where they end."""
    field = xfcc(peer(subject), OWN).decode()
    at = field.index('Subject="') + len('Subject="')
    while field[at] != '"':
        at += 2 if field[at] == "\\" else 1
    assert field[at:] == f'";URI={WEB}'
