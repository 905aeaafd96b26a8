"""A pipe whose ends know whether they are open, for tests of what is written into one."""

from __future__ import annotations

import fcntl
import os
from io import FileIO
from typing import Self

PAGE = 4096  # a pipe holds pages, and at least one


class Pipe:
    """Use as a context; ends that the test has closed stay closed."""

    def __init__(self, pages: int = 1) -> None:
        read_fd, write_fd = os.pipe()
        self.reader = FileIO(read_fd, "r")
        self.writer = FileIO(write_fd, "w")
        self.pages = pages
        fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, pages * PAGE)

    @property
    def fd(self) -> int:
        """Where to write."""
        return self.writer.fileno()

    def fill(self) -> bytes:
        """Leave no room, so that the next writer would block; return what is in it."""
        page = b"x" * (PAGE - 1) + b"\n"
        for _ in range(self.pages):
            os.write(self.fd, page)
        return page * self.pages

    def read(self) -> bytes:
        """Read what there is, waiting for the first byte."""
        return self.reader.read(self.pages * PAGE)

    def waiting(self) -> list[bytes]:
        """Read the lines that are there now."""
        os.set_blocking(self.reader.fileno(), False)
        data = self.reader.read(1 << 20)
        os.set_blocking(self.reader.fileno(), True)
        return (data or b"").splitlines()

    def rest(self) -> list[bytes]:
        """Close the writer and read every line that is left."""
        self.writer.close()
        return self.reader.readall().splitlines()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.writer.close()
