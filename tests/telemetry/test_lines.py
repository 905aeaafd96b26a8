"""A reader of the log may be slow, gone or broken; whoever writes lines must not notice."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.telemetry.lines import BATCH_BYTES, INTERVAL_S, LineWriter
from sidecar.telemetry.metrics import Telemetry
from tests.telemetry.pipes import Pipe
from tests.telemetry.records import exchange


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe that takes one page."""
    with Pipe() as ends:
        yield ends


def accepts(writer: LineWriter, line: bytes) -> bool:
    before = writer.dropped
    writer.put(line)
    return writer.dropped == before


def test_a_line_arrives_by_itself(pipe: Pipe) -> None:
    writer = LineWriter(pipe.fd)
    writer.put(b"one")
    assert pipe.read() == b"one\n"
    writer.put(b"two")
    assert pipe.read() == b"two\n"
    writer.close()


def test_every_line_arrives_in_order(pipe: Pipe) -> None:
    writer = LineWriter(pipe.fd)
    lines = [b"%06d" % number + b"." * (number % 90) for number in range(5000)]
    assert sum(map(len, lines)) > BATCH_BYTES
    got: list[bytes] = []

    reader = threading.Thread(target=lambda: got.extend(pipe.reader.readlines()))
    reader.start()
    for line in lines:
        writer.put(line)
    writer.close(30)
    pipe.writer.close()
    reader.join()
    assert got == [line + b"\n" for line in lines]
    assert writer.dropped == 0


@pytest.mark.parametrize(("limit", "kept"), [(0, 0), (99, 0), (100, 1), (1000, 10), (1099, 10)])
def test_what_waits_for_a_slow_reader_is_bounded_and_the_rest_counted(
    pipe: Pipe, limit: int, kept: int
) -> None:
    filler = pipe.fill()
    writer = LineWriter(pipe.fd, limit)
    lines = [b"%099d" % number for number in range(12)]
    for line in lines:
        writer.put(line)  # the pipe is full: this hangs if it waits
    assert writer.dropped == 12 - kept
    assert pipe.read() == filler
    writer.close()
    assert pipe.rest() == lines[:kept]
    assert writer.dropped == 12 - kept


def test_there_is_room_again_when_the_reader_has_caught_up(pipe: Pipe) -> None:
    pipe.fill()
    writer = LineWriter(pipe.fd, 100)
    writer.put(b"a" * 99)
    writer.put(b"b" * 99)
    assert writer.dropped == 1
    pipe.read()
    assert pipe.read() == b"a" * 99 + b"\n"
    while not accepts(writer, b"c" * 99):  # until the thread is back from its write
        pass
    assert pipe.read() == b"c" * 99 + b"\n"
    writer.close()


@pytest.mark.parametrize(("lines", "lost"), [(0, 0), (256, 0), (257, 1), (512, 256), (600, 344)])
def test_close_gives_up_on_a_reader_that_has_stopped(pipe: Pipe, lines: int, lost: int) -> None:
    writer = LineWriter(pipe.fd)
    for number in range(lines):
        writer.put(b"%015d" % number)  # 256 of them fill the pipe
    writer.close(deadline_s=0.05)
    assert writer.dropped == lost


def test_a_reader_that_is_gone_costs_the_lines_and_nothing_else(pipe: Pipe) -> None:
    pipe.reader.close()
    writer = LineWriter(pipe.fd)
    writer.put(b"one")
    writer.put(b"two")
    writer.close()
    assert writer.dropped == 2


def test_a_descriptor_that_somebody_made_non_blocking_still_gets_every_line(pipe: Pipe) -> None:
    os.set_blocking(pipe.fd, False)
    filler = pipe.fill()
    writer = LineWriter(pipe.fd)
    writer.put(b"late")
    threading.Event().wait(2 * INTERVAL_S)  # meanwhile the thread finds the pipe full
    assert pipe.read() == filler
    assert pipe.read() == b"late\n"
    writer.close()
    assert writer.dropped == 0


def test_a_full_disk_tears_one_line_and_not_the_next(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = LineWriter(fd)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, before[1]))
    try:
        for line in (b"one", b"two", b"three"):
            writer.put(line)
        while writer.dropped < 2:
            threading.Event().wait(0.01)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    writer.put(b"four")
    writer.close()
    os.close(fd)
    assert (tmp_path / "log").read_bytes() == b"one\ntw\nfour\n"
    assert writer.dropped == 2


def test_no_thread_before_there_is_a_log_and_none_after_it(pipe: Pipe) -> None:
    before = set(threading.enumerate())
    Telemetry(None).done(exchange())
    assert set(threading.enumerate()) <= before
    writer = LineWriter(pipe.fd)
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    writer.close()
    assert not thread.is_alive()
    assert pipe.rest() == []
