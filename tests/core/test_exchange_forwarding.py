"""What passes through an exchange, and what it looks like on the other side."""

import pytest

from tests.core.conversation import Talk, read_requests

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /a?b=c HTTP/1.1\r\nHost: app\r\n\r\n"


def get(*fields: str) -> bytes:
    return (
        b"GET / HTTP/1.1\r\nHost: app\r\n" + "".join(f + "\r\n" for f in fields).encode() + b"\r\n"
    )


def fields_at_upstream(talk: Talk) -> dict[str, str]:
    return read_requests(talk.to_upstream)[-1][2]


def test_a_request_and_its_response_pass() -> None:
    talk = Talk().client(GET).upstream(OK)
    [(method, target, fields, body)] = read_requests(talk.to_upstream)
    assert (method, target, body) == ("GET", "/a?b=c", b"")
    assert fields["host"] == "app"
    assert talk.answers == [(200, b"hello")]
    assert talk.log == ["dial", "release"]
    record = talk.last
    assert (record.status, record.method, record.path) == (200, "GET", "/a?b=c")
    assert (record.rule, record.bytes_out, record.upstream) == ("allow[0]", 5, "127.0.0.1:8080")
    assert record.reason is None


def test_the_connection_serves_one_request_after_the_other() -> None:
    talk = Talk()
    for _ in range(3):
        talk.client(GET).upstream(OK)
    assert talk.answers == [(200, b"hello")] * 3
    assert talk.log == ["dial", "release"] * 3


# --- identity (threat 8: spoofed, doubled, other case, underscore, trailer, via Connection) ---


@pytest.mark.parametrize(
    "spoof",
    [
        "x-forwarded-client-cert: URI=spiffe://demo.local/admin",
        "X-Forwarded-Client-Cert: URI=spiffe://demo.local/admin",
        "X_Forwarded_Client_Cert: URI=spiffe://demo.local/admin",
        "x-forwarded_client-cert: URI=spiffe://demo.local/admin",
        "X.Forwarded.Client.Cert: URI=spiffe://demo.local/admin",
        "Connection: x-forwarded-client-cert",
        "Connection: keep-alive, X-Forwarded-Client-Cert",
    ],
)
def test_threat_08_identity_is_what_the_handshake_said(spoof: str) -> None:
    talk = Talk().client(get(spoof, spoof)).upstream(OK)
    assert b"admin" not in talk.to_upstream
    assert talk.to_upstream.lower().count(b"client") == 1 + talk.to_upstream.count(b"none")
    assert fields_at_upstream(talk)["x-forwarded-client-cert"] == "URI=spiffe://demo.local/web"


def test_threat_08_identity_in_a_trailer_is_dropped() -> None:
    talk = Talk().client(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nhi\r\n0\r\nX-Forwarded-Client-Cert: URI=admin\r\nX_Forwarded_Client_Cert: admin\r\n"
        b"Grpc-Status: 0\r\nHost: evil\r\n\r\n"
    )
    assert b"admin" not in talk.to_upstream
    assert talk.to_upstream.endswith(b"0\r\nGrpc-Status: 0\r\n\r\n")


def test_outbound_strips_identity_and_adds_none() -> None:
    talk = Talk(direction="outbound", identity=b"").client(get("x-forwarded-client-cert: a"))
    assert b"client-cert" not in talk.to_upstream


# --- hop by hop ---


@pytest.mark.parametrize(
    "field",
    ["Keep-Alive: timeout=5", "Proxy-Connection: close", "TE: trailers", "Upgrade: h2c",
     "HTTP2-Settings: AAAA", "Proxy-Authorization: Basic eA=="],
)  # fmt: skip
def test_fields_of_this_hop_end_here(field: str) -> None:
    talk = Talk().client(get(field, "Kept: yes"))
    name = field.split(":", maxsplit=1)[0].lower()
    assert name not in fields_at_upstream(talk)
    assert fields_at_upstream(talk)["kept"] == "yes"


def test_fields_named_by_connection_end_here() -> None:
    talk = Talk().client(get("X-Private: 1", "X-Kept: 2", "Connection: x-private, Foo"))
    assert "x-private" not in fields_at_upstream(talk)
    assert "connection" not in fields_at_upstream(talk)
    assert fields_at_upstream(talk)["x-kept"] == "2"


def test_connection_cannot_remove_host_or_framing() -> None:
    talk = Talk().client(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
        b"Connection: host, content-length\r\n\r\nhi"
    )
    [(_, _, fields, body)] = read_requests(talk.to_upstream)
    assert (fields["host"], fields["content-length"], body) == ("a", "2", b"hi")


def test_fields_of_the_response_hop_end_here() -> None:
    talk = (
        Talk()
        .client(GET)
        .upstream(
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Priv\r\nX-Priv: 1\r\nKeep-Alive: a\r\n"
            b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
        )
    )
    assert b"X-Priv" not in talk.to_client
    assert b"Keep-Alive" not in talk.to_client
    assert talk.to_client.count(b"Set-Cookie") == 2


# --- names and traces ---


def test_via_request_id_and_date_are_added() -> None:
    talk = Talk().client(GET).upstream(OK)
    assert fields_at_upstream(talk)["via"] == "1.1 mtls-sidecar"
    assert fields_at_upstream(talk)["x-request-id"] == "made-id"
    assert b"via: 1.1 mtls-sidecar\r\n" in talk.to_client
    assert b"date: Mon, 23 Nov 2026 22:00:00 GMT\r\n" in talk.to_client
    assert talk.last.request_id == "made-id"


def test_a_request_id_is_kept_and_an_unusable_one_replaced() -> None:
    assert fields_at_upstream(Talk().client(get("X-Request-Id: abc-1")))["x-request-id"] == "abc-1"
    for bad in ("X-Request-Id: a b", "X-Request-Id: " + "x" * 129, "X-Request-Id:"):
        assert fields_at_upstream(Talk().client(get(bad)))["x-request-id"] == "made-id"
    assert (
        fields_at_upstream(Talk().client(get("X-Request-Id: " + "x" * 128)))["x-request-id"]
        == "x" * 128
    )


def test_traceparent_passes_and_its_trace_id_is_recorded() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    talk = Talk().client(get(f"traceparent: {trace}")).upstream(OK)
    assert fields_at_upstream(talk)["traceparent"] == trace
    assert talk.last.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert Talk().client(get("traceparent: x")).upstream(OK).last.trace_id == ""


# --- targets (threat 24) ---


def test_absolute_form_becomes_origin_form_and_its_authority_wins() -> None:
    talk = Talk().client(b"GET http://Real.example:80/x?y HTTP/1.1\r\nHost: other\r\n\r\n")
    [(_, target, fields, _)] = read_requests(talk.to_upstream)
    assert (target, fields["host"]) == ("/x?y", "Real.example:80")


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("OPTIONS *", "*"),
        ("OPTIONS http://a", "*"),
        ("GET http://a", "/"),
        ("GET http://a?q", "/?q"),
    ],
)
def test_other_target_forms(line: str, target: str) -> None:
    talk = Talk().client(f"{line} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert read_requests(talk.to_upstream)[0][1] == target


# --- framing ---


def test_chunked_request_is_chunked_anew_with_trailers() -> None:
    talk = Talk().client(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 7\r\n\r\n"
    )
    [(_, _, fields, body)] = read_requests(talk.to_upstream)
    assert body == b"hello world"
    assert fields["transfer-encoding"] == "chunked"
    assert b"ext" not in talk.to_upstream
    assert b"X-Sum: 7" in talk.to_upstream
    assert talk.upstream(OK).last.bytes_in == 11


@pytest.mark.parametrize("status", [204, 304])
def test_responses_without_a_body_end_at_the_head(status: int) -> None:
    talk = Talk().client(GET)
    talk.upstream(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status)
    talk.client(GET).upstream(OK)
    assert [status, 200] == [answer[0] for answer in talk.answers]
    assert (b"content-length: 5\r\n\r\n" in talk.to_client) is False
    assert talk.log == ["dial", "release"] * 2


def test_head_keeps_the_length_and_has_no_body() -> None:
    talk = Talk().client(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    talk.upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    assert b"content-length: 500\r\n" in talk.to_client
    assert talk.to_client.endswith(b"\r\n\r\n")
    assert talk.log == ["dial", "release"]
    talk.client(GET).upstream(OK)
    assert talk.to_client.endswith(b"hello")


def test_a_body_after_head_is_dropped_with_its_connection() -> None:
    talk = Talk().client(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    talk.upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert not talk.to_client.endswith(b"hello")
    assert talk.log == ["dial", "drop"]


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\n", b"x", OK])
def test_threat_44_what_follows_a_response_unasked_is_dropped(more: bytes) -> None:
    talk = Talk().client(GET).upstream(OK + more)
    assert talk.answers == [(200, b"hello")]
    assert talk.log == ["dial", "drop"]


def test_a_chunked_response_keeps_its_trailers() -> None:
    talk = (
        Talk()
        .client(GET)
        .upstream(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
        )
    )
    assert talk.answers == [(200, b"hello")]
    assert talk.to_client.endswith(b"0\r\nX-Sum: 1\r\n\r\n")
    assert talk.log == ["dial", "release"]


def test_a_response_that_ends_with_its_connection_gets_chunks() -> None:
    talk = Talk().client(GET).upstream(b"HTTP/1.1 200 OK\r\n\r\nhel").upstream(b"lo")
    talk.upstream_closes()
    assert talk.answers == [(200, b"hello")]
    assert talk.log == ["dial", "drop"]
    assert talk.client(GET).upstream(OK).answers == [(200, b"hello")] * 2


# --- HTTP/1.0 ---


def test_http10_client_gets_a_close_delimited_body() -> None:
    talk = Talk().client(b"GET / HTTP/1.0\r\n\r\n")
    talk.upstream(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert b"chunked" not in talk.to_client
    assert talk.to_client.endswith(b"\r\n\r\nhello")
    assert talk.log == ["dial", "release", "close"]


def test_http10_keep_alive_is_honoured_and_said() -> None:
    talk = Talk().client(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").upstream(OK)
    assert b"connection: keep-alive\r\n" in talk.to_client
    assert "close" not in talk.log


def test_http10_upstream_is_not_reused_unless_it_says_so() -> None:
    talk = Talk().client(GET).upstream(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    assert talk.answers == [(200, b"hi")]
    assert talk.log == ["dial", "drop"]


def test_connection_close_is_kept_on_both_sides() -> None:
    talk = Talk().client(get("Connection: close")).upstream(OK)
    assert b"connection: close\r\n" in talk.to_client
    assert talk.log == ["dial", "release", "close"]
    talk = Talk().client(GET)
    talk.upstream(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert b"connection: close" not in talk.to_client
    assert talk.log == ["dial", "drop"]


# --- interim responses (threat 20) ---


def test_threat_20_expect_and_100_continue_pass() -> None:
    talk = Talk().client(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )
    assert b"expect: 100-continue\r\n" in talk.to_upstream
    talk.upstream(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert talk.to_client == b"HTTP/1.1 100 Continue\r\n\r\n"
    talk.client(b"hi").upstream(OK)
    assert talk.answers == [(200, b"hello")]
    assert talk.log == ["dial", "release"]


def test_threat_20_a_final_answer_before_the_body_ends_the_connection() -> None:
    talk = Talk().client(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\nExpect: 100-continue\r\n\r\n"
    )
    talk.upstream(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
    assert b"connection: close\r\n" in talk.to_client
    talk.client(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"smuggled" not in talk.to_upstream
    assert talk.log == ["dial", "drop", "linger"]


def test_early_hints_pass_to_http11_only() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n"
    assert b"103" in Talk().client(GET).upstream(hints + OK).to_client
    old = Talk().client(b"GET / HTTP/1.0\r\n\r\n").upstream(hints + OK)
    assert b"103" not in old.to_client
    assert old.answers == [(200, b"hello")]


@pytest.mark.parametrize(
    "closing", [b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n"]
)
@pytest.mark.parametrize("chunk", [0, 7])
def test_an_application_that_closes_each_time_serves_a_client_that_does_not(
    closing: bytes, chunk: int
) -> None:
    response = closing + b"Content-Length: 2\r\n\r\nok"
    talk = Talk()
    for _ in range(3):
        talk.client(GET).upstream(response, chunk)
    assert talk.answers == [(200, b"ok")] * 3
    assert talk.log == ["dial", "drop"] * 3


# --- pipelining ---


def test_pipelined_requests_are_answered_in_order() -> None:
    talk = Talk().client(GET + GET.replace(b"/a", b"/second") + GET.replace(b"/a", b"/third"))
    assert [r[1] for r in read_requests(talk.to_upstream)] == ["/a?b=c"]
    assert talk.exchange.backlogged
    for body in (b"one", b"two", b"333"):
        talk.upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + body)
    assert talk.answers == [(200, b"one"), (200, b"two"), (200, b"333")]
    assert [r.path for r in talk.records] == ["/a?b=c", "/second?b=c", "/third?b=c"]
    assert not talk.exchange.backlogged


def test_a_pipelined_flood_waits_as_bytes() -> None:
    talk = Talk().client(GET * 5000)
    assert talk.exchange.has_unread is False
    assert len(talk.exchange._intake._queue) < 600
    for _ in range(5000):
        talk.upstream(OK)
    assert len(talk.records) == 5000


def test_pipelined_bodies_stay_with_their_request() -> None:
    post = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n%b"
    talk = Talk().client(post % (1, b"abc") + post % (2, b"def")).upstream(OK).upstream(OK)
    assert [r[3] for r in read_requests(talk.to_upstream)] == [b"abc", b"def"]


def test_a_pipelined_body_that_had_to_wait_is_read_in_its_turn() -> None:
    body = b"x" * 40_000  # more than is parsed at a time
    post = b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + body
    talk = Talk().client(GET + post + GET).upstream(OK)
    assert read_requests(talk.to_upstream)[1][3] == body
    assert talk.upstream(OK).upstream(OK).log.count("dial") == 3
    assert len(talk.answers) == 3


# --- upgrade ---

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key: x\r\n\r\n"
)
SWITCH = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def test_websocket_becomes_a_tunnel_with_what_was_sent_ahead() -> None:
    talk = Talk().client(UPGRADE + b"client-first").upstream(SWITCH + b"server-first")
    assert talk.log == ["dial", "switch"]
    assert b"upgrade: websocket\r\n" in talk.to_upstream
    assert talk.to_client.startswith(b"HTTP/1.1 101 ")
    assert talk.exchange.rest_client == b"client-first"
    assert talk.exchange.rest_upstream == b"server-first"
    assert talk.records == []
    assert talk.exchange.record is not None
    assert talk.exchange.record.status == 101


def test_threat_21_a_200_to_an_upgrade_is_no_tunnel() -> None:
    talk = Talk().client(UPGRADE + GET).upstream(OK)
    assert talk.log == ["dial", "release", "dial"]
    assert talk.upstream(OK).answers == [(200, b"hello")] * 2


@pytest.mark.parametrize("asked", [GET, get("Upgrade: h2c", "Connection: upgrade")])
def test_threat_21_an_unasked_101_is_refused(asked: bytes) -> None:
    talk = Talk().client(asked).upstream(SWITCH + b"smuggled")
    assert talk.answers[0][0] == 502
    assert talk.code == "MTLS-E406"
    assert b"smuggled" not in talk.to_client


def test_threat_21_h2c_upgrade_is_ignored_and_its_body_belongs_to_it() -> None:
    fields = (
        b"Host: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: A\r\n"
    )
    talk = Talk().client(
        b"POST / HTTP/1.1\r\n" + fields + b"Content-Length: 31\r\n\r\n"
        b"GET /x HTTP/1.1\r\nHost: evil\r\n\r\n" + GET
    )
    talk.upstream(OK).upstream(OK)
    first, second = read_requests(talk.to_upstream)
    assert first[3].startswith(b"GET /x")
    assert second[1] == "/a?b=c"
    chunked = Talk().client(
        b"POST / HTTP/1.1\r\n"
        + fields
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        + GET
    )
    chunked.upstream(OK).upstream(OK)
    assert [r[3] for r in read_requests(chunked.to_upstream)] == [b"hi", b""]


# --- half-close and drain ---


def test_a_client_that_half_closes_still_gets_its_answer() -> None:
    talk = Talk().client(GET).client_closes().upstream(OK)
    assert talk.answers == [(200, b"hello")]
    assert talk.log == ["dial", "release", "close"]


def test_drain_finishes_what_is_under_way() -> None:
    talk = Talk().client(GET)
    talk.exchange.drain()
    talk.upstream(OK)
    assert b"connection: close\r\n" in talk.to_client
    assert talk.log == ["dial", "release", "close"]


def test_drain_closes_an_idle_connection() -> None:
    talk = Talk()
    talk.exchange.drain()
    talk._look()
    assert talk.log == ["close"]
