"""HTTP through a pair: every kind of message arrives as it should, on both event loops."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.apps import Script, WebApplication, blob, tcp, website
from tests.e2e.clients import Http, Response, context, request, secure
from tests.e2e.harness import Site, inbound, outbound, spiffe
from tests.e2e.pairs import Pair, start_pair

MIB = 1 << 20
SIZES = [0, 1, MIB, 64 * MIB]


@pytest.fixture(scope="module")
def web() -> Iterator[WebApplication]:
    with website() as application:
        yield application


@pytest.fixture(scope="module")
def pair(site: Site, loop: str, web: WebApplication) -> Pair:
    return start_pair(site, "http", {"web": web}, loop=loop)


@pytest.fixture
def http(pair: Pair) -> Iterator[Http]:
    with pair.http("web") as client:
        yield client


def facts(response: Response) -> dict[str, Any]:
    """What the application says that it got."""
    assert response.status == 200
    return dict(json.loads(response.body))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def chunks(data: bytes, size: int) -> bytes:
    """A body in chunks."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# --- heads ---


def test_head_of_a_request(http: Http, pair: Pair) -> None:
    """What is for one hop ends there, what is for the application arrives, identity is added."""
    log = pair.there.watch()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    seen = facts(
        http.get(
            "/a/path?and=query",
            "x-custom: kept\r\nconnection: x-private\r\nx-private: secret\r\nte: trailers\r\n"
            "keep-alive: timeout=5\r\nx-forwarded-client-cert: URI=spiffe://forged\r\n"
            f"x-request-id: from-client\r\ntraceparent: {trace}\r\n",
        )
    )
    assert (seen["method"], seen["target"]) == ("GET", "/a/path?and=query")
    fields = dict(seen["fields"])
    assert len(seen["fields"]) == len(fields) + 1  # each once, but for the Via of each hop
    assert fields["host"] == "web.test"
    assert fields["x-custom"] == "kept"
    assert not {"x-private", "te", "keep-alive", "connection"} & fields.keys()
    assert f"URI={spiffe('frontend')}" in fields["x-forwarded-client-cert"]
    assert "forged" not in fields["x-forwarded-client-cert"]
    assert fields["x-request-id"] == "from-client"
    assert fields["traceparent"] == trace
    line = log.line(request_id="from-client")
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert line["path"] == "/a/path?and=query"


def test_request_id_is_made_and_unique(http: Http) -> None:
    ids = {dict(facts(http.get("/"))["fields"])["x-request-id"] for _ in range(50)}
    assert len(ids) == 50


def test_keep_alive(http: Http, pair: Pair) -> None:
    """Many requests use one connection on each of the hops."""
    before = pair.there.metric("sidecar_connections_total")
    log = pair.here.watch()
    for number in range(100):
        assert facts(http.get(f"/kept/{number}"))["target"] == f"/kept/{number}"
    assert pair.there.metric("sidecar_connections_total") <= before + 1
    for number in range(100):
        assert log.line(path=f"/kept/{number}")["status"] == 200


def test_connection_close(http: Http) -> None:
    assert http.get("/", "connection: close\r\n").fields["connection"] == "close"
    assert http.is_closed()


# --- bodies ---


@pytest.mark.parametrize("size", SIZES)
def test_body_of_a_request(http: Http, size: int) -> None:
    data = blob(size)
    seen = facts(http.ask(request("POST", "/", "", data) if data else request("POST", "/")))
    assert (seen["length"], seen["sha256"]) == (size, sha256(data))


@pytest.mark.parametrize("size", SIZES)
def test_body_of_a_request_in_chunks(http: Http, size: int) -> None:
    data = blob(size)
    http.send(request("POST", "/", "transfer-encoding: chunked\r\n"))
    sender = threading.Thread(target=http.send, args=(chunks(data, 50_000),))
    sender.start()
    seen = facts(http.answer("POST"))
    sender.join()
    assert (seen["length"], seen["sha256"]) == (size, sha256(data))


@pytest.mark.parametrize("query", ["", "?chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_body_of_a_response(http: Http, pair: Pair, size: int, query: str) -> None:
    log = pair.here.watch()
    answer = http.get(f"/blob/{size}{query}")
    assert sha256(answer.body) == sha256(blob(size))
    assert ("content-length" in answer.fields) == (not query)
    assert log.line(path=f"/blob/{size}{query}")["bytes_out"] == size


def test_trailers_of_a_request(pair: Pair) -> None:
    """Trailers arrive, those apart that steer or name an identity."""
    received: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        data = b""
        while not data.endswith(b"0\r\n") and b"\r\n0\r\n" not in data[:-2]:
            data += connection.recv(1000)
        while not data.endswith(b"\r\n\r\n"):
            data += connection.recv(1000)
        received.append(data)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with tcp(serve) as application:
        pair.add("trailers", "http", application)
        with pair.http("trailers") as http:
            head = request("POST", "/", "transfer-encoding: chunked\r\ntrailer: x-sum\r\n")
            forged = b"x-forwarded-client-cert: URI=forged\r\nhost: forged\r\n"
            answer = http.ask(head + b"3\r\nabc\r\n0\r\nx-sum: 6\r\n" + forged + b"\r\n")
    assert answer.status == 204
    body = received[0].partition(b"\r\n\r\n")[2]
    assert body == b"3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n"


def test_trailers_of_a_response(pair: Pair) -> None:
    script = Script(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\nx-sum: 6\r\nset-cookie: late\r\n\r\n"
    )
    with tcp(script) as application:
        pair.add("late", "http", application)
        with pair.http("late") as http:
            answer = http.get("/")
    assert answer.body == b"abc"
    assert answer.trailers["x-sum"] == "6"


# --- what has no body ---


def test_head(http: Http) -> None:
    answer = http.ask(request("HEAD", "/blob/1000"))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.fields["content-length"] == "1000"
    assert facts(http.get("/after"))["target"] == "/after"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_body(http: Http, status: int) -> None:
    answer = http.get(f"/status/{status}")
    assert (answer.status, answer.body) == (status, b"")
    assert facts(http.get("/after"))["target"] == "/after"


# --- 100-continue ---


def test_expect_continue(http: Http) -> None:
    """The client is told to go on by the application, and only then sends its body."""
    http.send(request("PUT", "/", "expect: 100-continue\r\ncontent-length: 5\r\n"))
    assert http.connection.recv(1000).startswith(b"HTTP/1.1 100 ")
    http.send(b"hello")
    assert facts(http.answer("PUT"))["sha256"] == sha256(b"hello")


def test_expect_continue_denied(pair: Pair, web: WebApplication) -> None:
    """A request that is refused is refused at once, without a 100 and without its body."""
    reading = {"from": ["spiffe://demo.local/**"], "methods": ["GET"]}
    pair.add("readers", "http", web, allow=[reading])
    with pair.http("readers") as http:
        http.send(request("PUT", "/", "expect: 100-continue\r\ncontent-length: 5\r\n"))
        answer = http.answer("PUT")
    assert (answer.status, answer.code, answer.interim) == (403, "MTLS-E202", ())


# --- HTTP/1.0 ---


def test_http10(http: Http) -> None:
    """Without keep-alive the end of the connection ends the response."""
    answer = http.ask(b"GET /blob/5?chunked HTTP/1.0\r\nhost: old.test\r\n\r\n")
    assert answer.body == blob(5)
    assert "transfer-encoding" not in answer.fields
    assert http.is_closed()


def test_http10_keep_alive(http: Http) -> None:
    asked = b"GET /blob/5 HTTP/1.0\r\nhost: old.test\r\nconnection: keep-alive\r\n\r\n"
    for _ in range(2):
        answer = http.ask(asked)
        assert answer.body == blob(5)
        assert answer.fields["connection"] == "keep-alive"


def test_application_of_http10(pair: Pair) -> None:
    """A response that ends with its connection reaches an HTTP/1.1 client in chunks."""
    with tcp(Script(b"HTTP/1.0 200 OK\r\n\r\nold but good")) as application:
        pair.add("old", "http", application)
        with pair.http("old") as http:
            answer = http.get("/")
            assert answer.body == b"old but good"
            assert answer.fields["transfer-encoding"] == "chunked"


@pytest.mark.parametrize(
    "start", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nconnection: close\r\n"]
)
def test_application_that_closes_each_time(pair: Pair, start: bytes) -> None:
    """That is between the application and its sidecar: the client's connection is kept."""
    with tcp(Script(start + b"content-length: 4\r\n\r\nfine")) as application:
        name = f"closing-{start[7:8].decode()}"
        pair.add(name, "http", application)
        with pair.http(name) as http:
            assert [http.get("/").body for _ in range(3)] == [b"fine"] * 3


# --- order and time ---


def test_pipelining(http: Http, pair: Pair) -> None:
    """Forty requests in one write are answered in their order, a failing one among them too."""
    paths = [f"/{number}" for number in range(40)]
    paths[20] = "/status/418"
    http.send(b"".join(request("GET", path) for path in paths))
    answers = [http.answer() for _ in paths]
    assert answers.pop(20).status == 418
    del paths[20]
    assert [facts(answer)["target"] for answer in answers] == paths


def test_pipelining_with_bodies(http: Http) -> None:
    bodies = [blob(size) for size in (1, 70_000, 3, 200_000, 0, 5)]
    asked = b"".join(
        request("POST", "/", "transfer-encoding: chunked\r\n") + chunks(body, 1000)
        for body in bodies
    )
    sender = threading.Thread(target=http.send, args=(asked,))
    sender.start()
    assert [facts(http.answer("POST"))["sha256"] for _ in bodies] == list(map(sha256, bodies))
    sender.join()


def test_client_that_ends_its_direction_gets_its_answer(http: Http) -> None:
    http.send(request("POST", "/", "", b"last words"))
    http.connection.shutdown(socket.SHUT_WR)
    assert facts(http.answer("POST"))["length"] == 10
    assert http.is_closed()


def test_events_come_when_they_are_sent(http: Http, web: WebApplication) -> None:
    """A response is passed on piece by piece: the next is made after the last was read."""
    http.send(request("GET", "/events"))
    assert http.head().status_code == 200
    for number in range(3):
        web.open_gate()
        assert http.piece() == b"data: %d\n\n" % number
    assert http.piece() == b""


# --- UNIX sockets ---


def test_unix_sockets(site: Site, loop: str) -> None:
    """The application listens on a UNIX socket, and so does the outbound side."""
    path = site.folder / f"{loop}.sock"
    front = site.folder / f"{loop}-front.sock"
    with website(path) as application:
        there = site.sidecar("web", {"loop": loop, "inbound": [inbound("web", application)]})
        route = outbound("web", there.port("web"), listen=f"unix:{front}")
        here = site.sidecar("frontend", {"loop": loop, "outbound": [route]})
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(front))
            assert facts(Http(connection).get("/x"))["target"] == "/x"
        with Http(secure(there.port("web"), context(site.leaf("frontend")))) as http:
            assert facts(http.get("/y"))["target"] == "/y"
        here.stop()
        there.stop()


def test_ipv6_and_names(site: Site, web: WebApplication) -> None:
    """Listeners on IPv6, upstreams by name."""
    application = str(web).replace("127.0.0.1", "localhost")
    there = site.sidecar("web", {"inbound": [inbound("web", application, listen="[::1]:0")]})
    assert there.status()["listeners"]["web"].startswith("[::1]:")
    route = outbound("web", 0, connect=[there.status()["listeners"]["web"]])
    here = site.sidecar("frontend", {"outbound": [route]})
    with Pair(here, there).http("web") as http:
        assert facts(http.get("/x"))["target"] == "/x"
    here.stop()
    there.stop()
