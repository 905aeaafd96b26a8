"""Ask a running sidecar whether it is ready, cheaply: `sidecar healthcheck`.

A container runtime starts this every few seconds, so it loads no more than a socket needs: no
HTTP client, no event loop, and the configuration reader only when a file is named. Nothing that
the other side does, such as sending one byte a second, makes it last longer than its timeout.
"""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import Final, NamedTuple

TIMEOUT_S: Final = 2.0
DEFAULT_URL: Final = "http://127.0.0.1:9440/readyz"
_MAX_BYTES: Final = 64 * 1024
_URL = re.compile(
    r"http://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?(?P<page>/[!-~]*)?"
)
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where to call what listens there


class Target(NamedTuple):
    """What to ask: a host and a port, or the path of a UNIX socket; and which page."""

    host: str
    port: int
    socket: str
    page: str

    def __str__(self) -> str:
        return f"unix:{self.socket}" if self.socket else f"{self.host}:{self.port}"


class UnhealthyError(Exception):
    """It is not ready, or does not answer; the message says which and why."""


def target_of_url(url: str) -> Target:
    """Read `http://HOST[:PORT][/PAGE]`, or raise ValueError."""
    match = _URL.fullmatch(url)
    if match is None or int(match["port"] or 80) > 65535:
        raise ValueError(f"{url!a} is not http://HOST[:PORT][/PAGE]")
    return Target(match["host"].strip("[]"), int(match["port"] or 80), "", match["page"] or "/")


def target_of_config(path: Path) -> Target:
    """The admin port of a configuration, else its health port, or raise `UnhealthyError`."""
    from sidecar.config import (  # noqa: PLC0415  most health checks need no configuration
        ConfigError,
        load,
    )

    try:
        config = load(path)
    except ConfigError as error:
        raise UnhealthyError(str(error)) from None
    section = config.admin or config.health
    if section is None:
        raise UnhealthyError(f"{path} has neither an `admin` nor a `health` port to ask")
    address = section.listen
    return Target(_ANY.get(address.host, address.host), address.port, address.path, "/readyz")


def check(target: Target, timeout: float = TIMEOUT_S) -> None:
    """Return if the answer is 200, else raise `UnhealthyError`; `timeout` (seconds) is for all."""
    try:
        answer = _ask(target, time.monotonic() + timeout)
    except TimeoutError:
        raise UnhealthyError(f"{target} did not answer within {timeout:g} s") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UnhealthyError(f"{target} cannot be reached: {why}") from None
    status = _STATUS.match(answer)
    if status is None:
        raise UnhealthyError(f"{target} did not answer in HTTP")
    if status[1] != b"200":
        why = answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace").strip()[:500]
        raise UnhealthyError(f"{target} is not ready ({status[1].decode()}): {ascii(why)[1:-1]}")


def _ask(target: Target, deadline: float) -> bytes:
    # By this name and not by its own: the admin port refuses names that DNS could point at it.
    request = f"GET {target.page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with _connect(target, deadline) as sock:
        sock.sendall(request.encode("ascii"))
        answer = b""
        while len(answer) < _MAX_BYTES:
            sock.settimeout(_left(deadline))
            piece = sock.recv(_MAX_BYTES)
            if not piece:
                break
            answer += piece
        return answer


def _connect(target: Target, deadline: float) -> socket.socket:
    if not target.socket:
        return socket.create_connection((target.host, target.port), timeout=_left(deadline))
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(_left(deadline))
        sock.connect(target.socket)
    except OSError:
        sock.close()
        raise
    return sock


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
