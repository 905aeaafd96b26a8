"""What can be asked of a TLS connection, and what it merely passes down.

The half of `net.tls.TlsConnection` that has no state of its own, kept apart so that the other half,
where the order of things matters, can be read in one sitting.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import Any, Final, cast

from sidecar.net.contexts import NamedObject


class _Unconnected(asyncio.Transport):
    """Stands for the raw transport until there is one."""

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing to close yet; `connection_made` will look."""

    abort = close


NO_TRANSPORT: Final = _Unconnected()
NO_PROTOCOL: Final = asyncio.Protocol()  # takes everything and does nothing


class TlsFacts(asyncio.Transport):
    """An `SSLObject`, the raw transport below it and the protocol above it."""

    __slots__ = ("_object", "_protocol", "_raw")

    def __init__(self, tls: ssl.SSLObject) -> None:
        self._object = tls
        self._raw: asyncio.Transport = NO_TRANSPORT
        self._protocol: asyncio.Protocol = NO_PROTOCOL

    # --- who is there ---

    def peer_der(self) -> bytes | None:
        """Return the peer's certificate, verified by OpenSSL, as DER; None before the handshake."""
        return self._object.getpeercert(binary_form=True)

    def chain_length(self) -> int:
        """Return how many certificates the peer sent, its own included."""
        return len(_unverified_chain(self._object))

    def version(self) -> str:
        """Return the protocol version, `TLSv1.3` or `TLSv1.2`; empty before the handshake."""
        return self._object.version() or ""

    def cipher(self) -> str:
        """Return the name of the cipher suite; empty before the handshake."""
        cipher = self._object.cipher()
        return cipher[0] if cipher else ""

    def alpn(self) -> str | None:
        """Return the application protocol that both sides agreed on, if they did (RFC 7301)."""
        return self._object.selected_alpn_protocol()

    def server_name(self) -> str | None:
        """Return the host name that the client asked for, if it did (RFC 6066 section 3)."""
        if isinstance(self._object, NamedObject):
            return self._object.server_name
        return self._object.server_hostname

    # --- the rest of the transport ---

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the network has not taken yet."""
        return self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark of the write buffer."""
        return self._raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks at which the protocol's writing is paused and resumed."""
        self._raw.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return `ssl_object`, `peer_der`, or what the raw transport knows by that name."""
        if name == "ssl_object":
            return self._object
        if name == "peer_der":
            return self.peer_der()
        return self._raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection over; `connection_made` is not called."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the application protocol."""
        return self._protocol


def _unverified_chain(tls: ssl.SSLObject) -> list[Any]:
    """What the peer sent, leaf first; public since Python 3.13, and there before."""
    owner: Any = tls if sys.version_info >= (3, 13) else tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return owner.get_unverified_chain() or []
