"""What may be asked of the CA, and what not: each bound at, below and above its edge."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import RequestError
from pki.names import InvalidNameError, SpiffeID
from pki.profile import (
    MAX_NAMES,
    Profile,
    Request,
    format_duration,
    parse_duration,
    parse_ip,
)
from tests.pki.kit import DAY, HOUR, WEB

PROFILE = Profile("demo.local")
STRICT = Profile("demo.local", ("shop.example.com",))
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0s", timedelta(0)),
        ("1s", SECOND),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("24h", DAY),
        ("7d", 7 * DAY),
        ("2w", 14 * DAY),
        ("10y", 3650 * DAY),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", "24", "h", "-1h", "+1h", "1 h", " 1h", "1h ", "1h30m", "1.5h", "1_0h", "٣h", "1H", "1h\n",
     "1000000000s", "999999999y"],
)  # fmt: skip
def test_what_is_not_exactly_that_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(0, 10**9 - 1).map(lambda n: timedelta(seconds=n)))
def test_a_formatted_duration_is_read_back(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("duration", "text"),
    [(timedelta(0), "0s"), (90 * SECOND, "90s"), (DAY, "1d"), (7 * DAY, "7d"), (365 * DAY, "1y")],
)
def test_a_formatted_duration_is_short(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@pytest.mark.parametrize("ttl", [None, SECOND, PROFILE.max_leaf_ttl])
def test_a_life_time_within_bounds_is_granted(ttl: timedelta | None) -> None:
    PROFILE.check(Request(WEB, ttl=ttl))
    assert PROFILE.ttl(Request(WEB, ttl=ttl)) == (ttl or PROFILE.leaf_ttl)


@pytest.mark.parametrize(
    "ttl", [timedelta(0), -SECOND, PROFILE.max_leaf_ttl + SECOND, timedelta(seconds=1.5)]
)
def test_a_life_time_out_of_bounds_is_refused(ttl: timedelta) -> None:
    with pytest.raises(RequestError, match=r"^ttl is "):
        PROFILE.check(Request(WEB, ttl=ttl))


def test_a_foreign_trust_domain_is_refused() -> None:
    with pytest.raises(RequestError, match=r"not in the trust domain demo\.local") as caught:
        PROFILE.check(Request(SpiffeID.parse("spiffe://evil.local/ns/shop/sa/web")))
    assert caught.value.hints == ("this CA issues spiffe://demo.local/...",)


@pytest.mark.parametrize(
    "name",
    ["orders", "localhost", "a.localhost", "demo.local", "web.demo.local", "printer.local",
     "orders.shop.svc", "orders.shop.svc.cluster.local", "x.home.arpa", "a.test", "a-1", "1a",
     "a" * 63, "xn--bcher-kva.example"],
)  # fmt: skip
def test_by_default_private_dns_names_are_granted(name: str) -> None:
    PROFILE.check(Request(WEB, dns=(name,)))


@pytest.mark.parametrize(
    "name", ["google.com", "orders.shop", "local.com", "notdemo.local.io", "svc.evil"]
)
def test_by_default_names_that_can_be_registered_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match="outside of what this CA signs"):
        PROFILE.check(Request(WEB, dns=(name,)))


@pytest.mark.parametrize(
    "name", ["demo.local", "a.demo.local", "shop.example.com", "a.b.shop.example.com"]
)
def test_a_constrained_ca_grants_its_trees(name: str) -> None:
    STRICT.check(Request(WEB, dns=(name,)))


@pytest.mark.parametrize("name", ["orders", "localhost", "example.com", "evilshop.example.com"])
def test_a_constrained_ca_refuses_what_is_outside(name: str) -> None:
    with pytest.raises(RequestError, match="outside of what this CA signs"):
        STRICT.check(Request(WEB, dns=(name,)))


@pytest.mark.parametrize(
    "name",
    ["", ".", "a.", ".a", "a..b", "-a", "a-", "A", "a_b", "*.demo.local", "*", "a b", "a\n",
     "a\x00", "a" * 64, "é", ".".join(["a" * 49] * 6) + ".local", "demo.local/"],
)  # fmt: skip
def test_what_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="is not a DNS name"):
        PROFILE.check(Request(WEB, dns=(name,)))


def test_an_address_as_a_dns_name_is_refused_with_the_right_option() -> None:
    with pytest.raises(RequestError, match="looks like an address") as caught:
        PROFILE.check(Request(WEB, dns=("10.0.0.1",)))
    assert caught.value.hints == ("write --ip 10.0.0.1",)


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "10.1.2.3", "fe80::1", "8.8.8.8"])
def test_an_address_is_granted(text: str) -> None:
    PROFILE.check(Request(WEB, ips=(parse_ip(text),)))


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4/8", "01.2.3.4", "::g", "web"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="is not an IP address"):
        parse_ip(text)


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "fe80::1%eth0"])
def test_an_address_of_no_single_host_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="does not name one host"):
        parse_ip(text)


def test_a_constrained_ca_grants_private_addresses_only() -> None:
    STRICT.check(Request(WEB, ips=(parse_ip("10.0.0.1"), parse_ip("::1"))))
    with pytest.raises(RequestError, match="not a private address"):
        STRICT.check(Request(WEB, ips=(parse_ip("8.8.8.8"),)))


@pytest.mark.parametrize("count", [0, 1, MAX_NAMES])
def test_names_up_to_the_limit_are_granted(count: int) -> None:
    PROFILE.check(Request(WEB, dns=tuple(f"h{n}" for n in range(count))))


def test_more_names_are_refused() -> None:
    names = tuple(f"h{n}" for n in range(MAX_NAMES))
    with pytest.raises(RequestError, match="101 DNS names and addresses; at most 100"):
        PROFILE.check(Request(WEB, dns=names, ips=(parse_ip("::1"),)))


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(RequestError, match="twice"):
        PROFILE.check(Request(WEB, dns=("a", "a")))


@pytest.mark.parametrize("domain", ["demo.local", "local", "a.b-c.d1", "1a"])
def test_a_trust_domain_like_a_host_name_can_be_constrained(domain: str) -> None:
    assert Profile(domain).trust_domain == domain


@pytest.mark.parametrize("domain", ["a_b", ".local", "a..b", "a.", "10.0.0.1", "-a", "123"])
def test_a_trust_domain_that_no_constraint_can_hold_is_refused(domain: str) -> None:
    with pytest.raises(RequestError, match="cannot be constrained"):
        Profile(domain)


def test_what_is_no_trust_domain_at_all_is_refused() -> None:
    with pytest.raises(InvalidNameError):
        Profile("Demo.local")


@pytest.mark.parametrize(
    "options",
    [
        {"leaf_ttl": timedelta(0)},
        {"leaf_ttl": 2 * DAY, "max_leaf_ttl": DAY},
        {"max_leaf_ttl": 366 * DAY},
        {"intermediate_ttl": HOUR - SECOND},
        {"intermediate_ttl": 31 * 365 * DAY},
        {"root_ttl": 31 * 365 * DAY},
        {"crl_ttl": timedelta(0)},
        {"root_crl_ttl": 366 * DAY},
        {"refresh": timedelta(0)},
    ],
)
def test_a_profile_out_of_bounds_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=f"^{next(iter(options))} is .* is allowed$"):
        Profile("demo.local", **options)


def test_a_bad_permitted_tree_is_refused() -> None:
    with pytest.raises(RequestError, match="is not a DNS name"):
        Profile("demo.local", ("*.example.com",))


def test_a_profile_survives_json_and_ignores_what_a_later_version_added() -> None:
    profile = Profile("demo.local", ("a.example",), leaf_ttl=HOUR, crl_ttl=2 * DAY)
    values: dict[str, Any] = json.loads(json.dumps(profile.as_dict()))
    assert Profile.from_dict({**values, "later": 1}) == profile
