"""The codes are part of the public surface: this table changes by additions only."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from http import HTTPStatus

import pytest

from sidecar.core import reasons
from sidecar.core.reasons import ALL, Reason

# Number, name in the source, flag of the access log, HTTP status. Add a line for a new reason;
# whoever changes or removes one breaks the alert rules and scripts of those who run this.
GOLDEN = [
    (101, "NO_CERTIFICATE", "TLS", 502),
    (102, "UNTRUSTED", "TLS", 502),
    (103, "EXPIRED", "TLS", 502),
    (104, "NOT_YET_VALID", "TLS", 502),
    (105, "REVOKED", "TLS", 502),
    (106, "NO_SPIFFE_ID", "TLS", 502),
    (107, "MANY_SPIFFE_IDS", "TLS", 502),
    (108, "BAD_SPIFFE_ID", "TLS", 502),
    (109, "FOREIGN_TRUST_DOMAIN", "TLS", 502),
    (110, "CA_AS_LEAF", "TLS", 502),
    (111, "KEY_USAGE", "TLS", 502),
    (112, "EXTENDED_KEY_USAGE", "TLS", 502),
    (113, "WEAK_KEY", "TLS", 502),
    (114, "MALFORMED_CERTIFICATE", "TLS", 502),
    (115, "LONG_CHAIN", "TLS", 502),
    (116, "CRL_UNUSABLE", "TLS", 502),
    (117, "NAME_CONSTRAINT", "TLS", 502),
    (118, "UNEXPECTED_SERVER", "TLS", 502),
    (119, "BAD_ISSUER", "TLS", 502),
    (120, "NOT_TLS", "TLS", 502),
    (121, "TLS_VERSION", "TLS", 502),
    (122, "HANDSHAKE_TIMEOUT", "TLS", 504),
    (123, "HANDSHAKE_CLOSED", "TLS", 502),
    (124, "OWN_CERTIFICATE_REFUSED", "TLS", 502),
    (125, "HANDSHAKE_FAILED", "TLS", 502),
    (126, "TLS_BROKEN", "TLS", 502),
    (201, "UNKNOWN_PEER", "DENY", 403),
    (202, "NOT_ALLOWED", "DENY", 403),
    (203, "DENIED", "DENY", 403),
    (301, "BAD_REQUEST", "BAD", 400),
    (302, "BAD_FRAMING", "BAD", 400),
    (303, "HEAD_TOO_LARGE", "LIMIT", 431),
    (304, "BODY_TOO_LARGE", "LIMIT", 413),
    (305, "BAD_PATH", "BAD", 400),
    (306, "BAD_HOST", "BAD", 400),
    (307, "NO_CONNECT", "BAD", 501),
    (308, "HEAD_TIMEOUT", "TO", 408),
    (309, "BAD_VERSION", "BAD", 505),
    (310, "BODY_TIMEOUT", "TO", 408),
    (311, "TOTAL_TIMEOUT", "UT", 504),
    (312, "BAD_EXPECT", "BAD", 417),
    (401, "UPSTREAM_UNREACHABLE", "UF", 503),
    (402, "UPSTREAM_CONNECT_TIMEOUT", "UT", 504),
    (403, "UPSTREAM_CLOSED", "UC", 502),
    (404, "UPSTREAM_PROTOCOL", "UP", 502),
    (405, "UPSTREAM_TIMEOUT", "UT", 504),
    (406, "UNASKED_UPGRADE", "UP", 502),
    (501, "CONNECTION_LIMIT", "LIMIT", 503),
    (502, "HANDSHAKE_LIMIT", "LIMIT", 0),
    (503, "IDLE", "IDLE", 0),
    (504, "DRAINING", "DRAIN", 503),
    (505, "LIFETIME", "LIFE", 0),
    (506, "CLIENT_CLOSED", "DC", 0),
    (507, "INTERNAL", "BUG", 500),
]
FLAGS = {
    "TLS",
    "DENY",
    "BAD",
    "LIMIT",
    "TO",
    "UT",
    "UF",
    "UC",
    "UP",
    "IDLE",
    "DRAIN",
    "LIFE",
    "DC",
    "BUG",
}
every_reason = pytest.mark.parametrize("reason", ALL.values(), ids=ALL.keys())


def named() -> dict[str, Reason]:
    return {name: value for name, value in vars(reasons).items() if isinstance(value, Reason)}


def test_the_table_is_the_golden_one() -> None:
    found = [
        (int(reason.code.removeprefix("MTLS-E")), name, reason.flag, reason.status)
        for name, reason in named().items()
    ]
    assert sorted(found) == GOLDEN


def test_codes_are_unique_and_every_reason_is_in_the_table() -> None:
    assert {code: reason.code for code, reason in ALL.items()} == {code: code for code in ALL}
    assert sorted(named().values(), key=lambda reason: reason.code) == list(ALL.values())


@every_reason
def test_every_field_is_for_its_reader(reason: Reason) -> None:
    assert reason.flag in FLAGS
    assert reason.status == 0 or HTTPStatus(reason.status) >= 400
    for text in (reason.title, reason.fix):
        assert text == text.strip()
        assert text.isascii()
        assert text.isprintable()
        assert not text.endswith(".")
    assert reason.title[0].islower() or reason.title.startswith(("HTTP", "CONNECT", "TLS"))
    assert len(reason.title) < 100  # one line


@every_reason
def test_the_hundreds_say_where_it_happened(reason: Reason) -> None:
    place = reason.code[6]
    assert place in "12345"
    assert (place == "1") == (reason.flag == "TLS")
    assert reason.status or place == "5"  # all before that may have to be an answer
    assert (place == "2") == (reason.flag == "DENY") == (reason.status == 403)


def test_a_number_cannot_be_used_twice() -> None:
    with pytest.raises(AssertionError):
        reasons._reason(201, "DENY", 403, "again", "never")
    assert ALL["MTLS-E201"] is reasons.UNKNOWN_PEER


def test_reasons_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        reasons.DENIED.status = 200  # type: ignore[misc]  # what is refused here is just that
