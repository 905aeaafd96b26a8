"""Free ports that stay free until the program that they are meant for takes them.

A socket that is bound but does not listen keeps the kernel from giving its port to somebody who
asks for any, while a server that names the port and sets SO_REUSEADDR, as all do, still gets it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def reserved(*names: str) -> Iterator[dict[str, int]]:
    """One free loopback port for each name, until the block ends."""
    with ExitStack() as held:
        yield {name: held.enter_context(_bound()).getsockname()[1] for name in names}


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock
