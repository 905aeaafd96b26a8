"""The half of a TLS connection where nothing has an order: facts, limits, and the way down.

Kept apart from `net.tls` so that the other half, where the order of things is everything, can be
read in one sitting.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Iterable
from typing import Any, Final, cast

from sidecar.net.contexts import NamedObject

Buffer = bytes | bytearray | memoryview

SLICE: Final = 32768  # bytes that are in a BIO at a time; OpenSSL never gives its memory back
_DER: Final = 2  # _ssl.ENCODING_DER


class _Unconnected(asyncio.Transport):
    """Stands for the raw transport until there is one."""

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing to close yet; `connection_made` will look."""

    abort = close


NO_TRANSPORT: Final = _Unconnected()
NO_PROTOCOL: Final = asyncio.Protocol()  # takes everything and does nothing


class TlsBase(asyncio.Transport):
    """An `SSLObject` on two memory BIOs, the raw transport below and the protocol above."""

    __slots__ = (
        "_closing",
        "_flowing",
        "_incoming",
        "_object",
        "_outgoing",
        "_protocol",
        "_raw",
        "_sending",
    )

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_name: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, server_name)
        self._flowing = False  # the application protocol takes plaintext
        self._sending = False  # and may write it
        self._closing = False
        self._raw: asyncio.Transport = NO_TRANSPORT
        self._protocol: asyncio.Protocol = NO_PROTOCOL

    # --- who is there ---

    def peer_der(self) -> bytes | None:
        """Return the peer's certificate, verified by OpenSSL, as DER.

        Raises ValueError before the handshake is done.
        """
        return self._object.getpeercert(binary_form=True)

    def chain_length(self) -> int:
        """Return how many certificates the peer sent, its own included."""
        return len(_certificates(self._object, "get_unverified_chain"))

    def verified_path(self) -> list[bytes]:
        """Return the path that OpenSSL verified, as DER, leaf first and root last.

        Empty for a resumed session: what its first handshake verified is not kept.
        """
        found = _certificates(self._object, "get_verified_chain")
        return [each if isinstance(each, bytes) else each.public_bytes(_DER) for each in found]

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
        """Return the host name that the client asked for (RFC 6066 section 3).

        None if it asked for none, and at a server whose context does not remember names.
        """
        if isinstance(self._object, NamedObject):
            return self._object.server_name
        return self._object.server_hostname

    # --- plaintext down, ciphertext out ---

    def write(self, data: Buffer) -> None:
        """Encrypt and send."""
        if not self._sending:
            self._refuse_write()
        elif len(data) > SLICE:
            self._write_slices(memoryview(data).cast("B"))
        elif data:
            self._object.write(data)
            self._raw.write(self._outgoing.read())

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """Encrypt and send together: one copy costs less than a record for each part."""
        self.write(b"".join(list_of_data))

    def _write_slices(self, view: memoryview) -> None:
        sealed = []
        for start in range(0, len(view), SLICE):
            self._object.write(view[start : start + SLICE])
            sealed.append(self._outgoing.read())
        self._raw.writelines(sealed)

    def _refuse_write(self) -> None:
        """Bytes for a closed connection go nowhere, as in asyncio; anything else is a mistake."""
        if not self._closing:
            raise RuntimeError("write before the handshake or after write_eof")

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    def can_write_eof(self) -> bool:
        """Whether the sending direction can end by itself: it can."""
        return True

    # --- the rest of the transport ---

    def is_reading(self) -> bool:
        """Whether plaintext is delivered."""
        return self._flowing

    def is_closing(self) -> bool:
        """Whether the connection is closed or will be without anyone's doing."""
        return self._closing or self._raw.is_closing()

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


def _certificates(tls: ssl.SSLObject, method: str) -> list[Any]:
    """What the peer sent or OpenSSL verified, leaf first; public since Python 3.13.

    Before that it is there too, in objects of the C module instead of bytes.
    """
    owner: Any = tls if sys.version_info >= (3, 13) else tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return getattr(owner, method)() or []
