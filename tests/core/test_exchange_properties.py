"""Properties of the exchange: how bytes are cut never matters, and nothing crashes it."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.core.conversation import Talk, read_requests, read_responses

TOKENS = st.text("abcXYZ019-_", min_size=1, max_size=8)
VALUES = st.text('abc XYZ,;="019-_/', max_size=12).map(str.strip)
METHODS = st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A well-formed request, with any framing."""
    fields = draw(st.lists(st.tuples(TOKENS.map(lambda t: "x-" + t), VALUES), max_size=5))
    body = draw(st.binary(max_size=40))
    head = f"{draw(METHODS)} /{draw(TOKENS)} HTTP/1.1\r\nHost: a\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields)
    match draw(st.sampled_from(["none", "length", "chunked"])):
        case "none":
            return head.encode() + b"\r\n"
        case "length":
            return head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        case _:
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in _cut(body, 7) if c)
            return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


def run(stream: bytes, cuts: list[int], answers: int) -> Talk:
    """Send `stream` cut at `cuts`; answer every request as it arrives."""
    talk = Talk()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for begin, end in pairwise(edges):
        if begin < end:
            talk.client(stream[begin:end])
    for number in range(answers):
        talk.upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%03d" % number)
    return talk


@given(st.lists(requests(), min_size=1, max_size=4), st.lists(st.integers(0, 4000), max_size=12))
def test_any_chunking_gives_the_same_bytes(parts: list[bytes], cuts: list[int]) -> None:
    """However the requests are cut into reads, both sides get byte for byte the same messages."""
    parts = [part for part in parts if not part.startswith(b"HEAD")] or [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    ]
    whole = run(b"".join(parts), [], len(parts))
    cut = run(b"".join(parts), cuts, len(parts))
    assert read_requests(cut.to_upstream) == read_requests(whole.to_upstream)
    assert cut.to_client == whole.to_client
    assert [r.path for r in cut.records] == [r.path for r in whole.records]
    assert len(read_requests(whole.to_upstream)) == len(parts)
    assert read_responses(whole.to_client) == [(200, b"%03d" % n) for n in range(len(parts))]


@given(requests())
def test_what_is_emitted_reads_back_as_exactly_one_request(data: bytes) -> None:
    """An independent parser finds one request in the output, with the body that went in."""
    original = read_requests(data)[0]
    found = read_requests(Talk().client(data).to_upstream)
    assert [(f[0], f[1], f[3]) for f in found] == [(original[0], original[1], original[3])]


@given(st.lists(st.binary(max_size=60), max_size=6), st.lists(st.binary(max_size=60), max_size=6))
def test_garbage_on_both_sides_is_an_answer_or_an_abort(
    client: list[bytes], upstream: list[bytes]
) -> None:
    """Any bytes from anyone: no exception, and everything begun is recorded."""
    talk = Talk()
    for piece in client:
        talk.client(piece)
    for piece in upstream:
        talk.upstream(piece)
    talk.exchange.client_lost(talk.now)
    talk._look()
    assert talk.exchange.phase == "closed"
    assert talk.exchange.record is None


FRAGMENTS = st.sampled_from(
    [
        *(b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b"\n", b"\x00"),
        *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
        *(b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n", b"Expect: 100-continue\r\n"),
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    ]
)
REPLIES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 101 S\r\n", b"\r\n", b"x"),
        *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.0 204 N\r\n\r\n"),
        *(b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n"),
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    ]
)
EVENTS = st.one_of(
    FRAGMENTS.map(lambda b: ("client", b)),
    REPLIES.map(lambda b: ("upstream", b)),
    st.sampled_from([("eof", b""), ("gone", b""), ("wait", b""), ("drain", b"")]),
)


@given(st.lists(EVENTS, max_size=30))
def test_any_order_of_events_keeps_the_machine_sound(events: list[tuple[str, bytes]]) -> None:
    """Fragments in any order: each exchange ends at most once, and closed stays closed."""
    talk = Talk()
    for kind, data in events:
        if talk.exchange.phase == "tunnel":
            break
        closed = talk.exchange.phase == "closed"
        _apply(talk, kind, data)
        if closed:
            assert talk.exchange.phase == "closed"
    assert len({id(record) for record in talk.records}) == len(talk.records)
    for record in talk.records:
        assert record.status or record.reason is not None


def _apply(talk: Talk, kind: str, data: bytes) -> None:
    match kind:
        case "client":
            talk.client(data)
        case "upstream":
            talk.upstream(data)
        case "eof":
            talk.client_closes()
        case "gone":
            talk.upstream_closes()
        case "wait":
            talk.wait(100)
        case _:
            talk.exchange.drain()
            talk._look()
