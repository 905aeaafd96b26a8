"""What is refused, with which status and code, and what becomes of the connection."""

import pytest

from sidecar.core.ids import Denial, Permit
from sidecar.core.path import canonical
from sidecar.core.reasons import NOT_ALLOWED
from sidecar.core.request import Limits
from tests.core.conversation import PERMIT, Talk, read_requests

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"

# Everything that two parsers could read differently (threats 18, 19, 24), by the code it gets.
AMBIGUOUS = {
    "CL and TE": (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "E301"),
    "TE and CL": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "E301"),
    "two CL": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "E301"),
    "CL list": (POST + b"Content-Length: 3, 3\r\n\r\nabc", "E301"),
    "CL plus": (POST + b"Content-Length: +3\r\n\r\nabc", "E301"),
    "CL underscore": (POST + b"Content-Length: 1_0\r\n\r\nabc", "E301"),
    "CL negative": (POST + b"Content-Length: -1\r\n\r\n", "E301"),
    "CL hex": (POST + b"Content-Length: 0x3\r\n\r\nabc", "E301"),
    "CL empty": (POST + b"Content-Length: \r\n\r\n", "E301"),
    "CL huge": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", "E301"),
    "CL 19 digits": (POST + b"Content-Length: 1000000000000000000\r\n\r\n", "E302"),
    "TE unknown": (POST + b"Transfer-Encoding: gzip\r\n\r\n", "E302"),
    "TE list": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "E302"),
    "TE twice": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        None,
    ),
    "TE identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", "E302"),
    "TE in 1.0": (
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        None,
    ),
    "bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", "E301"),
    "obs-fold": (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", "E301"),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "E301"),
    "space before name": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "E301"),
    "NUL in value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "E301"),
    "CR in value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "E301"),
    "no colon": (b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", "E301"),
    "chunk size sign": (POST + b"Transfer-Encoding: chunked\r\n\r\n+2\r\nhi\r\n0\r\n\r\n", "E301"),
    "chunk size 0x": (POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n", "E301"),
    "chunk size space": (POST + b"Transfer-Encoding: chunked\r\n\r\n 2\r\nhi\r\n0\r\n\r\n", "E301"),
    "chunk without CRLF": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhiX0\r\n\r\n",
        "E301",
    ),
    "chunk size LF": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n", "E301"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", "E306"),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "E306"),
    "Host with user": (b"GET / HTTP/1.1\r\nHost: a@localhost\r\n\r\n", "E306"),
    "Host list": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "E306"),
    "Host with path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "E306"),
    "Host with bad port": (b"GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n", "E306"),
    "absolute with user": (b"GET http://u@h/ HTTP/1.1\r\nHost: a\r\n\r\n", "E306"),
    "other scheme": (b"GET ftp://h/ HTTP/1.1\r\nHost: a\r\n\r\n", None),
    "relative target": (b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", None),
    "version 1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "E301"),
    "version 2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "E309"),
    "h2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "E301"),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 8, "E301"),
    "unknown method": (b"FOOBAR / HTTP/1.1\r\nHost: a\r\n\r\n", "E301"),
    "CONNECT": (b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\nearly", "E307"),
    "strange Expect": (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", "E312"),
}


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("name", AMBIGUOUS)
def test_threat_18_ambiguous_requests_are_refused(name: str, chunk: int) -> None:
    data, code = AMBIGUOUS[name]
    talk = Talk().client(data, chunk).client(GET)
    [(status, body)] = talk.answers
    assert 400 <= status <= 599
    assert body.decode().startswith(talk.code)
    if code is not None:
        assert talk.code == f"MTLS-{code}"
    assert b"connection: close" in talk.to_client
    # What was refused did not get there, and neither did anything after it.
    assert not talk.to_upstream.endswith(b"0\r\n\r\n")
    assert b"GET / HTTP/1.1\r\nhost: a" not in talk.to_upstream


def test_threat_18_requests_before_the_ambiguous_one_are_served() -> None:
    talk = Talk().client(GET + AMBIGUOUS["two Hosts"][0]).upstream(OK)
    assert [status for status, _ in talk.answers] == [200, 400]
    assert len(read_requests(talk.to_upstream)) == 1


# --- limits, at 0, 1 and the edge ---


def head_of(size: int) -> bytes:
    """A request whose head counts as exactly `size` bytes: its fields and its target."""
    rest = len("/") + len("Host: a\r\n") + len("X: \r\n")
    return b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * (size - rest))


@pytest.mark.parametrize("limit", [256, 20_000, 65_536])
@pytest.mark.parametrize("chunk", [0, 100])
def test_head_bytes_at_the_edge(limit: int, chunk: int) -> None:
    limits = Limits(head_bytes=limit)
    fits = Talk(limits=limits).client(head_of(limit), chunk).upstream(OK)
    assert fits.answers == [(200, b"hello")]
    over = Talk(limits=limits).client(head_of(limit + 1), chunk)
    assert over.answers[0][0] == 431
    assert over.code == "MTLS-E303"


def test_a_head_without_end_is_cut_early() -> None:
    talk = Talk(limits=Limits(head_bytes=1024))
    talk.client(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    for _ in range(100):
        talk.client(b"x" * 1000)
    assert talk.answers[0][0] == 431
    assert talk.records[0].reason is not None
    assert len(talk.records) == 1


@pytest.mark.parametrize(("fields", "status"), [(1, 200), (2, 200), (3, 431)])
def test_number_of_fields_at_the_edge(fields: int, status: int) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * (fields - 1) + b"\r\n"
    talk = Talk(limits=Limits(fields=2)).client(head)
    if status == 200:
        talk.upstream(OK)
    assert talk.answers[0][0] == status


@pytest.mark.parametrize(("size", "status"), [(0, 200), (1, 200), (10, 200), (11, 413)])
@pytest.mark.parametrize("chunked", [True, False])
def test_body_bytes_at_the_edge(size: int, status: int, chunked: bool) -> None:
    if chunked:
        pieces = b"1\r\nx\r\n" * size + b"0\r\n\r\n"
        data = POST + b"Transfer-Encoding: chunked\r\n\r\n" + pieces
    else:
        data = POST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size
    talk = Talk(limits=Limits(body_bytes=10)).client(data)
    if status == 200:
        talk.upstream(OK)
    assert talk.answers[0][0] == status
    assert talk.code == ("-" if status == 200 else "MTLS-E304")


def test_no_body_limit_is_the_default() -> None:
    talk = Talk().client(POST + b"Content-Length: 1000000\r\n\r\n")
    talk.client(b"x" * 1_000_000).upstream(OK)
    assert talk.answers == [(200, b"hello")]


# --- policy ---


def only_public(method: str, path: str) -> Permit | Denial:
    return PERMIT if path == "/public" else Denial(NOT_ALLOWED, "-")


def test_policy_allows_and_its_twin_denies() -> None:
    talk = Talk(authorize=only_public)
    talk.client(b"GET /public?x HTTP/1.1\r\nHost: a\r\n\r\n").upstream(OK)
    talk.client(b"GET /private HTTP/1.1\r\nHost: a\r\n\r\n")
    talk.client(b"GET /public HTTP/1.1\r\nHost: a\r\n\r\n").upstream(OK)
    assert [status for status, _ in talk.answers] == [200, 403, 200]
    assert [r[1] for r in read_requests(talk.to_upstream)] == ["/public?x", "/public"]
    assert [r.rule for r in talk.records] == ["allow[0]", "-", "allow[0]"]
    assert b"x-sidecar-reason: MTLS-E202\r\n" in talk.to_client


def test_a_denied_request_with_a_body_ends_the_connection() -> None:
    talk = Talk(authorize=only_public)
    talk.client(b"POST /private HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nabc")
    talk.client(b"GET /public HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [status for status, _ in talk.answers] == [403]
    assert talk.log == ["linger"]
    assert talk.to_upstream == b""


def test_a_denied_head_gets_no_body() -> None:
    talk = Talk(authorize=only_public).client(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert talk.to_client.endswith(b"\r\n\r\n")
    assert b"content-length: " in talk.to_client


@pytest.mark.parametrize("path", ["/public/../private", "/%2e%2e/public", "//public", "/public;x"])
def test_threat_23_path_rules_ask_for_canonical_paths(path: str) -> None:
    strict = Talk(authorize=only_public, target_rule=canonical)
    strict.client(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert strict.code == "MTLS-E305"
    assert strict.to_upstream == b""


def test_threat_23_policy_and_application_see_the_same_path() -> None:
    seen: list[str] = []

    def spy(method: str, path: str) -> Permit:
        seen.append(path)
        return PERMIT

    talk = Talk(authorize=spy, target_rule=canonical)
    talk.client(b"GET /%61dmin/%7euser?q=%2f HTTP/1.1\r\nHost: a\r\n\r\n")
    assert read_requests(talk.to_upstream)[0][1] == "/admin/~user?q=%2f"
    assert seen == ["/admin/~user"]


def test_the_refusal_after_a_refusal_is_silence() -> None:
    talk = Talk().client(AMBIGUOUS["two CL"][0])
    before = talk.to_client
    talk.client(GET).client_closes()
    assert talk.to_client == before
    assert len(talk.records) == 1
