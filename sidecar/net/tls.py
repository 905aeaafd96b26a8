"""TLS between a raw transport below and an application protocol above.

Theory of operation
-------------------

A `TlsConnection` has two faces. The event loop sees a `Protocol` that takes ciphertext; whoever
is above sees a `Transport` that takes and gives plaintext. In between stands an `SSLObject` on two
memory BIOs, so this module decides when bytes move, and OpenSSL only what they become.

**Reading.** `data_received` puts ciphertext into the incoming BIO, slice by slice, and pumps
plaintext out of it, record by record, into the application protocol. While the protocol is
*flowing*, all that can be decrypted has been delivered. When it pauses, the raw transport is
paused too, and at most the one chunk that was already here is held: most of it as the
ciphertext that came, one slice in the BIO. Plaintext waits in one case only: `write_eof` has
to decrypt what is in the BIO first, because SSL_shutdown throws unread records away.

**Writing** goes straight through. Nothing is kept here: what the network does not take is in the
raw transport's buffer, and its `pause_writing` goes to the application protocol as it is. The
same buffer bounds what OpenSSL itself answers: a peer that makes it write (KeyUpdate,
refused renegotiation) and does not read is not read either.

**Ends.** Each direction ends by itself: `write_eof` sends close_notify, the peer's becomes
`eof_received`, and the other direction goes on until someone closes. TCP is closed once, at
the end; a half-closed TCP connection means something else to every middlebox. A TCP end without
close_notify is no end but a loss: `connection_lost` gets a `TruncatedError`, because whoever
sent it may be an attacker who wants half a message to be taken for a whole one.

**Handshake.** Until it is done there is no application protocol, and `on_ready` runs before any
plaintext is looked at, so nothing can be delivered that came before the peer was known. A
handshake that fails sends OpenSSL's alert first. A server then ends its sending side and
throws away what still comes until the client hangs up: closing at once would answer the client's
next bytes with a reset, and a reset can overtake the alert that says what is wrong. Until then the
connection is not gone, so `on_failed` has not been called and the sweep's `timed_out` still counts.

**Cost.** No task, timer or future. The BIOs never hold more than one slice, because OpenSSL never
gives their memory back. An exception is dear in this loop, so no read is tried that would only
raise "want read" (see `_pump`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from sidecar.core.ids import RefusedError
from sidecar.core.reasons import HANDSHAKE_CLOSED, HANDSHAKE_TIMEOUT, Reason
from sidecar.net.contexts import reason_of
from sidecar.net.tlsbase import NO_PROTOCOL, SLICE, TlsBase

OnReady = Callable[["TlsConnection"], asyncio.Protocol | None]
OnFailed = Callable[[Reason, str], None]

_RECORD: Final = 16384  # RFC 8446 section 5.1: the most that one record holds
_LINGER: Final = 262144  # bytes thrown away after a failed handshake before the door is shut


class TruncatedError(ConnectionResetError):
    """The peer ended TCP without close_notify: what came last may not be all."""

    def __init__(self) -> None:
        super().__init__("the connection ended without close_notify")


class _Handshake:
    """What is needed until the application protocol is there, and forgotten then."""

    __slots__ = ("discarded", "failure", "on_failed", "on_ready")

    def __init__(self, on_ready: OnReady, on_failed: OnFailed) -> None:
        self.on_ready = on_ready
        self.on_failed = on_failed
        self.failure: tuple[Reason, str] | None = None
        self.discarded = 0


class TlsConnection(asyncio.Protocol, TlsBase):
    """One TLS connection, from the first byte of the handshake to the end.

    `on_ready` is called when the handshake is done. It returns the application protocol, or None:
    then nothing is read until someone calls `set_protocol` and `resume_reading`. Or it raises
    `RefusedError`: then the connection ends, without close_notify, so that no client takes the
    refusal for an empty answer.

    `on_failed` is called once, with reason and detail, when a connection is gone that never got as
    far as an application protocol.
    """

    __slots__ = (
        "_ahead", "_eof_received", "_error", "_handshake", "_rest", "_stalled", "_writing_paused",
    )  # fmt: skip

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        on_ready: OnReady,
        on_failed: OnFailed,
    ) -> None:
        super().__init__(context, server_side, server_hostname)
        self._handshake: _Handshake | None = _Handshake(on_ready, on_failed)
        self._eof_received = False  # the peer's close_notify
        self._writing_paused = False  # the raw transport's buffer is full,
        self._stalled = False  # and reading would make it fuller
        self._rest: bytes | memoryview = b""  # ciphertext that is not in the BIO yet
        self._ahead: list[bytes] = []  # what `write_eof` had to decrypt; b"" is the peer's end
        self._error: Exception | None = None

    # --- the raw transport's protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        # A cast and no assertion: uvloop's transports are not derived from asyncio's.
        self._raw = cast("asyncio.Transport", transport)
        if self._closing:
            self._raw.abort()
        elif not self._object.server_side:
            self._step()

    def data_received(self, data: bytes) -> None:
        """Take ciphertext."""
        if not self._flowing or self._rest:
            self._set_aside(data)
            return
        if len(data) <= SLICE:
            self._incoming.write(data)
        else:
            self._rest = memoryview(data)
            self._feed()
        self._pump()

    def eof_received(self) -> bool:
        """TCP ended: in order after close_notify, a loss otherwise; return whether to stay open."""
        if self._handshake is None and not self._eof_received:
            self._error = self._error or TruncatedError()
            self._stop()
        return self._eof_received

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever is above."""
        self._stop()
        self._rest = b""
        self._ahead.clear()
        handshake, self._handshake = self._handshake, None
        protocol, self._protocol = self._protocol, NO_PROTOCOL
        if handshake is not None:
            reason = reason_of(exc) if exc is not None else (HANDSHAKE_CLOSED, "")
            handshake.on_failed(*(handshake.failure or reason))
        protocol.connection_lost(self._error or exc)

    def pause_writing(self) -> None:
        """The network is slow."""
        self._writing_paused = True
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The network caught up."""
        self._writing_paused = False
        if self._stalled:
            self._stalled = False
            self._read_on()
        self._protocol.resume_writing()

    # --- handshake ---

    def timed_out(self) -> None:
        """End a handshake that takes too long, or what is left of a failed one."""
        handshake = self._handshake
        if handshake is not None:
            handshake.failure = handshake.failure or (HANDSHAKE_TIMEOUT, "")
            self.abort()

    def _step(self) -> bool:
        """Go on with the handshake; return whether it is over."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._fail(*reason_of(error))
        else:
            self._flush()
            self._open()
        return True

    def _open(self) -> None:
        """Ask for an application protocol and start it."""
        assert self._handshake is not None
        try:
            protocol = self._handshake.on_ready(self)
        except RefusedError as refusal:
            self._fail(refusal.reason, refusal.detail)
            return
        self._handshake = None
        self._sending = not self._closing
        if protocol is None:
            self._raw.pause_reading()
            return
        self._protocol = protocol
        self._flowing = not self._closing
        full = self._writing_paused  # with a long chain of certificates, which nobody has been told
        protocol.connection_made(self)
        if full:
            protocol.pause_writing()
        self._pump()

    def _fail(self, reason: Reason, detail: str) -> None:
        """Send the alert, if there is one, and end a connection that nobody will use."""
        assert self._handshake is not None
        self._handshake.failure = (reason, detail)
        self._rest = b""
        self._flush()
        if self._object.server_side:
            with suppress(OSError):  # asyncio lets the system's word through: gone already
                self._raw.write_eof()
        else:
            self._raw.close()

    # --- ciphertext in, plaintext up ---

    def _set_aside(self, data: bytes) -> None:
        """Take what came while nobody above can have it."""
        handshake = self._handshake
        if handshake is None:
            if not (self._closing or self._eof_received):
                self._rest = bytes(self._rest) + data
        elif handshake.failure is None:
            self._rest = memoryview(data)
            while self._feed() and not self._step():
                pass
        else:
            handshake.discarded += len(data)
            if handshake.discarded > _LINGER:
                self._raw.abort()

    def _feed(self) -> bool:
        """Move the next slice into the incoming BIO; return False if there is none."""
        rest = self._rest
        if not rest:
            return False
        self._incoming.write(rest[:SLICE])
        # An empty view would still hold the whole chunk.
        self._rest = rest[SLICE:] if len(rest) > SLICE else b""
        return True

    def _pump(self) -> None:
        """Deliver what can be decrypted, for as long as the protocol takes it.

        A read takes a whole record, so plaintext is never left inside of OpenSSL. And a read that
        finds nothing raises, which costs more than the decryption of a small record, so the loop
        ends without one when the BIO is empty: one chunk, one record is the common case.
        """
        tls, incoming = self._object, self._incoming
        while self._flowing:
            try:
                data = self._ahead.pop(0) if self._ahead else tls.read(_RECORD)
            except ssl.SSLWantReadError:
                if self._feed():
                    continue
                break
            except ssl.SSLZeroReturnError:  # as b"", but close_notify has been sent too
                data = b""
            except ssl.SSLError as error:
                self._break(error)
                return
            if not data:
                self._peer_finished()
                break
            self._protocol.data_received(data)
            if not (incoming.pending or self._ahead or (self._rest and self._feed())):
                break
        if self._outgoing.pending:
            self._answer()

    def _holds_input(self) -> bool:
        """Whether something is here that the protocol has not got yet."""
        return bool(self._rest or self._ahead or self._incoming.pending)

    def _peer_finished(self) -> None:
        """The peer's close_notify: no more plaintext will come, only news of the connection."""
        self._eof_received = True
        self._flowing = False
        self._rest = b""
        self._raw.resume_reading()
        if not self._protocol.eof_received():
            self.close()

    def _answer(self) -> None:
        """Send what OpenSSL itself has to say. A peer that makes it talk has to listen."""
        self._flush()
        if self._writing_paused and not self._stalled:
            self._stalled = True
            self._raw.pause_reading()

    def _break(self, error: ssl.SSLError) -> None:
        """Send the alert and close: the stream is not TLS any more, or the peer said it is over."""
        self._error = error
        self._stop()
        self._flush()
        self._raw.close()

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`."""
        if self._flowing:
            self._flowing = False
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Deliver again; what is here already comes with the next turn of the loop."""
        if self._flowing or self._closing or self._eof_received or self._handshake is not None:
            return
        self._flowing = True
        if self._holds_input():
            asyncio.get_running_loop().call_soon(self._catch_up)
        else:
            self._read_on()

    def _read_on(self) -> None:
        """Read the network again, unless something stands against it."""
        if self._flowing and not self._stalled and not self._holds_input():
            self._raw.resume_reading()

    def _catch_up(self) -> None:
        """Deliver what was held back, then read on."""
        try:
            self._pump()
        except BaseException:
            self.abort()  # as the raw transport does when its protocol fails
            raise
        self._read_on()

    # --- ends ---

    def write_eof(self) -> None:
        """Say that no more will come; go on reading."""
        if self._sending and self._decrypt_ahead():
            self._say_goodbye()

    def _decrypt_ahead(self) -> bool:
        """Take every record out of the BIO; return False if that broke the connection."""
        try:
            while self._incoming.pending:
                self._ahead.append(self._object.read(_RECORD))
                if not self._ahead[-1]:
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._break(error)
            return False
        return True

    def _say_goodbye(self) -> None:
        self._sending = False
        with suppress(ssl.SSLError):  # "want read": the peer's own close_notify is still to come
            self._object.unwrap()
        self._flush()

    def close(self) -> None:
        """Send what is to be sent, close_notify, and close; what was not read is lost."""
        if self._closing:
            return
        if self._sending:
            self._say_goodbye()
        self._stop()
        self._raw.close()

    def abort(self) -> None:
        """Close at once."""
        self._stop()
        self._raw.abort()

    def _stop(self) -> None:
        self._closing = True
        self._flowing = self._sending = False
