"""Which patterns cover this list of segments, asked of thousands of patterns at once.

Patterns that begin alike share nodes, so the cost of a question follows the length of the path
that is asked about and not the number of patterns. As long as only one branch fits there is one
node to stand on, and `strongest` walks. Where a literal and a wildcard both fit, all branches
are followed side by side (`_spread`): at most nodes times segments, whoever chose the path, and
never exponential.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import chain
from typing import Final

NO_MARK: Final = -1


class Wild(Enum):
    """Edges that are no literals: ONE segment that is not empty, or ANY number of ANY segments."""

    ONE = "*"
    ANY = "**"


Edge = str | Wild


def edges(segments: Iterable[str]) -> tuple[Edge, ...]:
    """Read `*` and `**` as wildcards, the rest as literals; `**` twice says no more than once."""
    found: list[Edge] = []
    for segment in segments:
        edge = Wild(segment) if segment in {"*", "**"} else segment
        if edge is not Wild.ANY or found[-1:] != [Wild.ANY]:
            found.append(edge)
    return tuple(found)


class Node:
    """A place in the trie, and the trie that begins there.

    `here` is the mark of the pattern that ends at this place, `below` that of the pattern whose
    last edge is a `**` from here on. Marks are whole numbers from 0 on; where one pattern is
    added twice the larger stays. `deep` is the far side of a `**` that has something after it,
    and such a node `loops`: whatever the segment, one branch stays on it.
    """

    __slots__ = ("below", "deep", "here", "literals", "loops", "one")

    def __init__(self, *, loops: bool = False) -> None:
        self.literals: dict[str, Node] = {}
        self.one: Node | None = None
        self.deep: Node | None = None
        self.loops = loops
        self.here = NO_MARK
        self.below = NO_MARK

    def add(self, pattern: tuple[Edge, ...], mark: int) -> None:
        """Put `pattern`, as `edges` makes them and not empty, into the trie."""
        node = self
        for edge in pattern[:-1]:
            node = _step(node, edge)
        if pattern[-1] is Wild.ANY:
            node.below = max(node.below, mark)
        else:
            node = _step(node, pattern[-1])
            node.here = max(node.here, mark)

    def covering(self, segments: Iterable[str]) -> set[int]:
        """Return the marks of all patterns that cover the whole of `segments`."""
        return _spread(self, segments)

    def strongest(self, segments: Iterable[str]) -> int:
        """Return the largest mark of the patterns that cover `segments`, or NO_MARK.

        Asked for every request: comparisons stand where `max` would cost as much as all the rest.
        """
        node, best = self, NO_MARK
        rest = iter(segments)
        for segment in rest:
            if node.below > best:  # noqa: PLR1730  see above
                best = node.below
            if node.deep is not None:
                return max(_spread(node, chain((segment,), rest)) | {best})
            child = node.literals.get(segment)
            if node.one is not None and segment:
                if child is not None:
                    tail = list(rest)
                    return max(best, child.strongest(tail), node.one.strongest(tail))
                child = node.one
            if child is None:
                return best
            node = child
        if node.below > best:  # noqa: PLR1730  see above
            best = node.below
        return best if best > node.here else node.here  # noqa: FURB136  see above


def _step(node: Node, edge: Edge) -> Node:
    """Return the node at the far side of `edge`, made if need be."""
    match edge:
        case Wild.ONE:
            node.one = node.one or Node()
            return node.one
        case Wild.ANY:
            node.deep = node.deep or Node(loops=True)
            return node.deep
        case literal:
            return node.literals.setdefault(literal, Node())


def _arrive(node: Node) -> Iterator[Node]:
    yield node
    if node.deep is not None:
        yield node.deep


def _leave(node: Node, segment: str) -> Iterator[Node]:
    if node.loops:
        yield node
    if segment in node.literals:
        yield from _arrive(node.literals[segment])
    if node.one is not None and segment:
        yield from _arrive(node.one)


def _spread(start: Node, segments: Iterable[str]) -> set[int]:
    """Return the marks of the patterns from `start` on that cover `segments`."""
    nodes = set(_arrive(start))
    marks = {node.below for node in nodes}
    for segment in segments:
        nodes = {reached for node in nodes for reached in _leave(node, segment)}
        marks.update(node.below for node in nodes)
        if not nodes:
            break
    marks.update(node.here for node in nodes)
    return marks - {NO_MARK}
