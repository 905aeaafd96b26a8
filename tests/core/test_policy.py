"""Rules and their answers: default deny, deny wins, and every yes has its no."""

from __future__ import annotations

import ast
import tracemalloc
from pathlib import Path
from typing import Literal

import pytest

from pki.names import SpiffeID, SpiffePattern
from sidecar.core import path as path_rule
from sidecar.core.ids import Denial, Permit
from sidecar.core.policy import Grant, InvalidRuleError, PathPattern, Policy, Rule, egress
from sidecar.core.reasons import DENIED, NOT_ALLOWED, UNKNOWN_PEER

WEB = "spiffe://demo.local/ns/shop/sa/web"
UNMATCHED = Denial(NOT_ALLOWED, "-")
UNKNOWN = Denial(UNKNOWN_PEER, "-")
ROOT = Path(__file__).resolve().parents[2]


def rule(
    effect: Literal["allow", "deny"],
    name: str,
    *sources: str,
    methods: tuple[str, ...] = (),
    paths: tuple[str, ...] = (),
) -> Rule:
    """Make a rule; without sources it is about WEB."""
    return Rule(
        name,
        effect,
        tuple(map(SpiffePattern.parse, sources or (WEB,))),
        frozenset(methods),
        tuple(map(PathPattern.parse, paths)),
    )


def ask(policy: Policy, method: str = "GET", target: str = "/", peer: str = WEB) -> Permit | Denial:
    """Decide about one request, as the data path does."""
    verdict = policy.connection(SpiffeID.parse(peer))
    if isinstance(verdict, Denial):
        return verdict
    path, _ = policy.target_rule(target)
    return verdict.request(method, path)


def stream(policy: Policy, peer: str = WEB) -> Permit | Denial:
    verdict = policy.connection(SpiffeID.parse(peer))
    return verdict if isinstance(verdict, Denial) else verdict.stream()


def test_no_rules_allow_nobody() -> None:
    assert ask(Policy([])) == UNKNOWN
    assert stream(Policy([])) == UNKNOWN


def test_a_peer_that_a_rule_names_is_allowed_and_others_are_unknown() -> None:
    policy = Policy([rule("allow", "web")])
    assert ask(policy) == Permit("web")
    assert stream(policy) == Permit("web")
    assert ask(policy, peer=WEB + "2") == UNKNOWN
    assert stream(policy, peer=WEB + "2") == UNKNOWN


@pytest.mark.parametrize(
    "peer",
    [
        WEB + "-admin", WEB + "/x", WEB[:-1], "spiffe://demo.local/ns/shop/sa/WEB",
        "spiffe://demo.local.evil/ns/shop/sa/web", "spiffe://demo-local/ns/shop/sa/web",
        "spiffe://other/ns/shop/sa/web", "spiffe://demo.local/x/ns/shop/sa/web",
    ],
)  # fmt: skip
def test_threat_9_prefix_matching_of_ids_names_match_whole(peer: str) -> None:
    policy = Policy([rule("allow", "web"), rule("allow", "all", "spiffe://demo.local/ns/*/sa/web")])
    assert isinstance(ask(policy), Permit)
    assert ask(policy, peer=peer) == UNKNOWN


@pytest.mark.parametrize(
    ("pattern", "covered", "not_covered"),
    [
        ("ns/*/sa/web", "ns/shop/sa/web", "ns/shop/x/sa/web"),
        ("ns/**", "ns/shop/sa/web", "nsx/shop"),
        ("ns/**", "ns", "n/s"),
        ("**/web", "web", "ns/web/x"),
        ("**/sa/**/web", "ns/sa/a/b/web", "ns/web/sa"),
        ("**/**", "a/b", ""),
    ],
)
def test_source_patterns(pattern: str, covered: str, not_covered: str) -> None:
    policy = Policy([rule("allow", "r", f"spiffe://demo.local/{pattern}")])
    assert ask(policy, peer=f"spiffe://demo.local/{covered}") == Permit("r")
    assert ask(policy, peer=f"spiffe://other/{not_covered or covered}") == UNKNOWN
    if not_covered:
        assert ask(policy, peer=f"spiffe://demo.local/{not_covered}") == UNKNOWN


def test_rules_about_one_peer_by_several_patterns_all_count() -> None:
    policy = Policy(
        [
            rule("allow", "exact", paths=("/a",)),
            rule("allow", "below", WEB + "/**", paths=("/b",)),
            rule(
                "allow",
                "wild",
                "spiffe://demo.local/**",
                "spiffe://demo.local/**/**",
                paths=("/c",),
            ),
        ]
    )
    assert [ask(policy, target=f"/{name}") for name in "abcd"] == [
        Permit("exact"), Permit("below"), Permit("wild"), UNMATCHED,
    ]  # fmt: skip


def test_methods_are_case_sensitive_and_name_no_others() -> None:
    policy = Policy([rule("allow", "read", methods=("GET", "PURGE"))])
    assert ask(policy, "GET") == ask(policy, "PURGE") == Permit("read")
    for method in ("get", "Get", "HEAD", "POST", "GETS", "purge", ""):
        assert ask(policy, method) == UNMATCHED


def test_deny_methods_are_case_sensitive_too() -> None:
    policy = Policy([rule("allow", "all"), rule("deny", "no", methods=("DELETE",))])
    assert ask(policy, "DELETE") == Denial(DENIED, "no")
    assert ask(policy, "GET") == ask(policy, "delete") == Permit("all")


# What a pattern covers, and what it does not.
PATTERNS = [
    ("/", "/", "/a"),
    ("/a", "/a", "/a/ /a/b /ab / /A"),
    ("/a/", "/a/", "/a /a/b"),
    ("/a/*", "/a/b /a/* /a/b.c", "/a /a/ /a/b/ /a/b/c"),
    ("/*", "/a", "/ /a/ /a/b"),
    ("/*/x", "/a/x", "/x /a/b/x"),
    ("/*/", "/a/", "/a / /a/b"),
    ("/a/**", "/a /a/ /a/b /a/b/ /a/b/c", "/ /ab /b/a"),
    ("/**", "/ /a /a/ /a/b/c", ""),
    ("/**/x", "/x /a/x /a/b/x", "/ /a /x/ /ax /x/a"),
    ("/a/**/x", "/a/x /a/b/x /a/b/c/x /a/x/x", "/a /x /a/x/ /b/a/x"),
    ("/a/**/*", "/a/b /a/b/c", "/a /a/ /a/b/"),
    ("/**/", "/ /a/ /a/b/", "/a /a/b"),
    ("/**/a/**/b/**", "/a/b /x/a/y/b/z /a/b/ /a/a/b", "/b/a /a /a/c"),
    ("/a/**/**/b", "/a/b /a/x/y/b", "/a /a/b/"),
    ("/%2A", "/* /%2A /%2a", "/a /"),
    ("/u/%40a", "/u/@a /u/%40a", "/u/a"),
    ("/u/@a", "/u/@a /u/%40a /%75/%40a", "/u/a"),
    ("/th%C3%A9", "/th%C3%A9 /th%c3%a9", "/the"),
]


@pytest.mark.parametrize(("pattern", "covered", "others"), PATTERNS)
def test_path_patterns_and_their_deny_twins(pattern: str, covered: str, others: str) -> None:
    allow = Policy([rule("allow", "r", paths=(pattern,))])
    deny = Policy([rule("allow", "all"), rule("deny", "r", paths=(pattern,))])
    for target in covered.split():
        assert ask(allow, target=target) == Permit("r")
        assert ask(deny, target=target) == Denial(DENIED, "r")
    for target in others.split():
        assert ask(allow, target=target) == UNMATCHED
        assert ask(deny, target=target) == Permit("all")


def test_literals_and_wildcards_side_by_side_are_all_tried() -> None:
    policy = Policy(
        [
            rule("allow", "wild", paths=("/u/*/x",)),
            rule("allow", "me", paths=("/u/me/y",)),
            rule("deny", "deep", paths=("/u/**/z/x",)),
            rule("allow", "rest", paths=("/u/me/**",), methods=("PUT",)),
        ]
    )
    assert ask(policy, target="/u/me/x") == ask(policy, target="/u/42/x") == Permit("wild")
    assert ask(policy, target="/u/me/y") == Permit("me")
    assert ask(policy, target="/u/42/y") == UNMATCHED
    assert ask(policy, "PUT", "/u/me/x") == Permit("wild")
    assert ask(policy, "PUT", "/u/me/z") == Permit("rest")
    assert ask(policy, "PUT", "/u/me/z/x") == ask(policy, target="/u/z/x") == Denial(DENIED, "deep")


def test_threat_23_path_normalisation_another_spelling_is_no_way_round_a_deny() -> None:
    policy = Policy([rule("allow", "all"), rule("deny", "no", paths=("/@admin/**", "/~root/a+b"))])
    for target in ("/@admin", "/%40admin/x", "/@%61dmin/", "/%40%61%64%6d%69%6E", "/%7Eroot/a%2Bb"):
        assert ask(policy, target=target) == Denial(DENIED, "no")
    assert ask(policy, target="/%2540admin/x") == Permit("all")


def test_deny_wins_wherever_it_stands_and_the_first_of_equals_is_named() -> None:
    rules = [
        rule("allow", "a1", paths=("/**",)),
        rule("deny", "d1", paths=("/x/**",)),
        rule("allow", "a2", paths=("/x/y",)),
        rule("deny", "d2", "spiffe://demo.local/**", paths=("/x/y",)),
    ]
    assert ask(Policy(rules), target="/x/y") == Denial(DENIED, "d1")
    assert ask(Policy(rules[::-1]), target="/x/y") == Denial(DENIED, "d2")
    assert ask(Policy(rules), target="/y") == Permit("a1")
    assert ask(Policy(rules[::2]), target="/x/y") == Permit("a1")
    assert ask(Policy(rules[2::-2]), target="/x/y") == Permit("a2")


def test_a_deny_without_conditions_ends_the_connection() -> None:
    policy = Policy([rule("allow", "all", "spiffe://demo.local/**"), rule("deny", "web")])
    assert policy.connection(SpiffeID.parse(WEB)) == Denial(DENIED, "web")
    assert isinstance(policy.connection(SpiffeID.parse(WEB + "2")), Grant)


def test_a_deny_alone_makes_nobody_known() -> None:
    policy = Policy([rule("deny", "no", paths=("/x",))])
    assert ask(policy) == stream(policy) == UNKNOWN


@pytest.mark.parametrize("conditions", [{"methods": ("GET",)}, {"paths": ("/**",)}])
def test_a_stream_needs_a_rule_without_conditions(conditions: dict[str, tuple[str, ...]]) -> None:
    conditional = rule("allow", "some", **conditions)
    assert stream(Policy([conditional])) == UNMATCHED
    assert stream(Policy([conditional, rule("allow", "all")])) == Permit("all")


@pytest.mark.parametrize("conditions", [{"methods": ("GET",)}, {"paths": ("/x",)}])
def test_a_stream_is_refused_by_any_deny(conditions: dict[str, tuple[str, ...]]) -> None:
    """It might carry just what the rule is about."""
    policy = Policy([rule("allow", "all"), rule("deny", "some", **conditions)])
    assert stream(policy) == Denial(DENIED, "some")
    assert ask(policy, "POST", "/y") == Permit("all")


def test_the_asterisk_is_no_path() -> None:
    """OPTIONS * is about the server: rules that name paths are not about it."""

    def options(*rules: Rule) -> Permit | Denial:
        verdict = Policy(rules).connection(SpiffeID.parse(WEB))
        assert isinstance(verdict, Grant)
        return verdict.request("OPTIONS", "*")

    assert options(rule("allow", "r", methods=("OPTIONS",))) == Permit("r")
    assert options(rule("allow", "r", paths=("/**", "/%2A", "/*"))) == UNMATCHED
    assert options(rule("allow", "r"), rule("deny", "no", methods=("OPTIONS",))) == Denial(
        DENIED, "no"
    )


def test_only_rules_about_paths_ask_for_canonical_paths() -> None:
    without = Policy([rule("allow", "r", methods=("GET",)), rule("deny", "no", WEB + "2")])
    assert not without.names_paths
    assert without.target_rule is path_rule.plain
    assert ask(without, target="/a/../%2f/%") == Permit("r")
    for effect in ("allow", "deny"):
        named = Policy([rule("allow", "all"), rule(effect, "r", WEB + "2", paths=("/a",))])
        assert named.names_paths
        assert named.target_rule is path_rule.canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/b", "does not begin with a slash"),
        ("", "does not begin with a slash"),
        ("**", "does not begin with a slash"),
        ("/a//b", "never matches: the path has an empty segment"),
        ("/a/../b", "never matches: the path has a dot segment"),
        ("/a b", "never matches: the path has a control character or a space"),
        ("/a%2Fb", "never matches: the path has an escaped slash"),
        ("/a;v=1", "never matches: the path has a semicolon"),
        ("/th\xe9", "never matches: the path has a byte beyond ASCII"),
        ("/a%", "never matches: the path has a % without two hex digits"),
        ("/a?b=c", "never matches: the query is no part of a path"),
        ("/a?", "never matches: the query is no part of a path"),
        ("/%61", "never matches: it is spelled '/a'"),
        ("/th%c3%a9", "never matches: it is spelled '/th%C3%A9'"),
        ("/api*", "has a * inside of 'api*'"),
        ("/a/*.json", "has a * inside of '*.json'"),
        ("/a/***", "has a * inside of '***'"),
    ],
)
def test_a_pattern_that_could_never_match_is_an_error(text: str, message: str) -> None:
    with pytest.raises(InvalidRuleError) as caught:
        PathPattern.parse(text)
    assert message in str(caught.value)


def test_a_rule_that_could_not_do_what_it_says_is_an_error() -> None:
    with pytest.raises(InvalidRuleError, match="write DELETE"):
        rule("deny", "r", methods=("delete",))
    for bad in ("", "GE T", "GET\n", "GET,POST", "é"):
        with pytest.raises(InvalidRuleError, match="is not a method"):
            rule("allow", "r", methods=(bad,))
    for name in ("", "-"):
        with pytest.raises(InvalidRuleError, match="cannot be the name"):
            rule("allow", name)
    with pytest.raises(InvalidRuleError, match="names no identity"):
        Rule("r", "allow", ())
    with pytest.raises(InvalidRuleError, match="two rules have the name 'r'"):
        Policy([rule("allow", "r"), rule("deny", "r", WEB + "2")])


def test_describe_lists_the_rules_about_a_peer_strongest_first() -> None:
    rules = [
        rule("allow", "a1", "spiffe://demo.local/**"),
        rule("allow", "other", WEB + "2"),
        rule("deny", "d1", WEB, "spiffe://demo.local/ns/*/sa/web", paths=("/x",)),
        rule("allow", "a2"),
    ]
    policy = Policy(rules)
    assert [each.id for each in policy.describe(SpiffeID.parse(WEB))] == ["d1", "a1", "a2"]
    assert policy.describe(SpiffeID.parse("spiffe://other/a")) == []


def test_egress_names_the_listener() -> None:
    assert egress("orders") == Permit("egress:orders")


def test_a_flood_of_identities_makes_nothing_new() -> None:
    policy = Policy([rule("allow", "all", "spiffe://demo.local/**", paths=("/a/**",))])
    peers = [SpiffeID.parse(f"spiffe://demo.local/flood/{number}") for number in range(5000)]
    tracemalloc.start()
    try:
        for peer in peers:
            assert isinstance(policy.connection(peer), Grant)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 20_000


def test_no_path_makes_a_question_explode() -> None:
    """With backtracking these would not come to an end."""
    twenty = "/**/a" * 20 + "/b"
    policy = Policy([rule("allow", "r", paths=(twenty, "/*/a" * 20, "/a/*" * 20))])
    assert ask(policy, target="/a" * 2000) == UNMATCHED
    assert ask(policy, target="/a" * 2000 + "/b") == Permit("r")
    assert ask(policy, target="/a" * 40) == Permit("r")


def test_nothing_but_policy_makes_permits() -> None:
    makers = {
        source.relative_to(ROOT).as_posix()
        for source in (ROOT / "sidecar").rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Permit"
    }
    assert makers == {"sidecar/core/policy.py"}
