"""What the client gets when the application, the network or the clock lets us down."""

import pytest

from sidecar.core.reasons import (
    ALL,
    CONNECTION_LIMIT,
    LIFETIME,
    UPSTREAM_CLOSED,
    UPSTREAM_CONNECT_TIMEOUT,
    UPSTREAM_UNREACHABLE,
    Reason,
)
from sidecar.core.request import Timeouts
from tests.core.conversation import Talk, read_requests

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PUT = b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize(
    ("reason", "status"),
    [(UPSTREAM_UNREACHABLE, 503), (UPSTREAM_CONNECT_TIMEOUT, 504), (CONNECTION_LIMIT, 503)],
)
def test_a_failed_dial_is_answered_with_its_reason(reason: Reason, status: int) -> None:
    talk = Talk(dial=False).client(GET).dial_fails(reason)
    assert talk.answers[0][0] == status
    assert talk.code == reason.code
    assert talk.log == ["dial"]
    assert talk.exchange.phase == "idle"


@pytest.mark.parametrize("code", [code for code in ALL if code[6] in "14"])
def test_a_server_that_is_refused_is_an_answer_whatever_the_reason(code: str) -> None:
    talk = Talk(dial=False).client(GET).dial_fails(ALL[code])
    assert talk.answers[0][0] in {502, 503, 504}
    assert talk.code == code


def test_what_follows_a_failed_dial_is_tried_anew() -> None:
    talk = Talk(dial=False).client(GET + GET).dial_fails(UPSTREAM_UNREACHABLE)
    talk.dialled().upstream(OK)
    assert [status for status, _ in talk.answers] == [503, 200]


def test_nothing_is_sent_before_the_dial_is_done() -> None:
    talk = Talk(dial=False).client(POST + b"hello")
    assert talk.to_upstream == b""
    assert talk.exchange.backlogged
    talk.dialled()
    assert read_requests(talk.to_upstream)[0][3] == b"hello"
    assert not talk.exchange.backlogged


# --- the upstream closes ---


def test_closed_before_any_response() -> None:
    talk = Talk().client(GET).upstream_closes()
    assert talk.answers[0][0] == 502
    assert talk.code == "MTLS-E403"


def test_a_reused_connection_that_dies_is_replaced_once() -> None:
    talk = Talk(reused=True).client(GET).upstream_closes()
    assert talk.log == ["dial", "drop", "dial"]
    assert talk.exchange.fresh
    assert [r[0] for r in read_requests(talk.to_upstream)] == ["GET", "GET"]
    talk.upstream_closes()
    assert talk.answers[0][0] == 502
    assert talk.log == ["dial", "drop", "dial", "drop"]


@pytest.mark.parametrize(
    ("request_bytes", "retried"),
    [(GET, True), (PUT, True), (POST + b"hello", False), (PUT.replace(b"PUT", b"POST"), False)],
)
def test_only_what_is_safe_to_repeat_is_repeated(request_bytes: bytes, retried: bool) -> None:
    talk = Talk(reused=True).client(request_bytes).upstream_closes()
    assert ("dial" in talk.log[1:]) is retried
    assert bool(talk.answers) is not retried


def test_nothing_is_repeated_after_the_first_response_byte() -> None:
    talk = Talk(reused=True).client(GET).upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh")
    talk.upstream_closes()
    assert talk.log == ["dial", "drop", "abort"]


@pytest.mark.parametrize("head", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_a_body_cut_short_is_cut_short_for_the_client(head: bytes) -> None:
    talk = Talk().client(GET).upstream(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n1\r\n" % head)
    talk.upstream_closes()
    assert talk.log[-1] == "abort"
    assert talk.code == "MTLS-E403"
    assert talk.last.status == 200
    assert not talk.to_client.endswith(b"0\r\n\r\n")


def test_a_truncated_stream_is_no_end_of_body() -> None:
    talk = Talk().client(GET).upstream(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    talk.upstream_closes(fault=UPSTREAM_CLOSED)
    assert talk.log[-1] == "abort"
    assert not talk.to_client.endswith(b"0\r\n\r\n")


# --- the upstream talks nonsense (threat 44) ---

NONSENSE = [
    b"garbage\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early\r\n\r\n" * 40,
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
]


@pytest.mark.parametrize("chunk", [0, 7])
@pytest.mark.parametrize("data", NONSENSE, ids=lambda d: d[:40].decode("latin-1"))
def test_threat_44_a_malformed_response_is_never_passed_on(data: bytes, chunk: int) -> None:
    talk = Talk().client(GET).upstream(data, chunk)
    assert talk.answers[-1][0] == 502
    assert talk.code == "MTLS-E404"
    assert talk.log == ["dial", "drop"]
    assert talk.client(GET).upstream(OK).answers[-1] == (200, b"hello")


def test_an_early_answer_ends_upload_and_connection() -> None:
    talk = Talk().client(POST.replace(b"5", b"500")).upstream(OK)
    assert talk.log == ["dial", "drop", "linger"]
    assert talk.exchange.phase == "lingering"
    talk.client(b"x" * 495).wait(2.0)
    assert talk.log[-1] == "close"
    assert talk.last.reason is None


# --- the client leaves ---


def test_a_client_that_leaves_is_recorded_and_its_upstream_dropped() -> None:
    talk = Talk().client(GET)
    talk.exchange.client_lost(talk.now)
    talk._look()
    assert talk.code == "MTLS-E506"
    assert "drop" in talk.log


def test_a_half_sent_request_that_ends_is_aborted() -> None:
    talk = Talk().client(POST + b"he").client_closes()
    assert talk.code == "MTLS-E506"
    assert talk.log == ["dial", "drop", "abort"]


def test_an_idle_client_that_leaves_is_no_event() -> None:
    talk = Talk().client_closes()
    assert talk.records == []
    assert talk.log == ["close"]


# --- time ---

TIMES = Timeouts(head=10, idle=60, response=30, total=0)


def test_an_idle_connection_is_closed_in_silence_at_its_time() -> None:
    talk = Talk(timeouts=TIMES).wait(59.9)
    assert talk.log == []
    talk.wait(0.1)
    assert talk.log == ["close"]
    assert talk.records == []


def test_threat_27_a_slow_head_is_cut_however_often_a_byte_comes() -> None:
    talk = Talk(timeouts=TIMES)
    for byte in GET[:9]:
        talk.client(bytes([byte])).wait(1)
    assert talk.to_client == b""
    talk.client(GET[9:10]).wait(1)
    assert talk.answers[0][0] == 408
    assert talk.code == "MTLS-E308"


def test_threat_27_a_stalled_body_is_cut_and_a_moving_one_is_not() -> None:
    talk = Talk(timeouts=TIMES).client(POST)
    for _ in range(4):
        talk.wait(59).client(b"x")
    assert talk.to_client == b""
    talk.wait(60)
    assert talk.answers[0][0] == 408
    assert talk.code == "MTLS-E310"


def test_a_silent_upstream_is_a_504() -> None:
    talk = Talk(timeouts=TIMES).client(GET).wait(29.9)
    assert talk.to_client == b""
    talk.wait(0.2)
    assert talk.answers[0][0] == 504
    assert talk.code == "MTLS-E405"
    assert talk.log == ["dial", "drop"]


def test_a_stalled_response_is_aborted() -> None:
    talk = Talk(timeouts=TIMES).client(GET).upstream(OK[:-1])
    talk.wait(59).upstream(b"", 0)
    talk.wait(60)
    assert talk.log == ["dial", "drop", "abort"]


@pytest.mark.parametrize("total", [1, 5])
def test_the_total_time_bounds_everything(total: float) -> None:
    talk = Talk(timeouts=Timeouts(head=10, idle=60, response=30, total=total)).client(GET)
    talk.wait(total - 0.1)
    assert talk.to_client == b""
    talk.wait(0.2)
    assert (talk.answers[0][0], talk.code) == (504, "MTLS-E311")


def test_cut_names_its_reason() -> None:
    talk = Talk().client(GET)
    talk.exchange.cut(LIFETIME, talk.now)
    talk._look()
    assert talk.code == LIFETIME.code
    assert talk.log[-1] == "abort"
