"""From rules to yes or no: the only module that makes permits.

The default is no. A `deny` rule that matches wins over every `allow`, and both go through the
same matching code, so nothing that one can say is lost on the other.

All work that depends on the rules is done when a `Policy` is built. Rules become *strengths*:
whole numbers, larger for those that win (denials over permits, earlier over later ones). Every
set of rules that some source pattern brings along becomes one `_Table`, a trie of path patterns
for each method that the set names. A connection looks up the tables of its peer once; a request
asks each of them, mostly one, for the strongest match. A peer owns nothing but references, so a
flood of identities makes nothing new.

What an opaque stream carries cannot be read. So it is permitted by rules that name no methods
and paths only, and refused by any `deny` rule for its peer: it might carry just that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from pki.names import SpiffeID, SpiffePattern
from sidecar.core.ids import Denial, Permit, RefusedError
from sidecar.core.path import Target, canonical, decoded, plain
from sidecar.core.reasons import DENIED, NOT_ALLOWED, UNKNOWN_PEER
from sidecar.core.trie import NO_MARK, Edge, Node, Wild, edges

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"})
_DEFAULT: Final = "-"


class InvalidRuleError(ValueError):
    """A rule that could not do what it says; the message says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path in which `*` stands for one whole segment and `**` for any number of them.

    `*` never matches an empty segment, so `/a/*` does not cover `/a/`. `**` matches none, one or
    many of any kind: `/a/**` covers `/a`, `/a/` and all below. `/a` and `/a/` are two paths.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Read a pattern such as `/api/*/items/**` or raise `InvalidRuleError`."""
        if not text.startswith("/"):
            raise InvalidRuleError(f"path {text!a} does not begin with a slash")
        try:
            path, query = canonical(text)
        except RefusedError as error:
            raise InvalidRuleError(f"path {text!a} never matches: {error.detail}") from None
        if query:
            raise InvalidRuleError(f"path {text!a} never matches: the query is no part of a path")
        if path != text:
            raise InvalidRuleError(f"path {text!a} never matches: it is spelled {path!a}")
        for segment in path.split("/"):
            if "*" in segment and segment not in {"*", "**"}:
                raise InvalidRuleError(
                    f"path {text!a} has a * inside of {segment!a}: wildcards stand for whole "
                    "segments, and %2A for the character itself"
                )
        return cls(text)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The pattern as a trie takes it: read like a request's path, after its wildcards."""
        found = edges(self.text.split("/"))
        return tuple(decoded(edge) if isinstance(edge, str) else edge for edge in found)


@dataclass(frozen=True, slots=True)
class Rule:
    """One `allow` or `deny`; `id` is what the access log calls it. Empty means all.

    That goes for `methods` and `paths`. A rule without `sources` would be for nobody and is an
    `InvalidRuleError`, as is a method that no client sends.
    """

    id: str
    effect: Literal["allow", "deny"]
    sources: tuple[SpiffePattern, ...]
    methods: frozenset[str] = frozenset()
    paths: tuple[PathPattern, ...] = ()

    def __post_init__(self) -> None:
        if self.id in {"", _DEFAULT}:
            raise InvalidRuleError(f"{self.id!a} cannot be the name of a rule")
        if not self.sources:
            raise InvalidRuleError(f"rule {self.id!a} names no identity that it is about")
        for method in sorted(self.methods):
            _check_method(method)

    @property
    def everything(self) -> bool:
        """Whether the rule is about all requests and streams of its sources."""
        return not self.methods and not self.paths


def _check_method(method: str) -> None:
    if not _TOKEN.fullmatch(method):
        raise InvalidRuleError(f"{method!a} is not a method")
    if method not in _METHODS and method.upper() in _METHODS:
        raise InvalidRuleError(
            f"method {method!a} never matches: methods are case-sensitive, write {method.upper()}"
        )


@dataclass(frozen=True, slots=True)
class _Table:
    """What one set of rules says: strengths, NO_MARK for nothing."""

    rules: tuple[int, ...]
    methods: dict[str, Node]
    others: Node  # for methods that no rule of the set names
    known: bool  # some rule allows something
    barred: int  # a deny for everything
    opaque: int  # the answer for a stream


class Grant:
    """A peer may be here; what it may do is asked for each request, or once for a stream."""

    __slots__ = ("_tables", "_verdicts")

    def __init__(self, tables: list[_Table], verdicts: list[Permit | Denial]) -> None:
        self._tables = tables
        self._verdicts = verdicts

    def request(self, method: str, path: str) -> Permit | Denial:
        """Decide about one request; `path` is what `Policy.target_rule` made of its target.

        `*` is no path: rules that name paths are not about it.
        """
        if "%" in path:
            path = decoded(path)
        segments = path.split("/")
        best = NO_MARK
        for table in self._tables:
            found = table.methods.get(method, table.others).strongest(segments)
            if found > best:  # noqa: PLR1730  a sixth of the whole question is what max() costs
                best = found
        return self._verdicts[best]

    def stream(self) -> Permit | Denial:
        """Decide about an opaque stream."""
        return self._verdicts[max(table.opaque for table in self._tables)]


class Policy:
    """The rules of one listener, ready to be asked; raises `InvalidRuleError` for equal ids.

    `names_paths` says whether any rule is about paths. Only canonical paths can be decided about
    then, so `target_rule`, which every request target goes through first, is
    `core.path.canonical`; else it is `core.path.plain`.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        given = list(rules)
        _check_ids(given)
        self.names_paths = any(rule.paths for rule in given)
        self.target_rule: Callable[[str], Target] = canonical if self.names_paths else plain
        # By strength: denials after permits, and among equals the later rule before the earlier.
        backwards = given[::-1]
        self._rules = sorted(backwards, key=lambda rule: rule.effect == "deny")
        # The last entry is the one that NO_MARK, as an index, finds.
        self._verdicts = [*map(_verdict, self._rules), Denial(NOT_ALLOWED, _DEFAULT)]
        self._tables: list[_Table] = []
        self._sources = Node()
        self._compile()

    def connection(self, spiffe_id: SpiffeID) -> Grant | Denial:
        """Decide whether a peer may be here at all."""
        tables = self._of(spiffe_id)
        barred = max((table.barred for table in tables), default=NO_MARK)
        if barred != NO_MARK:
            return Denial(DENIED, self._rules[barred].id)
        if not any(table.known for table in tables):
            return Denial(UNKNOWN_PEER, _DEFAULT)
        return Grant(tables, self._verdicts)

    def describe(self, spiffe_id: SpiffeID) -> list[Rule]:
        """Return the rules that are about a peer, the one that wins over the others first."""
        strengths = {strength for table in self._of(spiffe_id) for strength in table.rules}
        return [self._rules[strength] for strength in sorted(strengths, reverse=True)]

    def _of(self, spiffe_id: SpiffeID) -> list[_Table]:
        segments = [spiffe_id.trust_domain, *spiffe_id.path[1:].split("/")]
        return [self._tables[mark] for mark in self._sources.covering(segments)]

    def _compile(self) -> None:
        named: dict[tuple[Edge, ...], dict[int, None]] = {}
        for strength, rule in enumerate(self._rules):
            for source in rule.sources:
                pattern = edges((source.trust_domain, *source.segments))
                named.setdefault(pattern, {})[strength] = None
        marks: dict[tuple[int, ...], int] = {}
        for pattern, strengths in named.items():
            mark = marks.setdefault(tuple(strengths), len(marks))
            self._sources.add(pattern, mark)
        self._tables = [_table(self._rules, strengths) for strengths in marks]


def egress(listener: str) -> Permit:
    """Permit what an outbound listener is there for: its routes are its rules."""
    return Permit(f"egress:{listener}")


def _check_ids(rules: list[Rule]) -> None:
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise InvalidRuleError(f"two rules have the name {rule.id!a}; the log needs one each")
        seen.add(rule.id)


def _verdict(rule: Rule) -> Permit | Denial:
    return Permit(rule.id) if rule.effect == "allow" else Denial(DENIED, rule.id)


def _table(rules: list[Rule], strengths: tuple[int, ...]) -> _Table:
    chosen = {strength: rules[strength] for strength in strengths}
    denials = [strength for strength, rule in chosen.items() if rule.effect == "deny"]
    whole = {strength for strength, rule in chosen.items() if rule.everything}
    methods, others = _tries(chosen)
    return _Table(
        rules=strengths,
        methods=methods,
        others=others,
        known=len(denials) < len(chosen),
        barred=max(whole.intersection(denials), default=NO_MARK),
        opaque=max(denials or whole, default=NO_MARK),
    )


def _tries(rules: dict[int, Rule]) -> tuple[dict[str, Node], Node]:
    """Build a trie of paths for each method that `rules` name, and one for all others."""
    methods = {method: Node() for rule in rules.values() for method in rule.methods}
    others = Node()
    for strength, rule in rules.items():
        patterns = [path.edges for path in rule.paths] or [(Wild.ANY,)]
        for root in [methods[method] for method in rule.methods] or [others, *methods.values()]:
            for pattern in patterns:
                root.add(pattern, strength)
    return methods, others
