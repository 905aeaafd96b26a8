"""Lines written to a file descriptor by a thread, so that a slow reader never stops the loop.

The loop only appends to a list. One daemon thread takes the list when it holds a batch or a tenth
of a second after its first line, and does the blocking writes. What waits is bounded in bytes;
beyond the bound, lines are dropped and counted. A thread, because a pipe, a terminal and a file
on a stalled disk all block in `write`, and none of them can be asked not to without changing it
for every process that shares it.
"""

from __future__ import annotations

import os
import select
import threading
from typing import Final

LIMIT_BYTES: Final = 8 << 20
BATCH_BYTES: Final = 32 << 10
INTERVAL_S: Final = 0.1
_LINES_A_WRITE: Final = 256  # a long backlog is written in pieces, not copied whole


class LineWriter:
    """Owns one thread from creation to `close`; the file descriptor stays the caller's.

    `limit_bytes` bounds what waits, including what is being written.
    """

    def __init__(self, fd: int, limit_bytes: int = LIMIT_BYTES) -> None:
        self._fd = fd
        self._limit = limit_bytes
        self._lock = threading.Lock()  # held for a few instructions only
        self._changed = threading.Condition(self._lock)
        self._lines: list[bytes] = []
        self._gathered = 0  # bytes in _lines
        self._pending = 0  # bytes in _lines and in the hands of the thread
        self._refused = 0  # lines that found no room
        self._lost = 0  # lines that the file descriptor did not take
        self._flying = 0  # lines in the hands of the thread
        self._closing = False
        self._torn = False  # the last write ended inside a line
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were given and will not be read by anybody."""
        return self._refused + self._lost

    def put(self, line: bytes) -> None:
        """Queue one line, which has no line end yet; never blocks."""
        size = len(line) + 1
        with self._lock:
            if self._pending + size > self._limit or self._closing:
                self._refused += 1
                return
            self._lines.append(line)
            self._pending += size
            before = self._gathered
            self._gathered = before + size
            if not before or before < BATCH_BYTES <= self._gathered:
                self._changed.notify()

    def close(self, deadline_s: float = 2.0) -> None:
        """Write out what waits, for `deadline_s` at most; what is left counts as dropped."""
        with self._lock:
            self._closing = True
            self._changed.notify()
        self._thread.join(deadline_s)
        with self._lock:
            self._refused += len(self._lines) + self._flying
            self._lines = []

    def _run(self) -> None:
        while lines := self._take():
            for start in range(0, len(lines), _LINES_A_WRITE):
                self._write(lines[start : start + _LINES_A_WRITE])

    def _take(self) -> list[bytes]:
        """Wait for a line, and a moment more for company; nothing means that this is the end."""
        with self._lock:
            self._changed.wait_for(lambda: self._lines or self._closing)
            self._changed.wait_for(
                lambda: self._gathered >= BATCH_BYTES or self._closing, INTERVAL_S
            )
            lines, self._lines, self._gathered = self._lines, [], 0
            self._flying = len(lines)
        return lines

    def _write(self, lines: list[bytes]) -> None:
        """Write whole lines; an error (nobody reads, no space) loses them, not the process."""
        body = b"\n".join(lines) + b"\n"
        data = b"\n" + body if self._torn else body
        sent = 0
        try:
            while sent < len(data):
                sent += self._write_some(data, sent)
            lost = 0
        except OSError:
            lost = min(data.count(b"\n", sent), len(lines))
        if sent:
            self._torn = data[sent - 1] != ord("\n")
        with self._lock:
            self._pending -= len(body)
            self._flying -= len(lines)
            self._lost += lost

    def _write_some(self, data: bytes, start: int) -> int:
        try:
            return os.write(self._fd, memoryview(data)[start:])
        except BlockingIOError:  # somebody who shares the descriptor made it non-blocking
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll()
            return 0
