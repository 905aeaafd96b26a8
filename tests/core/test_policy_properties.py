"""The policy gives the answers of a slow evaluator that anyone can check by reading it."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from pki.names import SpiffeID, SpiffePattern
from sidecar.core.ids import Denial, Permit
from sidecar.core.path import canonical
from sidecar.core.policy import Grant, PathPattern, Policy, Rule
from sidecar.core.reasons import DENIED, NOT_ALLOWED, UNKNOWN_PEER

# Few names, so that rules, peers and paths meet.
names = st.sampled_from(["a", "b", "c"])
wild = st.sampled_from(["a", "b", "*", "**"])
domains = st.sampled_from(["one.local", "two.local"])
methods = st.sampled_from(["GET", "PUT", "PURGE"])
odd = st.sampled_from(["a", "b", "@", "%40", "%61", "%2a", "th%C3%A9", "%25"])

peers = st.builds(
    lambda domain, path: SpiffeID(domain, "/" + "/".join(path)),
    domains,
    st.lists(names, min_size=1, max_size=4),
)
sources = st.builds(
    lambda domain, path: SpiffePattern(domain, tuple(path)),
    domains,
    st.lists(wild, min_size=1, max_size=4),
)
targets = st.builds(
    lambda path, slash: ("/" + "/".join(path)) + ("/" if slash and path else ""),
    st.lists(odd, max_size=5),
    st.booleans(),
)
patterns = st.builds(
    lambda path, slash: PathPattern.parse("/" + "/".join(path) + ("/" if slash and path else "")),
    st.lists(wild | st.sampled_from(["@", "%40", "%2A"]), max_size=4),
    st.booleans(),
)
drafts = st.lists(
    st.builds(
        Rule,
        st.just("draft"),
        st.sampled_from(["allow", "allow", "deny"]),
        st.lists(sources, min_size=1, max_size=3).map(tuple),
        st.frozensets(methods, max_size=2),
        st.lists(patterns, max_size=3).map(tuple),
    ),
    max_size=7,
)
rule_sets = drafts.map(
    lambda rules: [replace(rule, id=f"r{number}") for number, rule in enumerate(rules)]
)


def covers(pattern: list[str], segments: list[bytes]) -> bool:
    """Say it as the documentation does, one segment after the other."""
    if not pattern:
        return not segments
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        return any(covers(rest, segments[skip:]) for skip in range(len(segments) + 1))
    if not segments:
        return False
    same = bool(segments[0]) if first == "*" else unquote_to_bytes(first) == segments[0]
    return same and covers(rest, segments[1:])


def about(rule: Rule, peer: SpiffeID) -> bool:
    return any(
        covers(
            [source.trust_domain, *source.segments],
            [name.encode() for name in (peer.trust_domain, *peer.path[1:].split("/"))],
        )
        for source in rule.sources
    )


def matches(rule: Rule, method: str, target: str) -> bool:
    segments = [unquote_to_bytes(segment) for segment in target.split("/")]
    on_path = any(covers(path.text.split("/"), segments) for path in rule.paths)
    return (not rule.methods or method in rule.methods) and (not rule.paths or on_path)


def naive(rules: list[Rule], peer: SpiffeID, method: str, target: str) -> Permit | Denial:
    own = [rule for rule in rules if about(rule, peer)]
    found = [rule for rule in own if matches(rule, method, target)]
    denials = [rule for rule in found if rule.effect == "deny"]
    # Those that need no request to be seen end the connection.
    for rule in [
        rule for rule in own if rule.effect == "deny" and not rule.methods | {*rule.paths}
    ]:
        return Denial(DENIED, rule.id)
    if not any(rule.effect == "allow" for rule in own):
        return Denial(UNKNOWN_PEER, "-")
    if denials:
        return Denial(DENIED, denials[0].id)
    return Permit(found[0].id) if found else Denial(NOT_ALLOWED, "-")


def ask(policy: Policy, peer: SpiffeID, method: str, target: str) -> Permit | Denial:
    verdict = policy.connection(peer)
    if isinstance(verdict, Grant):
        return verdict.request(method, policy.target_rule(target)[0])
    return verdict


@given(rule_sets, peers, methods, targets)
def test_every_answer_is_that_of_the_naive_evaluator(
    rules: list[Rule], peer: SpiffeID, method: str, target: str
) -> None:
    assert ask(Policy(rules), peer, method, target) == naive(rules, peer, method, target)


@given(rule_sets, methods, targets)
def test_every_answer_is_that_of_the_naive_evaluator_for_a_peer_of_all_rules(
    rules: list[Rule], method: str, target: str
) -> None:
    everyone = (SpiffePattern("one.local", ("**",)), SpiffePattern("one.local", ("a",)))
    rules = [replace(rule, sources=everyone) for rule in rules]
    peer = SpiffeID("one.local", "/a")
    assert ask(Policy(rules), peer, method, target) == naive(rules, peer, method, target)


@given(rule_sets, peers, methods, targets)
def test_threat_34_deny_and_allow_twins_match_the_same_requests(
    rules: list[Rule], peer: SpiffeID, method: str, target: str
) -> None:
    """What a rule allows on its own, the same rule as a deny refuses, and nothing else."""
    everyone = Rule("all", "allow", (SpiffePattern(peer.trust_domain, ("**",)),))
    for rule in rules:
        allow = Policy([replace(rule, effect="allow")])
        deny = Policy([everyone, replace(rule, effect="deny")])
        allowed = ask(allow, peer, method, canonical(target)[0]) == Permit(rule.id)
        denied = ask(deny, peer, method, canonical(target)[0]) == Denial(DENIED, rule.id)
        assert allowed == denied


@given(rule_sets, peers, methods, targets)
def test_a_rule_more_opens_or_closes_what_it_says_only(
    rules: list[Rule], peer: SpiffeID, method: str, target: str
) -> None:
    """A further deny never permits, a further allow never denies."""
    for number, rule in enumerate(rules):
        fewer = rules[:number] + rules[number + 1 :]
        before = ask(Policy(fewer), peer, method, canonical(target)[0])
        after = ask(Policy(rules), peer, method, canonical(target)[0])
        if isinstance(before, Permit) != isinstance(after, Permit):
            assert (rule.effect == "allow") == isinstance(after, Permit)


@given(rule_sets, peers)
def test_a_stream_is_decided_by_all_rules_about_its_peer(rules: list[Rule], peer: SpiffeID) -> None:
    verdict = Policy(rules).connection(peer)
    if isinstance(verdict, Grant):
        own = [rule for rule in rules if about(rule, peer)]
        denials = [Denial(DENIED, rule.id) for rule in own if rule.effect == "deny"]
        permits = [Permit(rule.id) for rule in own if not rule.methods and not rule.paths]
        assert verdict.stream() == [*denials, *permits, Denial(NOT_ALLOWED, "-")][0]


@given(rule_sets, peers)
def test_a_stream_is_permitted_only_where_every_request_is(
    rules: list[Rule], peer: SpiffeID
) -> None:
    verdict = Policy(rules).connection(peer)
    if isinstance(verdict, Grant) and isinstance(verdict.stream(), Permit):
        for method in ("GET", "PUT", "PURGE", "OTHER"):
            for target in ("/", "/a", "/a/b", "/@/", "/%2A", "*"):
                assert isinstance(verdict.request(method, target), Permit)


@given(rule_sets, peers)
def test_describe_names_the_rules_about_a_peer(rules: list[Rule], peer: SpiffeID) -> None:
    described = Policy(rules).describe(peer)
    assert {rule.id for rule in described} == {rule.id for rule in rules if about(rule, peer)}
    assert described == sorted(described, key=lambda rule: (rule.effect == "allow", rule.id))
