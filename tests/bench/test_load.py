"""The load generator counts right answers, and takes no wrong one for a sample."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.bench.app import BODY
from tests.bench.load import REQUEST, LoadError, Pressure, run

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
_SHORT = Pressure(connections=3, warm_up=0.02, seconds=0.05, patience=0.1)

Answer = Callable[[socket.socket], None]


@contextmanager
def _server(answer: Answer) -> Iterator[int]:
    """Accept connections, one thread each, and answer every request on them."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, answer), daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, answer: Answer) -> None:
    try:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_converse, args=(connection, answer), daemon=True).start()
    except OSError:
        return


def _converse(connection: socket.socket, answer: Answer) -> None:
    with connection:
        try:
            while connection.recv(len(REQUEST), socket.MSG_WAITALL) == REQUEST:
                answer(connection)
        except OSError:
            return


def _whole(connection: socket.socket) -> None:
    connection.sendall(_ANSWER)


def _crumbs(connection: socket.socket) -> None:
    for index in range(len(_ANSWER)):
        connection.sendall(_ANSWER[index : index + 1])


def _refusal(connection: socket.socket) -> None:
    connection.sendall(_ANSWER.replace(b"200 OK", b"503 No"))


def _only_once() -> Answer:
    answered: set[socket.socket] = set()

    def answer(connection: socket.socket) -> None:
        if connection not in answered:
            answered.add(connection)
            _whole(connection)

    return answer


@pytest.mark.parametrize("answer", [_whole, _crumbs])
def test_answers_are_counted_between_the_two_looks(answer: Answer) -> None:
    looks = iter(["before", "after"])
    with _server(answer) as port:
        window = run(port, REQUEST, _SHORT, lambda: next(looks))
    assert (window.before, window.after) == ("before", "after")
    assert len(window.latencies) >= _SHORT.connections
    assert list(window.latencies) == sorted(window.latencies)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (_refusal, "answered b'HTTP/1.1 503 No"),
        (socket.socket.close, "closed the connection"),
        (_only_once(), "of 3 connections without an answer"),
        (lambda _connection: None, "of 3 connections without an answer"),
    ],
)
def test_a_wrong_answer_is_no_sample(answer: Answer, complaint: str) -> None:
    with _server(answer) as port, pytest.raises(LoadError, match=complaint):
        run(port, REQUEST, _SHORT, lambda: None)


def test_a_refused_connection_is_no_sample() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # never listens
        with pytest.raises(LoadError, match="refused a connection"):
            run(bound.getsockname()[1], REQUEST, _SHORT, lambda: None)


def test_a_request_has_eight_fields() -> None:
    assert REQUEST.count(b"\r\n") == 1 + 8 + 1
