"""YAML to structs: every value where it belongs, every mistake with its place and its cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pki.names import SpiffePattern
from sidecar.config import (
    Address,
    AdminConfig,
    Config,
    ConfigError,
    HealthConfig,
    IdentityConfig,
    Inbound,
    Limits,
    Outbound,
    OutboundTimeouts,
    RuleConfig,
    Timeouts,
    load,
    parse,
)
from sidecar.config.problem import MAX_PROBLEMS
from sidecar.core.policy import PathPattern
from tests.configs import FILE, SMALL, changed, problem_of, problems_of, small, text_of, without

PEER = SpiffePattern.parse("spiffe://demo.local/ns/shop/sa/frontend")
ORDERS = SpiffePattern.parse("spiffe://demo.local/ns/shop/sa/orders")


def read(data: dict[str, Any]) -> Config:
    return parse(text_of(data), FILE)


def test_the_smallest_useful_file() -> None:
    assert read(SMALL) == Config(
        identity=IdentityConfig(dir="/certs"),
        inbound=(
            Inbound(
                name="web",
                listen=Address("0.0.0.0", 9443),
                forward=Address("127.0.0.1", 8080),
                protocol="http",
                allow=(
                    RuleConfig(
                        from_=(PEER,), methods=("GET",), paths=(PathPattern.parse("/api/**"),)
                    ),
                ),
            ),
        ),
        outbound=(
            Outbound(
                name="orders",
                listen=Address("127.0.0.1", 9001),
                connect=(Address("orders", 9443),),
                expect=(ORDERS,),
                protocol="http",
            ),
        ),
        admin=AdminConfig(listen=Address("127.0.0.1", 9440)),
        health=HealthConfig(listen=Address("0.0.0.0", 9446)),
    )


def test_the_defaults_are_those_of_the_design() -> None:
    config = read({"identity": {"dir": "c"}, "outbound": SMALL["outbound"]})
    assert config.admin is None
    assert config.health is None
    assert config.tls.min_version == "1.3"
    assert (config.access_log, config.loop) == (True, "auto")
    assert (config.drain_timeout, config.reload_interval) == (25.0, 1.0)
    assert Timeouts() == Timeouts(
        connect=5.0, handshake=5.0, head=10.0, idle=75.0, response=60.0, total=0.0
    )
    assert OutboundTimeouts().idle == 60.0
    assert Limits() == Limits(
        connections=10_000, handshakes=256, head_bytes=65536, fields=100, body_bytes=0,
        lifetime=0.0, idle_upstreams=1024,
    )  # fmt: skip


def test_an_empty_section_is_its_defaults_and_an_absent_one_is_off() -> None:
    config = read(small(admin={}, health={}))
    assert config.admin == AdminConfig(listen=Address("127.0.0.1", 9440))
    assert config.health == HealthConfig(listen=Address("0.0.0.0", 9446))
    assert read(small(admin=None)).admin is None


def test_one_timeout_leaves_the_others_as_they_are_on_either_side() -> None:
    config = read(changed("outbound.0.timeouts", {"connect": "2s"}))
    assert config.outbound[0].timeouts == OutboundTimeouts(connect=2.0)
    assert config.outbound[0].timeouts.idle == 60.0
    config = read(changed("inbound.0.timeouts", {"connect": 2}))
    assert config.inbound[0].timeouts == Timeouts(connect=2.0)


def test_what_is_read_is_shown_under_the_same_keys_and_read_alike() -> None:
    config = read(small(drain_timeout="1m", tls={"min_version": "1.2"}))
    view = config.view()
    assert view["inbound"][0]["allow"][0]["from"] == [str(PEER)]
    assert view["outbound"][0]["listen"] == "127.0.0.1:9001"
    assert view["drain_timeout"] == 60.0
    assert "deny" not in view["inbound"][0]
    assert read(view) == config


@pytest.mark.parametrize(
    ("where", "value", "key", "line", "message", "hint"),
    [
        ("identity.dirr", "x", "identity.dirr", 3, "this key is not known", "did you mean `dir`?"),
        ("identity.xyz", 1, "identity.xyz", 3, "not known", "the keys here are dir, trust_domain"),
        ("inbound.0.methodz", 1, "inbound[0].methodz", 15, "not known", ""),
        ("identity.dir", "", "identity.dir", 2, "is not a folder", ""),
        ("identity.dir", None, "identity.dir", 2, "found nothing", ""),
        ("identity", "certs", "identity", 1, "expected keys and values, found 'certs'", ""),
        ("identity.trust_domain", "Demo", "identity.trust_domain", 3, "is not a trust domain", ""),
        ("inbound", {"a": 1}, "inbound", 3, "expected a list, found keys and values", "a `-`"),
        ("inbound.0", "web", "inbound[0]", 4, "expected keys and values, found 'web'", ""),
        ("inbound.0.name", 8, "inbound[0].name", 4, "found the number 8", "needs quotes"),
        ("inbound.0.name", "a b", "inbound[0].name", 4, "is not a name: up to 63", ""),
        ("inbound.0.name", "n" * 64, "inbound[0].name", 4, "is not a name: up to 63", ""),
        ("inbound.0.listen", 9443, "inbound[0].listen", 5, "the number 9443", "0.0.0.0:9443"),
        ("inbound.0.listen", ":9443", "inbound[0].listen", 5, "HOST:PORT", "0.0.0.0:9443"),
        ("inbound.0.protocol", "htpp", "inbound[0].protocol", 7, "`http` or `tcp`", "`http`?"),
        ("inbound.0.protocol", "auto", "inbound[0].protocol", 7, "found 'auto'", ""),
        ("inbound.0.allow.0.from", ["*"], "inbound[0].allow[0].from[0]", 10, "start with spiffe://",
         "spiffe://TRUST-DOMAIN/** is everyone"),
        ("inbound.0.allow.0.from", str(PEER), "inbound[0].allow[0].from", 9, "a list", "in [ ]"),
        ("inbound.0.allow.0.methods", ["G T"], "inbound[0].allow[0].methods[0]", 12, "method", ""),
        ("inbound.0.allow.0.paths", ["api"], "inbound[0].allow[0].paths[0]", 14, "slash", "/api"),
        ("inbound.0.allow.0.paths", ["/a**"], "inbound[0].allow[0].paths[0]", 14, "wildcards", ""),
        ("inbound.0.allow.0.paths", [], "inbound[0].allow[0].paths", 13, "empty", "leave the key"),
        ("outbound.0.server_name", "a b", "outbound[0].server_name", 23, "is not a DNS name", ""),
        ("access_log", "on", "access_log", 27, "expected true or false, found 'on'", ""),
        ("tls.min_version", 1.3, "tls.min_version", 28, "found the number 1.3", "in quotes"),
        ("tls.min_version", "1.1", "tls.min_version", 28, "`1.2` or `1.3`", ""),
        ("drain_timeout", "5sec", "drain_timeout", 27, "is not a duration", ""),
        ("drain_timeout", True, "drain_timeout", 27, "found true", ""),
        ("inbound.0.limits.fields", "9", "inbound[0].limits.fields", 16, "a whole number", ""),
        ("inbound.0.limits.fields", 1.5, "inbound[0].limits.fields", 16, "a whole number", ""),
    ],
)  # fmt: skip
def test_an_error_names_the_key_the_line_and_the_cure(
    where: str, value: object, key: str, line: int, message: str, hint: str
) -> None:
    problem = problem_of(changed(where, value))
    assert (problem.file, problem.key, problem.line) == (FILE, key, line)
    assert message in problem.message
    assert hint in problem.hint
    assert str(problem).startswith(f"{FILE}:{line}: {key}: ")


@pytest.mark.parametrize(
    ("where", "key", "line", "message"),
    [
        ("identity", "identity", 1, "required and missing"),
        ("inbound.0.name", "inbound[0].name", 4, "required and missing"),
        ("inbound.0.forward", "inbound[0].forward", 4, "required and missing"),
        ("inbound.0.protocol", "inbound[0].protocol", 4, "required and missing"),
        ("inbound.0.allow", "inbound[0].allow", 4, "nobody is allowed"),
        ("inbound.0.allow.0.from", "inbound[0].allow[0].from", 9, "nobody is named"),
        ("outbound.0.expect", "outbound[0].expect", 16, "no server is expected"),
        ("outbound.0.connect", "outbound[0].connect", 16, "nothing to connect to"),
    ],
)
def test_a_missing_key_is_named_where_it_should_be(
    where: str, key: str, line: int, message: str
) -> None:
    problem = problem_of(without(where))
    assert (problem.key, problem.line) == (key, line)
    assert message in problem.message
    assert problem.hint


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("inbound.0.allow", "nobody is allowed"),
        ("inbound.0.allow.0.from", "nobody is named"),
        ("outbound.0.expect", "no server is expected"),
        ("outbound.0.connect", "nothing to connect to"),
    ],
)
def test_an_empty_list_means_what_a_missing_key_means(where: str, says: str) -> None:
    assert says in problem_of(changed(where, [])).message
    assert problem_of(changed(where, [])).hint == problem_of(without(where)).hint


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
        identity: {dirr: /certs}
        inbound:
          - name: web
            listen: 9443
            forward: 10.0.0.1:8080
            protocolx: http
            allow: []
          - name: api
            listen: 0.0.0.0:9444
            forward: 10.0.0.1:8080
            protocol: tcp
            allow: [{from: ["*"]}, {from: ["spiffe://demo.local/**"], methods: [get]}]
        admin: {listen: 0.0.0.0:9440}
    """
    assert [(problem.line, problem.key) for problem in problems_of(text)] == [
        (1, "identity.dirr"),
        (1, "identity.dir"),
        (3, "inbound[0].protocol"),
        (4, "inbound[0].listen"),
        (6, "inbound[0].protocolx"),
        (7, "inbound[0].allow"),
        (12, "inbound[1].allow[0].from[0]"),
        (13, "admin.listen"),
    ]


def test_what_is_told_has_an_end() -> None:
    data = small(**{f"k{number}": number for number in range(MAX_PROBLEMS + 5)})
    assert len(problems_of(data)) == MAX_PROBLEMS


def test_a_hostile_key_or_value_cannot_forge_a_line() -> None:
    problem = problem_of(changed("identity.k\u202ek", 1))
    assert str(problem).isascii()
    text = "identity: {dir: x}\noutbound: ['\u202eevil']\n"
    assert all(str(problem).isascii() for problem in problems_of(text))


def test_load_reads_a_file_and_finds_the_identity_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text(text_of(changed("identity.dir", "certs")))
    assert load(path).identity.dir == str(tmp_path / "certs")
    path.write_text(text_of(changed("identity.dir", "/certs")))
    assert load(path).identity.dir == "/certs"


def test_load_names_the_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.yaml"
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: no such file or directory"
    with pytest.raises(ConfigError, match="is a directory"):
        load(tmp_path)
    path.write_text("identity: 1\n")
    with pytest.raises(ConfigError, match=f"{path}:1: identity: "):
        load(path)
