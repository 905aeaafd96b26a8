"""The path rule: one spelling, read alike by every server, and nothing else gets through."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.ids import RefusedError
from sidecar.core.path import Target, canonical, decoded, plain
from sidecar.core.reasons import BAD_PATH
from tests.core.servers import MODELS, by_the_book, readings

# Pieces of which trouble is made, and some that are none.
# fmt: off
PIECES = [
    "/", "//", ".", "..", "...", "a", "B", "~", "-", ":", "@", ",", "=", "+", "'", "%20", "%25",
    "%252e", "%252F", "%2e", "%2E", "%2f", "%2F", "%5c", "%5C", "%3b", "%3F", "%23", "%00", "%0a",
    "%7f", "%41", "%7e", "%40", "%c3%a9", "%E2%82%AC", "%C0%AF", "%C0%AE", "%e0%80%ae",
    "%ED%A0%80", "%ff", "%u0041", "%", "%4", "%zz", ";", ";x", "\\", "#", "?", "[", "]", "{", '"',
    "<", " ", "é", "\x00", "\t", "\r", "\n", "\x7f", "\x85",
]
HARMLESS = [
    "/a", "/b.", "/.c", "/d~", "/%20", "/%25", "/%252e", "/%40", "/@", "/%2A", "/%c3%a9", "/%41",
    "/%7e", "%2B", "+", ",", "=", ".", "-", "1",
]
# fmt: on

nasty = st.lists(st.sampled_from(PIECES), max_size=8).map(lambda parts: "/" + "".join(parts))
harmless = st.lists(st.sampled_from(HARMLESS), max_size=8).map(lambda parts: "/x" + "".join(parts))
anything = nasty | harmless | st.text(max_size=12)


def accepted(target: str, rule: Callable[[str], Target] = canonical) -> Target | None:
    try:
        return rule(target)
    except RefusedError:
        return None


@pytest.mark.parametrize(
    "path",
    [
        "/", "/a", "/a/", "/api/v1/users/42", "/.well-known/acme", "/...", "/a..b", "/a.", "/~u",
        "/a:b@c", "/!$&'()*+,=", "/a%20b", "/a%25b", "/%252F", "/th%C3%A9", "/%E2%82%AC",
        "/%F0%9F%98%80", "/a%40b.org", "/%5Bid%5D", "/%2A", "/%7B%7D",
    ],
)  # fmt: skip
def test_a_canonical_path_stays_as_it_is(path: str) -> None:
    assert canonical(path) == (path, "")
    assert canonical(path + "?q") == (path, "?q")


@pytest.mark.parametrize(
    ("given_", "path"),
    [
        ("/%61dmin", "/admin"),
        ("/%41%5a%61%7A%30%39", "/AZaz09"),
        ("/%2d%2E%5f%7e", "/-._~"),
        ("/th%c3%a9", "/th%C3%A9"),
        ("/a%2ab", "/a%2Ab"),
        ("/%2561", "/%2561"),
        ("/%25%36%31", "/%2561"),
        ("/%2Ewell-known", "/.well-known"),
    ],
)
def test_two_spellings_are_rewritten(given_: str, path: str) -> None:
    assert canonical(given_) == (path, "")


# What is refused, how that is said, and whether some server reads it unlike another: the reason
# for refusing it. Those that all the models read alike are refused because the grammar does.
REFUSED = [
    ("/a/../b", "a dot segment", True),
    ("/a/./b", "a dot segment", True),
    ("/..", "a dot segment", True),
    ("/a/.", "a dot segment", True),
    ("/%2e%2E/a", "a dot segment", True),
    ("/a/.%2e", "a dot segment", True),
    ("/a//b", "an empty segment", True),
    ("//", "an empty segment", True),
    ("/a//", "an empty segment", True),
    ("/a;x/b", "a semicolon", True),
    ("/a/..;x/b", "a semicolon", True),
    ("/a/.;/b", "a semicolon", True),
    ("/a%3bx", "a semicolon", True),
    ("/a/%2e%2e;/b", "a semicolon", True),
    ("/a\\b", "a backslash", True),
    ("/a%5cb", "a backslash", True),
    ("/a/..%5C..%5Cb", "a backslash", True),
    ("/a%2fb", "an escaped slash", True),
    ("/a/..%2F..%2Fb", "an escaped slash", True),
    ("/a%3Fb", "an escaped ? or #", True),
    ("/a%23b", "an escaped ? or #", True),
    ("/a%00b", "an escaped control character", True),
    ("/a%0ab", "an escaped control character", True),
    ("/a%0D", "an escaped control character", True),
    ("/a%7f", "an escaped control character", False),
    ("/a\x00b", "a control character or a space", True),
    ("/a b", "a control character or a space", False),
    ("/a\x7f", "a control character or a space", False),
    ("/a\n", "a control character or a space", True),
    ("/th\xe9", "a byte beyond ASCII", False),
    ("/th\N{KELVIN SIGN}", "a byte beyond ASCII", False),
    ("/a#b", "a fragment", True),
    ("/%C0%AE%C0%AE/b", "escapes that are not UTF-8", True),
    ("/a%C0%AFb", "escapes that are not UTF-8", True),
    ("/a%E0%80%AFb", "escapes that are not UTF-8", True),
    ("/a%F0%80%80%AFb", "escapes that are not UTF-8", False),
    ("/%ED%A0%80", "escapes that are not UTF-8", False),
    ("/%F4%90%80%80", "escapes that are not UTF-8", False),
    ("/%C3", "escapes that are not UTF-8", False),
    ("/%C3/%A9", "escapes that are not UTF-8", False),
    ("/%A9", "escapes that are not UTF-8", False),
    ("/%", "a % without two hex digits", False),
    ("/%4", "a % without two hex digits", False),
    ("/%zz", "a % without two hex digits", False),
    ("/%u002e", "a % without two hex digits", False),
    ("/%+1", "a % without two hex digits", False),
    ("/%2%35", "a % without two hex digits", False),
    ("/%%32%65", "a % without two hex digits", False),
    ("/[id]", "a character that must be escaped", False),
    ('/"', "a character that must be escaped", False),
    ("/a|b", "a character that must be escaped", False),
    ("", "no slash at its beginning", False),
    ("*", "no slash at its beginning", False),
    ("a/b", "no slash at its beginning", False),
    ("http:", "no slash at its beginning", False),
    ("?a", "no slash at its beginning", False),
]


@pytest.mark.parametrize(("target", "fault", "_"), REFUSED)
def test_threat_23_path_normalisation_what_can_be_read_two_ways_is_refused(
    target: str, fault: str, _: bool
) -> None:
    with pytest.raises(RefusedError) as caught:
        canonical(target)
    assert caught.value.reason is BAD_PATH
    assert fault in caught.value.detail


@pytest.mark.parametrize(("target", "_", "two_ways"), REFUSED)
def test_the_models_do_differ_on_what_is_refused(target: str, _: str, two_ways: bool) -> None:
    """Else the property below would hold for any rule."""
    assert (len(readings(target)) > 1) == two_ways


def test_every_model_differs_from_the_book_somewhere() -> None:
    for model in MODELS[1:]:
        assert any(model(target) != by_the_book(target) for target, _, two in REFUSED if two)


@given(anything)
def test_threat_23_path_normalisation_all_servers_read_an_accepted_path_alike(target: str) -> None:
    found = accepted(target)
    if found is not None:
        assert len(readings(found[0])) == 1


@given(harmless)
def test_harmless_paths_are_accepted(target: str) -> None:
    assert accepted(target) is not None


@given(anything)
def test_the_rule_is_idempotent_and_changes_no_meaning(target: str) -> None:
    found = accepted(target)
    if found is not None:
        path, query = found
        assert canonical(path + query) == found
        assert by_the_book(path) == by_the_book(target.partition("?")[0])


@given(anything)
def test_what_is_canonical_is_plain_too(target: str) -> None:
    if accepted(target) is not None:
        assert plain(target) == (target.partition("?")[0], canonical(target)[1])


def test_every_single_escape_is_either_refused_or_read_as_that_byte() -> None:
    kept = ""
    for code, upper in itertools.product(range(256), (True, False)):
        found = accepted(f"/a%{code:02X}" if upper else f"/a%{code:02x}")
        if found is not None:
            assert by_the_book(found[0]) == [b"a" + bytes([code])]
            kept += chr(code) * upper
    printable = "".join(map(chr, range(0x20, 0x7F)))
    assert kept == "".join(char for char in printable if char not in "#/;?\\")


@pytest.mark.parametrize("query", ["", "?", "?a=b&c=d", "?%zz//..;\\[]", "?a?b", '?"', "?!", "?~"])
def test_the_query_stays_as_it_is(query: str) -> None:
    assert canonical("/%61" + query) == ("/a", query)
    assert plain("/%61" + query) == ("/%61", query)


@pytest.mark.parametrize("query", ["?a b", "?a#b", "?\x00", "?\x1f", "?\x7f", "?\x80", "?é", "?\n"])
def test_the_query_is_visible_ascii(query: str) -> None:
    assert accepted("/a" + query) is None
    assert accepted("/a" + query, plain) is None


@pytest.mark.parametrize("target", ["/a//b", "/..", "/%2e", "/a;b", "/\\", "/%", '/["|]', "/%00"])
def test_plain_targets_are_forwarded_as_they_came(target: str) -> None:
    assert plain(target) == (target, "")


@pytest.mark.parametrize("target", ["", "*", "a", "/a b", "/a#", "/\n", "/\x7f", "/é", "/\x00"])
def test_plain_targets_fit_into_a_request_line(target: str) -> None:
    assert accepted(target, plain) is None


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/a@b", "/a@b"),
        ("/a%40b", "/a@b"),
        ("/%21%24%26%27%28%29%2A%2B%2C%3A%3D", "/!$&'()*+,:="),
        ("/a%20b%5Bc%5D", "/a b[c]"),
        ("/100%25", "/100%25"),
        ("/%2540", "/%2540"),
        ("/th%C3%A9", "/th%C3%A9"),
    ],
)
def test_rules_compare_what_an_application_reads(path: str, key: str) -> None:
    assert decoded(path) == key


@given(harmless, harmless)
def test_two_paths_compare_equal_exactly_if_they_decode_to_the_same(one: str, two: str) -> None:
    left, right = canonical(one)[0], canonical(two)[0]
    assert (decoded(left) == decoded(right)) == (by_the_book(left) == by_the_book(right))


@given(harmless, st.data())
def test_every_other_spelling_of_a_path_compares_equal(target: str, data: st.DataObject) -> None:
    path = canonical(target)[0]
    places = [
        at for at, char in enumerate(path) if char not in "/%" and "%" not in path[at - 2 : at]
    ]
    chosen = data.draw(st.sets(st.sampled_from(places)))
    other = "".join(f"%{ord(c):02x}" if at in chosen else c for at, c in enumerate(path))
    assert decoded(canonical(other)[0]) == decoded(path)


def test_a_path_is_read_once_however_long_it_is() -> None:
    """A rule that backtracks would not come to an end here."""
    assert accepted("/a" * 30_000 + ";") is None
    assert accepted("/" + "a" * 60_000 + "\x00") is None
    assert accepted("/" + "%C3%A9" * 10_000 + "%C3") is None
    assert accepted("/" + "%2E" * 20_000 + "/..") is None
    assert accepted("/a" * 30_000) is not None
