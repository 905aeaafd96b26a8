"""Addresses, durations and sizes: one written form each, and nothing repaired."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.values import (
    ADDRESS_FORM,
    DURATION,
    MAX_ADDRESS_BYTES,
    MAX_UNIX_PATH_BYTES,
    SIZE,
    Address,
    InvalidValueError,
    Unit,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:9443", Address("0.0.0.0", 9443)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("127.0.0.1:65535", Address("127.0.0.1", 65535)),
        ("[::1]:80", Address("::1", 80)),
        ("[::ffff:127.0.0.1]:80", Address("::ffff:127.0.0.1", 80)),
        ("orders:9443", Address("orders", 9443)),
        ("orders.shop.svc.cluster.local.:9443", Address("orders.shop.svc.cluster.local.", 9443)),
        ("shop_orders-1:9443", Address("shop_orders-1", 9443)),
        ("unix:/run/app.sock", Address(path="/run/app.sock")),
        ("unix:/run/my app:1.sock", Address(path="/run/my app:1.sock")),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text
    assert re.search(ADDRESS_FORM, text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not HOST:PORT"),
        ("9443", "is not HOST:PORT"),
        (":9443", "is not HOST:PORT"),
        ("*:9443", "is not HOST:PORT"),
        ("orders", "is not HOST:PORT"),
        ("orders:", "is not HOST:PORT"),
        ("orders:http", "is not HOST:PORT"),
        ("orders:+80", "is not HOST:PORT"),
        ("orders:8_0", "is not HOST:PORT"),
        ("orders:\u0668\u0660", "is not HOST:PORT"),  # class 19: digits of another script
        ("orders:80\n", "is not HOST:PORT"),
        (" orders:80", "is not HOST:PORT"),
        ("::1:80", "is not HOST:PORT"),
        ("a..b:80", "is not HOST:PORT"),
        ("-a:80", "is not HOST:PORT"),
        ("http://orders:80", "is not HOST:PORT"),
        ("a@orders:80", "is not HOST:PORT"),
        ("orders:65536", "above 65535"),
        ("orders:99999999999", "above 65535"),
        ("[127.0.0.1]:80", "not an IPv6 address"),
        ("[::g]:80", "is not HOST:PORT"),
        ("[:::]:80", "not an IPv6 address"),
        ("127.1:80", "not an IPv4 address"),
        ("2130706433:80", "not an IPv4 address"),
        ("0x7f.0x1:80", "not an IPv4 address"),
        ("127.0.0.256:80", "not an IPv4 address"),
        ("127.0.0.010:80", "not an IPv4 address"),
        ("unix:app.sock", "not absolute"),
        ("unix:@abstract", "not absolute"),
        ("unix:", "not absolute"),
        ("unix:/run/a\x1b[2J", "cannot be printed"),
        ("unix:/run/a\nb", "cannot be printed"),
    ],
)
def test_what_two_programs_could_read_differently_is_no_address(text: str, says: str) -> None:
    with pytest.raises(InvalidValueError, match=re.escape(says)):
        Address.parse(text)


def test_an_address_has_a_longest_form() -> None:
    fits = "a" * (MAX_ADDRESS_BYTES - 3)
    assert Address.parse(f"{fits}:80").host == fits
    with pytest.raises(InvalidValueError, match="at most 300"):
        Address.parse(f"a{fits}:80")


def test_a_socket_path_fits_into_the_kernels_structure() -> None:
    fits = "/" + "s" * (MAX_UNIX_PATH_BYTES - 1)
    assert Address.parse(f"unix:{fits}").path == fits
    with pytest.raises(InvalidValueError, match="at most 107 bytes"):
        Address.parse(f"unix:{fits}s")
    with pytest.raises(InvalidValueError, match="at most 107 bytes"):
        Address.parse("unix:/" + "é" * 54)  # bytes count, not characters


def reading(text: str) -> Address | str:
    """What a text is read as, or the words that refuse it."""
    try:
        return Address.parse(text)
    except InvalidValueError as error:
        return str(error)


@given(st.text("unix:/[].0159aZ_-*@é\n\x1b", max_size=24))
def test_any_text_is_an_address_with_one_form_or_an_error_on_one_line(text: str) -> None:
    match reading(text):
        case Address() as address:
            assert reading(str(address)) == address
            assert re.search(ADDRESS_FORM, text)
        case words:
            assert words.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:1", "127.255.3.4:1", "[::1]:1", "[0:0:0:0:0:0:0:1]:1", "[::ffff:127.0.0.1]:1",
        "localhost:1", "LocalHost:1", "unix:/run/app.sock",
    ],
)  # fmt: skip
def test_plain_text_may_go_to_loopback_and_unix_sockets(text: str) -> None:
    assert Address.parse(text).is_local


@pytest.mark.parametrize(
    "text",
    [
        "128.0.0.1:1", "0.0.0.0:1", "10.0.0.1:1", "[::]:1", "[::2]:1", "[::ffff:10.0.0.1]:1",
        "[7f00::1]:1", "localhost.example:1", "orders:1", "127-0-0-1.example:1",
    ],
)  # fmt: skip
def test_plain_text_may_not_go_anywhere_else(text: str) -> None:
    assert not Address.parse(text).is_local


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("[::1]:80", "[0:0::1]:80"),
        ("Orders:80", "orders:80"),
        ("unix:/a", "unix:/a"),
    ],
)
def test_addresses_that_cannot_both_be_listened_on(one: str, other: str) -> None:
    assert Address.parse(one).overlaps(Address.parse(other))
    assert Address.parse(other).overlaps(Address.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("127.0.0.1:80", "127.0.0.1:81"),
        ("127.0.0.1:80", "127.0.0.2:80"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("[::]:80", "0.0.0.0:80"),
        ("orders:80", "web:80"),
        ("orders:80", "127.0.0.1:80"),
        ("unix:/a", "unix:/b"),
        ("unix:/a", "127.0.0.1:80"),
    ],
)
def test_addresses_that_can(one: str, other: str) -> None:
    assert not Address.parse(one).overlaps(Address.parse(other))
    assert not Address.parse(other).overlaps(Address.parse(one))


@pytest.mark.parametrize(
    ("unit", "text", "value"),
    [
        (DURATION, "0s", 0),
        (DURATION, "1ms", 0.001),
        (DURATION, "250ms", 0.25),
        (DURATION, "5s", 5),
        (DURATION, "2m", 120),
        (DURATION, "24h", 86400),
        (SIZE, "0B", 0),
        (SIZE, "512B", 512),
        (SIZE, "64KiB", 65536),
        (SIZE, "1MiB", 2**20),
        (SIZE, "3GiB", 3 * 2**30),
    ],
)
def test_quantities_are_read_and_written_alike(unit: Unit, text: str, value: float) -> None:
    assert unit.parse(text) == value
    assert unit.show(value) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "-5s",
        "+5s",
        "5 s",
        "5_0s",
        "\u0665s",
        "1.5s",
        "5S",
        "1h30m",
        "5s\n",
        "1" * 10 + "s",
    ],
)
def test_what_is_no_duration_is_not_guessed(text: str) -> None:
    with pytest.raises(InvalidValueError, match="is not a duration: a number and ms, s, m, h"):
        DURATION.parse(text)


@pytest.mark.parametrize("text", ["64", "64k", "64KB", "64kib", "1.5MiB", "-1B", "0x10B"])
def test_what_is_no_size_is_not_guessed(text: str) -> None:
    with pytest.raises(InvalidValueError, match="is not a size: a number and B, KiB, MiB, GiB"):
        SIZE.parse(text)


@given(st.integers(0, 10**9 - 1), st.sampled_from(list(DURATION.scales)))
def test_a_duration_survives_being_written(count: int, unit: str) -> None:
    seconds = DURATION.parse(f"{count}{unit}")
    assert DURATION.parse(DURATION.show(seconds)) == pytest.approx(seconds)


def test_what_no_unit_measures_evenly_is_a_decimal() -> None:
    assert DURATION.show(0.0005) == "0.5ms"
    assert DURATION.show(1.5) == "1500ms"
    assert SIZE.show(1025) == "1025B"
