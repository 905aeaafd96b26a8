"""One record is one line, whatever is in it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import reasons
from sidecar.core.record import Record
from sidecar.telemetry import accesslog
from sidecar.telemetry.accesslog import AccessLog, render, timestamp
from tests.telemetry.pipes import Pipe
from tests.telemetry.records import EPOCH, HOSTILE, KEYS, TEXTS, exchange, texts, tunnel

LONGEST_LINE = 16 << 10  # where container runtimes split one


def test_exchange_has_the_keys_of_the_contract_in_order() -> None:
    line = json.loads(render(exchange()))
    assert tuple(line) == KEYS
    assert line == {
        "ts": "2025-11-23T22:03:55.250Z",
        "kind": "http",
        "direction": "inbound",
        "listener": "web",
        "peer": "spiffe://demo.local/ns/shop/sa/frontend",
        "local": "spiffe://demo.local/ns/shop/sa/web",
        "method": "GET",
        "path": "/api/items/4711?limit=20",
        "protocol": "HTTP/1.1",
        "status": 200,
        "flags": "-",
        "rule": "allow[0]",
        "bytes_in": 12,
        "bytes_out": 3456,
        "duration_ms": 1.235,
        "upstream_ms": 0.9,
        "upstream": "127.0.0.1:8080",
        "request_id": "2f1b7b0e-7d0c-4f6c-9d7d-1c2f3a4b5c6d",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "code": "-",
    }


def test_absent_text_is_a_dash_and_an_absent_number_null() -> None:
    line = json.loads(render(Record("tcp", "outbound", "orders", EPOCH)))
    assert tuple(line) == KEYS
    assert [line[key] for key in TEXTS] == ["-"] * len(TEXTS)
    assert (line["rule"], line["flags"], line["code"]) == ("-", "-", "-")
    assert (line["status"], line["upstream_ms"]) == (None, None)
    assert (line["bytes_in"], line["duration_ms"]) == (0, 0)


def test_upstream_that_answered_at_once_is_zero_and_not_null() -> None:
    assert json.loads(render(exchange(upstream_s=0.0)))["upstream_ms"] == 0


@pytest.mark.parametrize("reason", reasons.ALL.values(), ids=lambda reason: reason.code)
def test_every_reason_shows_its_flag_and_code(reason: reasons.Reason) -> None:
    line = json.loads(render(tunnel(reason)))
    assert (line["flags"], line["code"]) == (reason.flag, reason.code)


@pytest.mark.parametrize(
    ("epoch_s", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (0.999, "1970-01-01T00:00:00.999Z"),
        (0.9999999, "1970-01-01T00:00:00.999Z"),
        (951_782_400.5, "2000-02-29T00:00:00.500Z"),
        (4_102_444_799.0, "2099-12-31T23:59:59.000Z"),
    ],
)
def test_timestamp(epoch_s: float, text: str) -> None:
    assert timestamp(epoch_s) == text


def test_timestamps_that_jump_about_are_each_their_own() -> None:
    seconds = [*range(200), *range(199, -1, -1)]
    expected = [f"1970-01-01T00:{s // 60:02}:{s % 60:02}.000Z" for s in seconds]
    assert [timestamp(second) for second in seconds] == expected
    assert len(accesslog._seconds) <= 64


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("key", TEXTS)
def test_threat_29_log_injection(key: str, text: str) -> None:
    """No text ends a line, forges a key or reaches a terminal as anything but text."""
    line = render(exchange(**{key: text}))
    assert re.fullmatch(rb"[ -~\x7f]+", line)
    assert len(line) < LONGEST_LINE
    assert tuple(json.loads(line)) == KEYS
    assert json.loads(line)["kind"] == "http"


@given(st.fixed_dictionaries(dict.fromkeys(TEXTS, texts)))
def test_threat_29_any_texts_at_once(changes: dict[str, str]) -> None:
    """One record is one line of ASCII that parses back to the contract's keys."""
    line = render(exchange(**changes))
    assert re.fullmatch(rb"[ -~\x7f]+", line)
    parsed = json.loads(line)
    assert tuple(parsed) == KEYS
    for key, text in changes.items():
        if len(text) <= 64 and not any("\ud800" <= char <= "\udfff" for char in text):
            assert parsed[key] == (text or "-")


def test_line_stays_short_when_everything_that_a_peer_chooses_is_long() -> None:
    spiffe_id = "spiffe://demo.local/" + "a" * 2028
    line = render(
        exchange(
            peer=spiffe_id, local=spiffe_id, path="\x01" * 65536, method="A" * 65536,
            request_id="\xff" * 65536, trace_id="\x01" * 65536, upstream="a" * 253 + ":65535",
        )
    )  # fmt: skip
    assert len(line) < LONGEST_LINE
    assert json.loads(line)["peer"] == spiffe_id


@pytest.mark.parametrize(("length", "cut"), [(1023, False), (1024, False), (1025, True)])
def test_long_path_is_cut_and_marked(length: int, cut: bool) -> None:
    # only a line that is long as a whole is looked at, so something else makes it so
    path = json.loads(render(exchange(path="/" * length, peer="p" * 5000)))["path"]
    assert path == ("/" * 1024 + f"...[{length} bytes]" if cut else "/" * length)


def test_lines_reach_the_reader_in_order() -> None:
    with Pipe(pages=16) as pipe:
        log = AccessLog(pipe.fd)
        for number in range(100):
            log.write(exchange(bytes_in=number))
        log.close()
        assert [json.loads(line)["bytes_in"] for line in pipe.rest()] == list(range(100))
    assert log.dropped == 0


def test_a_record_after_the_end_is_counted_as_dropped() -> None:
    with Pipe() as pipe:
        log = AccessLog(pipe.fd)
        log.close()
        log.write(exchange())
        assert log.dropped == 1
        assert pipe.rest() == []
