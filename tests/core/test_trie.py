"""Many patterns at once give what each alone would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.trie import NO_MARK, Node, Wild, edges

literals = st.sampled_from(["a", "b", ""])
fixed = st.lists(literals | st.just("*"), min_size=1, max_size=5)  # wide enough to fork often
deep = st.lists(literals | st.sampled_from(["*", "**"]), min_size=1, max_size=5)
questions = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=6)


def trie(patterns: list[list[str]]) -> Node:
    root = Node()
    for mark, pattern in enumerate(patterns):
        root.add(edges(pattern), mark)
    return root


def covers(pattern: list[str], segments: list[str]) -> bool:
    if not pattern:
        return not segments
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        return any(covers(rest, segments[skip:]) for skip in range(len(segments) + 1))
    fits = bool(segments) and (segments[0] == first or (first == "*" and segments[0] != ""))
    return fits and covers(rest, segments[1:])


@given(st.lists(fixed, max_size=12) | st.lists(deep, max_size=8), questions)
def test_the_strongest_is_the_largest_of_all_that_cover(
    patterns: list[list[str]], segments: list[str]
) -> None:
    found = [mark for mark, pattern in enumerate(patterns) if covers(pattern, segments)]
    root = trie(patterns)
    assert root.strongest(segments) == max(found, default=NO_MARK)
    # Patterns that are the same share a mark, so the others are looked at alone.
    assert {edges(patterns[mark]) for mark in root.covering(segments)} == {
        edges(patterns[mark]) for mark in found
    }


def test_the_order_of_adding_does_not_matter() -> None:
    for marks in ([1, 2], [2, 1]):
        for pattern in (["a"], ["a", "**"], ["**"]):
            root = Node()
            for mark in marks:
                root.add(edges(pattern), mark)
            assert root.strongest(["a"]) == 2
            assert root.covering(["a"]) == {2}


@pytest.mark.parametrize(
    ("patterns", "segments", "mark"),
    [
        ([["*", "x"], ["me", "y"], ["**"]], ["me", "z"], 2),
        ([["me", "y"], ["*", "x"]], ["me", "x"], 1),
        ([["*", "x"], ["me", "x"]], ["me", "x"], 1),
        ([["me", "x"], ["*", "x"]], ["me", "x"], 1),
        ([["*", "x"], ["me", "y"]], ["me", "z"], NO_MARK),
    ],
)
def test_a_literal_and_a_wildcard_that_both_fit_are_both_followed(
    patterns: list[list[str]], segments: list[str], mark: int
) -> None:
    assert trie(patterns).strongest(segments) == mark


def test_an_empty_trie_covers_nothing() -> None:
    for segments in ([], [""], ["a", "b"]):
        assert Node().strongest(segments) == NO_MARK
        assert Node().covering(segments) == set()


def test_wildcards_are_edges_and_the_rest_is_literal() -> None:
    assert edges(["a", "*", "**", "***", ""]) == ("a", Wild.ONE, Wild.ANY, "***", "")
    assert edges(["**", "**", "a", "**", "**"]) == (Wild.ANY, "a", Wild.ANY)
    assert edges(["a", "a", "*", "*"]) == ("a", "a", Wild.ONE, Wild.ONE)
