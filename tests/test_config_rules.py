"""How the values of a configuration must fit together; each refusal with its allowed twin."""

from __future__ import annotations

from typing import Any

import pytest

from pki.names import SpiffeID
from sidecar.config import parse
from sidecar.core.ids import Denial, Permit
from sidecar.core.policy import Grant
from tests.configs import FILE, SMALL, changed, problem_of, problems_of, small, text_of


def inbound(**changes: Any) -> dict[str, Any]:
    """A configuration with one inbound listener, changed."""
    return {"identity": {"dir": "c"}, "inbound": [{**small()["inbound"][0], **changes}]}


def outbound(**changes: Any) -> dict[str, Any]:
    """A configuration with one outbound listener, changed."""
    return {"identity": {"dir": "c"}, "outbound": [{**small()["outbound"][0], **changes}]}


EVERYONE = {"from": ["spiffe://demo.local/**"]}

REFUSED = [
    # Plain text that would leave the machine.
    (inbound(forward="10.0.0.1:8080"), "inbound[0].forward", "plain text would leave"),
    (inbound(forward="app:8080"), "inbound[0].forward", "plain text would leave"),
    (outbound(listen="0.0.0.0:9001"), "outbound[0].listen", "in this workload's name"),
    (small(admin={"listen": "0.0.0.0:9440"}), "admin.listen", "can stop the sidecar"),
    (small(admin={"listen": "10.0.0.1:9440"}), "admin.listen", "can stop the sidecar"),
    # What a tcp listener cannot see.
    (inbound(protocol="tcp", allow=[{**EVERYONE, "methods": ["GET"]}]),
     "inbound[0].allow[0].methods", "cannot see methods"),
    (inbound(protocol="tcp", allow=[{**EVERYONE, "paths": ["/a"]}]),
     "inbound[0].allow[0].paths", "cannot see paths"),
    (inbound(protocol="tcp", allow=[EVERYONE], deny=[{**EVERYONE, "paths": ["/a"]}]),
     "inbound[0].deny[0].paths", "cannot see paths"),
    (inbound(proxy_protocol="v2"), "inbound[0].proxy_protocol", "`protocol: tcp` only"),
    # Rules that could not do what they say.
    (inbound(allow=[{**EVERYONE, "methods": ["get"]}]),
     "inbound[0].allow[0].methods", "write GET"),
    (inbound(deny=[{**EVERYONE, "methods": ["Post"]}]),
     "inbound[0].deny[0].methods", "write POST"),
    (inbound(allow=[{**EVERYONE, "name": "a"}, {**EVERYONE, "name": "a"}]),
     "inbound[0].allow[1].name", "another rule has the name a"),
    (inbound(allow=[{**EVERYONE, "name": "a"}], deny=[{**EVERYONE, "name": "a"}]),
     "inbound[0].deny[0].name", "another rule has the name a"),
    # Listeners in each other's way.
    (small(outbound=[{**SMALL["outbound"][0], "name": "web"}]),
     "outbound[0].name", "another listener has the name web"),
    (changed("outbound.0.listen", "127.0.0.1:9443"), "outbound[0].listen", "another listener"),
    (small(admin={"listen": "127.0.0.1:9001"}), "admin.listen", "another listener is at"),
    (small(health={"listen": "0.0.0.0:9440"}), "health.listen", "another listener is at"),
    # Ways into a loop or nowhere.
    (inbound(listen="0.0.0.0:8080"), "inbound[0].forward", "is this listener itself"),
    (outbound(connect=["127.0.0.1:9001"]), "outbound[0].connect[0]", "is this listener itself"),
    (inbound(forward="127.0.0.1:0"), "inbound[0].forward", "port 0"),
    (outbound(connect=["a:1", "b:0"]), "outbound[0].connect[1]", "port 0"),
    ({"identity": {"dir": "c"}}, "", "there is nothing to do"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "key", "says"), REFUSED)
def test_what_does_not_fit_is_refused_at_its_key(
    config: dict[str, Any], key: str, says: str
) -> None:
    problem = problem_of(config)
    assert problem.key == key
    assert says in problem.message


@pytest.mark.parametrize(
    "config",
    [
        inbound(forward="10.0.0.1:8080", unsafe_plaintext=True),
        inbound(forward="127.9.9.9:8080"),
        inbound(forward="unix:/run/app.sock"),
        outbound(listen="0.0.0.0:9001", unsafe_plaintext=True),
        outbound(listen="unix:/run/out.sock"),
        small(admin={"listen": "[::1]:9440"}),
        small(admin={"listen": "unix:/run/admin.sock"}),
        small(health={"listen": "[::]:9446"}),
        inbound(protocol="tcp", allow=[EVERYONE], proxy_protocol="v2"),
        inbound(proxy_protocol="off"),
        inbound(allow=[{**EVERYONE, "methods": ["GET", "PURGE", "purge"]}]),
        inbound(allow=[{**EVERYONE, "name": "a"}, {**EVERYONE, "name": "b"}, EVERYONE]),
        changed("outbound.0.listen", "127.0.0.1:9444"),
        inbound(listen="0.0.0.0:0"),
        outbound(listen="127.0.0.1:0"),
        small(admin={"listen": "127.0.0.1:0"}, health={"listen": "127.0.0.1:0"}),
        outbound(connect=["orders:9001"]),
        inbound(listen="0.0.0.0:8080", forward="10.0.0.1:8080", unsafe_plaintext=True),
    ],
)
def test_what_fits_is_taken(config: dict[str, Any]) -> None:
    assert problems_of(config) == ()


def test_one_listeners_mistake_does_not_hide_the_next_ones() -> None:
    first, second = inbound(forward="10.0.0.1:1")["inbound"][0], inbound(listen=1)["inbound"][0]
    found = problems_of({"identity": {"dir": "c"}, "inbound": [first, {**second, "name": "b"}]})
    assert [problem.key for problem in found] == ["inbound[0].forward", "inbound[1].listen"]


def test_no_word_makes_the_admin_port_public() -> None:
    admin = {"listen": "0.0.0.0:9440", "unsafe_plaintext": True}
    keys = [problem.key for problem in problems_of(small(admin=admin))]
    assert keys == ["admin.listen", "admin.unsafe_plaintext"]


TIMEOUTS = ["connect", "handshake", "head", "idle", "response"]


@pytest.mark.parametrize("key", TIMEOUTS)
@pytest.mark.parametrize(
    ("value", "fits"),
    [(0, False), ("0s", False), (0.0009, False), ("1ms", True), (1, True), ("168h", True),
     ("10081m", False), (604_800, True), (604_801, False), (-1, False)],
)  # fmt: skip
def test_a_timeout_has_bounds(key: str, value: object, *, fits: bool) -> None:
    for config in (inbound(timeouts={key: value}), outbound(timeouts={key: value})):
        found = problems_of(config)
        assert len(found) == (0 if fits else 1)
        assert all("is not from 1ms to 168h" in problem.message for problem in found)


LIMITS: list[tuple[str, object, bool]] = [
    ("connections", 0, False), ("connections", 1, True),
    ("connections", 1_000_000, True), ("connections", 1_000_001, False),
    ("handshakes", 0, False), ("handshakes", 1, True),
    ("handshakes", 100_000, True), ("handshakes", 100_001, False),
    ("head_bytes", 0, False), ("head_bytes", 1, False), ("head_bytes", 1023, False),
    ("head_bytes", "1KiB", True), ("head_bytes", "1MiB", True), ("head_bytes", 2**20 + 1, False),
    ("fields", 0, False), ("fields", 1, True), ("fields", 10_000, True), ("fields", 10_001, False),
    ("body_bytes", -1, False), ("body_bytes", 0, True), ("body_bytes", 1, True),
    ("body_bytes", "1024GiB", True), ("body_bytes", "1025GiB", False),
    ("lifetime", -1, False), ("lifetime", 0, True), ("lifetime", 1, True),
    ("lifetime", "168h", True), ("lifetime", "169h", False),
    ("idle_upstreams", -1, False), ("idle_upstreams", 0, True), ("idle_upstreams", 1, True),
    ("idle_upstreams", 10_000, True), ("idle_upstreams", 10_001, False),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "fits"), LIMITS)
def test_a_limit_has_bounds(key: str, value: object, *, fits: bool) -> None:
    found = problems_of(inbound(limits={key: value}))
    assert [problem.key for problem in found] == ([] if fits else [f"inbound[0].limits.{key}"])


@pytest.mark.parametrize(
    ("key", "value", "fits"),
    [
        ("drain_timeout", 0, True), ("drain_timeout", "1h", True), ("drain_timeout", 3601, False),
        ("reload_interval", 0, False), ("reload_interval", "50ms", True),
        ("reload_interval", "49ms", False), ("reload_interval", "1h", True),
        ("reload_interval", 3601, False), ("total", 0, True),
    ],
)  # fmt: skip
def test_the_other_durations_have_bounds(key: str, value: object, *, fits: bool) -> None:
    config = inbound(timeouts={key: value}) if key == "total" else small(**{key: value})
    assert (problems_of(config) == ()) is fits


def test_a_listeners_rules_become_its_policy() -> None:
    config = parse(
        text_of(
            inbound(
                allow=[
                    {"from": ["spiffe://demo.local/a"], "methods": ["GET"], "paths": ["/api/**"]},
                    {"from": ["spiffe://demo.local/b"], "name": "readers"},
                ],
                deny=[{"from": ["spiffe://demo.local/**"], "paths": ["/api/admin/**"]}],
            )
        ),
        FILE,
    )
    policy = config.inbound[0].policy()

    def answer(peer: str, method: str, path: str) -> Permit | Denial:
        grant = policy.connection(SpiffeID.parse(f"spiffe://demo.local/{peer}"))
        return grant.request(method, path) if isinstance(grant, Grant) else grant

    assert answer("a", "GET", "/api/x") == Permit("allow[0]")
    assert isinstance(answer("a", "POST", "/api/x"), Denial)
    assert isinstance(answer("a", "GET", "/other"), Denial)
    assert answer("b", "POST", "/other") == Permit("readers")
    denial = answer("b", "GET", "/api/admin/x")
    assert isinstance(denial, Denial)
    assert denial.rule == "deny[0]"
    assert isinstance(answer("c", "GET", "/api/x"), Denial)
