"""TLS between a raw transport below and an application protocol above (skeleton)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from sidecar.core.reasons import Reason

OnReady = Callable[["TlsConnection"], asyncio.Protocol | None]
OnFailed = Callable[[Reason, str], None]
Buffer = bytes | bytearray | memoryview


class TruncatedError(ConnectionResetError):
    """The peer closed TCP without saying goodbye: what came last may not be all."""


class TlsConnection(asyncio.Protocol, asyncio.Transport):
    """One TLS connection.

    `on_ready` is called once, when the handshake is done and before any plaintext is delivered. It
    returns the application protocol, or None (then nothing is read until `set_protocol` and
    `resume_reading`), or raises `RefusedError`. `on_failed` is called once, when a connection that
    never became ready is closed; exactly one of the two ends a handshake, except that a
    RefusedError out of `on_ready` is reported to `on_failed` too.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        on_ready: OnReady,
        on_failed: OnFailed,
    ) -> None:
        raise NotImplementedError

    def peer_der(self) -> bytes | None:
        raise NotImplementedError

    def chain_length(self) -> int:
        raise NotImplementedError

    def version(self) -> str:
        raise NotImplementedError

    def cipher(self) -> str:
        raise NotImplementedError

    def alpn(self) -> str | None:
        raise NotImplementedError

    def server_name(self) -> str | None:
        raise NotImplementedError

    def timed_out(self) -> None:
        raise NotImplementedError

    def write(self, data: Buffer) -> None:
        raise NotImplementedError

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        raise NotImplementedError

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        raise NotImplementedError
