"""SPIFFE IDs and patterns: the grammar of the specification, sections 2.1 and 2.2."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.names import (
    MAX_ID_BYTES,
    MAX_TRUST_DOMAIN_BYTES,
    InvalidNameError,
    SpiffeID,
    SpiffePattern,
    match_segments,
    parse_trust_domain,
)

SEGMENT = st.text("abcXYZ019._-", min_size=1, max_size=6).filter(lambda s: s not in {".", ".."})
DOMAIN = st.text("abz09._-", min_size=1, max_size=10)
PATTERN_SEGMENT = st.sampled_from(["a", "b", "*", "**"])


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://demo.local/a",
        "spiffe://demo.local/ns/shop/sa/web",
        "spiffe://a/...",
        "spiffe://_.-9/A-Z_a.z-0",
    ],
)
def test_a_good_id_is_read_and_written_unchanged(text: str) -> None:
    assert str(SpiffeID.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "does not start with spiffe://"),
        ("SPIFFE://demo.local/a", "does not start with spiffe://"),
        ("https://demo.local/a", "does not start with spiffe://"),
        ("spiffe:/demo.local/a", "does not start with spiffe://"),
        ("spiffe://demo.local", "no workload"),
        ("spiffe:///a", "not a trust domain"),
        ("spiffe://Demo.local/a", "not a trust domain"),
        ("spiffe://demo.local:80/a", "not a trust domain"),
        ("spiffe://user@demo.local/a", "not a trust domain"),
        ("spiffe://dëmo/a", "not a trust domain"),
        ("spiffe://demo.local/", "empty path segment"),
        ("spiffe://demo.local/a/", "empty path segment"),
        ("spiffe://demo.local//a", "empty path segment"),
        ("spiffe://demo.local/./a", "relative segment"),
        ("spiffe://demo.local/a/..", "relative segment"),
        ("spiffe://demo.local/a%2fb", "character outside"),
        ("spiffe://demo.local/a?b", "character outside"),
        ("spiffe://demo.local/a#b", "character outside"),
        ("spiffe://demo.local/a\n", "character outside"),
        ("spiffe://demo.local/a\x00b", "character outside"),
        ("spiffe://demo.local/é", "character outside"),
        ("spiffe://demo.local/*", "character outside"),
        (" spiffe://demo.local/a", "does not start with spiffe://"),
    ],
)
def test_a_bad_id_is_refused_with_its_rule(text: str, rule: str) -> None:
    with pytest.raises(InvalidNameError, match=re.escape(rule)):
        SpiffeID.parse(text)


@pytest.mark.parametrize("size", [MAX_ID_BYTES - 1, MAX_ID_BYTES])
def test_an_id_up_to_the_limit_is_read(size: int) -> None:
    text = "spiffe://demo.local/".ljust(size, "a")
    assert str(SpiffeID.parse(text)) == text


def test_an_id_beyond_the_limit_is_refused() -> None:
    with pytest.raises(InvalidNameError, match="at most 2048 bytes, not 2049"):
        SpiffeID.parse("spiffe://demo.local/".ljust(MAX_ID_BYTES + 1, "a"))


def test_a_trust_domain_has_at_most_255_bytes() -> None:
    assert parse_trust_domain("a" * MAX_TRUST_DOMAIN_BYTES)
    with pytest.raises(InvalidNameError, match="at most 255"):
        parse_trust_domain("a" * (MAX_TRUST_DOMAIN_BYTES + 1))


def test_an_error_shows_hostile_text_on_one_line_and_shortened() -> None:
    with pytest.raises(InvalidNameError) as caught:
        SpiffeID.parse("\x1b[2J\r\nevil" + "x" * 500)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 200


@given(DOMAIN, st.lists(SEGMENT, min_size=1, max_size=5))
def test_whatever_the_grammar_allows_is_read_back_byte_for_byte(
    domain: str, segments: list[str]
) -> None:
    text = f"spiffe://{domain}/{'/'.join(segments)}"
    parsed = SpiffeID.parse(text)
    assert (str(parsed), parsed.trust_domain) == (text, domain)


@given(st.text(max_size=40))
def test_any_text_is_read_unchanged_or_refused(text: str) -> None:
    for candidate in (text, "spiffe://" + text, "spiffe://d/" + text):
        try:
            parsed = SpiffeID.parse(candidate)
        except InvalidNameError:
            continue
        assert str(parsed) == candidate
        assert re.fullmatch(r"spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)+", candidate)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("spiffe://d/a", ["a"], ["b", "a/b", "ab"]),
        ("spiffe://d/ns/*/sa/web", ["ns/x/sa/web"], ["ns/sa/web", "ns/x/y/sa/web", "ns/x/sa/webx"]),
        ("spiffe://d/**", ["a", "a/b/c"], []),
        ("spiffe://d/a/**", ["a", "a/b", "a/b/c"], ["b", "ab"]),
        ("spiffe://d/**/web", ["web", "x/web", "x/y/web"], ["web/x", "xweb"]),
        ("spiffe://d/a/**/b/*", ["a/b/c", "a/x/b/y", "a/b/b/b"], ["a/b", "a/x/y"]),
    ],
)
def test_a_pattern_covers_whole_segments_only(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    parsed = SpiffePattern.parse(pattern)
    assert str(parsed) == pattern
    assert [p for p in matching if not parsed.matches(SpiffeID.parse(f"spiffe://d/{p}"))] == []
    assert [p for p in others if parsed.matches(SpiffeID.parse(f"spiffe://d/{p}"))] == []


def test_a_pattern_of_one_trust_domain_never_covers_another() -> None:
    parsed = SpiffePattern.parse("spiffe://d/**")
    assert parsed.matches(SpiffeID.parse("spiffe://d/a"))
    assert not parsed.matches(SpiffeID.parse("spiffe://d.evil/a"))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("demo.local/a", "does not start"),
        ("spiffe://demo.local", "write spiffe://demo.local/** for all"),
        ("spiffe://*/a", "not a trust domain"),
        ("spiffe://demo.local/a*", "character outside"),
        ("spiffe://demo.local/***", "character outside"),
        ("spiffe://demo.local/a//b", "empty path segment"),
        ("spiffe://demo.local/..", "relative segment"),
    ],
)
def test_a_bad_pattern_is_refused_with_its_rule(text: str, rule: str) -> None:
    with pytest.raises(InvalidNameError, match=re.escape(rule)):
        SpiffePattern.parse(text)


@pytest.mark.parametrize(
    ("text", "exact"),
    [("spiffe://d/a/b", True), ("spiffe://d/*/b", False), ("spiffe://d/a/**", False)],
)
def test_only_a_pattern_without_stars_is_exact(text: str, exact: bool) -> None:
    assert SpiffePattern.parse(text).exact is exact


@given(
    st.lists(PATTERN_SEGMENT, max_size=6).map(tuple),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=6).map(tuple),
)
def test_matching_agrees_with_the_definition_by_recursion(
    pattern: tuple[str, ...], segments: tuple[str, ...]
) -> None:
    assert match_segments(pattern, segments) == covered(pattern, segments)


def covered(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    """The definition, written down without a thought for speed."""
    if not pattern:
        return not segments
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        return any(covered(rest, segments[n:]) for n in range(len(segments) + 1))
    return bool(segments) and head in {"*", segments[0]} and covered(rest, segments[1:])
