"""The handshake: who is let through, what the other side learns, what is never delivered."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

import pytest

from sidecar.core import reasons
from sidecar.core.reasons import Reason
from sidecar.net.contexts import client_context, reason_of, server_context
from sidecar.net.tls import TlsConnection, TruncatedError
from tests.certs import TestCA
from tests.fakes import RawTransport, Recorder, raw_pair, settle
from tests.net.kit import (
    End,
    ca,
    client_end,
    connect,
    credentials,
    issuing_ca,
    join,
    lax_client,
    orders,
    server_end,
    web,
)

GARBLED = b"\x16\x03\x01\x00\x05hello"  # a handshake record that holds no handshake
HTTP = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def bytes_at_a_server(
    data: bytes, *, eof: bool = False
) -> tuple[End, Recorder, RawTransport]:
    """Send `data` to a server that expects TLS; return it and what its peer received."""
    server, peer = server_end(), Recorder()
    left, server.raw = raw_pair(peer, server.tls)
    left.write(data)
    if eof:
        left.write_eof()
    await settle(left, server.raw)
    return server, peer, left


# --- success ----------------------------------------------------------------------------------


async def test_both_sides_know_each_other_before_any_byte() -> None:
    client, server = await connect(client_end(name="orders.shop"))
    assert client.ready == server.ready == 1
    assert server.tls.peer_der() == server.tls.get_extra_info("peer_der") == web().der
    assert client.tls.peer_der() == orders().der
    assert client.tls.chain_length() == server.tls.chain_length() == 2
    assert server.tls.verified_path() == [web().der, issuing_ca().der, ca().der]
    assert client.tls.version() == server.tls.version() == "TLSv1.3"
    assert "AES" in server.tls.cipher()
    assert client.tls.server_name() == "orders.shop"
    assert server.tls.server_name() is None  # its context was not told to remember
    assert client.tls.alpn() is None


async def test_nothing_is_known_before_the_handshake() -> None:
    server = server_end()
    with pytest.raises(ValueError, match="handshake"):
        server.tls.peer_der()
    assert server.tls.version() == server.tls.cipher() == ""
    assert server.tls.server_name() is None
    with pytest.raises(RuntimeError, match="before the handshake"):
        server.tls.write(b"secret")


async def test_alpn_is_agreed_on_where_both_name_it() -> None:
    http = server_context(credentials(orders()), alpn=["http/1.1"])
    both = client_end(client_context(credentials(web()), alpn=["http/1.1"]))
    client, server = await connect(both, server_end(http))
    assert client.tls.alpn() == server.tls.alpn() == "http/1.1"
    client, server = await connect(server=server_end(http))
    assert server.tls.alpn() is None


async def test_data_behind_the_last_handshake_message_waits_for_the_check() -> None:
    class Eager(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            client.tls.write(b"early")

    client, server = client_end(), server_end()
    client.protocol = Eager()
    seen: list[bytes] = []

    def check(_: TlsConnection) -> asyncio.Protocol:
        seen.append(bytes(server.app.received))
        return server.app

    server.tls = TlsConnection(
        server.context,
        server_side=True,
        on_ready=check,
        on_failed=lambda *_: seen.append(b"failed"),
    )
    join(client, server)
    server.raw.deliver()
    client.raw.deliver()
    server.raw.deliver()
    assert client.raw.outbox.count(b"\x17\x03\x03") == 4  # certificate, proof, end, and data
    client.raw.deliver()  # all in one chunk
    assert seen == [b""]
    assert server.app.received == b"early"


async def test_without_a_protocol_nothing_is_read_until_someone_takes_over() -> None:
    server = server_end()
    server.protocol = None
    client, server = await connect(server=server)
    client.tls.write(b"x" * 50000)
    await settle(client.raw, server.raw)
    assert not server.raw.reading
    late = Recorder()
    server.tls.set_protocol(late)
    server.tls.resume_reading()
    await settle(client.raw, server.raw)
    assert late.received == b"x" * 50000


@pytest.mark.parametrize("name", [None, "xn--nxasmq6b", "UPPER.local", ".".join(["a" * 62] * 4)])
async def test_server_names_are_kept_where_a_context_is_told_to(name: str | None) -> None:
    context = server_context(credentials(orders()), names=True)
    _, server = await connect(client_end(name=name), server_end(context))
    assert server.ready == 1
    assert server.tls.server_name() == name


@pytest.mark.parametrize("name", [b"a\r\nx-evil", b"..", b"ab cdefghi"])
async def test_what_is_no_host_name_gets_into_no_header(name: bytes) -> None:
    client = client_end(name="n" * len(name))
    raw, _ = raw_pair(client.tls, Recorder())
    hello = bytes(raw.outbox).replace(b"n" * len(name), name)
    context = server_context(credentials(orders()), names=True)
    server, peer = server_end(context), Recorder()
    left, server.raw = raw_pair(peer, server.tls)
    left.write(hello)
    left.write_eof()
    await settle(left, server.raw)
    assert server.tls.server_name() in {None, ".."}
    assert server.ready == 0


# --- failures ---------------------------------------------------------------------------------

BAD_CLIENTS: list[tuple[Callable[[], ssl.SSLContext], Reason, str]] = [
    (lambda: lax_client(None), reasons.NO_CERTIFICATE, "CERTIFICATE_REQUIRED"),
    (lambda: lax_client(TestCA().leaf()), reasons.UNTRUSTED, "UNKNOWN_CA"),
    (
        lambda: lax_client(issuing_ca().leaf(not_after=time.time() - 1)),
        reasons.EXPIRED,
        "CERTIFICATE_EXPIRED",
    ),
]


@pytest.mark.parametrize(("context", "reason", "alert"), BAD_CLIENTS)
async def test_a_refused_client_reads_the_alert_and_nothing_is_delivered(
    context: Callable[[], ssl.SSLContext], reason: Reason, alert: str
) -> None:
    client, server = client_end(context()), server_end()
    join(client, server)
    await settle(client.raw, server.raw)
    assert server.reason is reason
    assert server.ready == 0
    assert not server.app.received
    assert client.ready == 1  # TLS 1.3: it thinks that all is well until it reads
    assert isinstance(client.app.error, ssl.SSLError)
    assert alert in str(client.app.error.reason)
    assert reason_of(client.app.error)[0] is reasons.OWN_CERTIFICATE_REFUSED


async def test_a_refused_server_reads_the_alert() -> None:
    client, server = await connect(server=server_end(server_context(credentials(TestCA().leaf()))))
    assert client.reason is reasons.UNTRUSTED
    assert server.reason is reasons.OWN_CERTIFICATE_REFUSED
    assert "unknown ca" in server.failures[0][1]
    assert client.ready == server.ready == 0


async def test_whom_the_check_refuses_sees_no_orderly_end() -> None:
    server = server_end()
    server.refuse = reasons.FOREIGN_TRUST_DOMAIN
    client, server = await connect(server=server)
    assert server.failures == [(reasons.FOREIGN_TRUST_DOMAIN, "refused by the test")]
    assert client.app.lost
    assert not client.app.eof
    assert isinstance(client.app.error, TruncatedError)


async def test_the_client_sends_nothing_to_a_server_that_it_refuses() -> None:
    client = client_end()
    client.refuse = reasons.UNEXPECTED_SERVER
    client, server = await connect(client)
    assert client.reason is reasons.UNEXPECTED_SERVER
    assert not server.app.received
    assert isinstance(server.app.error, TruncatedError)


async def test_a_fault_in_the_check_ends_the_connection() -> None:
    def faulty(_: TlsConnection) -> asyncio.Protocol:
        raise KeyError("fault")

    server = server_end()
    server.tls = TlsConnection(
        server.context,
        server_side=True,
        on_ready=faulty,
        on_failed=lambda reason, detail: server.failures.append((reason, detail)),
    )
    client = client_end()
    join(client, server)
    with pytest.raises(KeyError):
        await settle(client.raw, server.raw)
    server.tls.connection_lost(KeyError("fault"))  # what raw transports do about it
    assert server.failures == [(reasons.INTERNAL, "KeyError")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (HTTP, reasons.NOT_TLS),
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", reasons.NOT_TLS),
        (b"SSH-2.0-OpenSSH_9.2\r\n", reasons.NOT_TLS),
        (b"\x00" * 40, reasons.NOT_TLS),
        (b"\xff" * 40, reasons.NOT_TLS),
    ],
)
async def test_what_is_not_tls_is_told_apart(data: bytes, reason: Reason) -> None:
    server, _, left = await bytes_at_a_server(data)
    left.close()
    await settle(left, server.raw)
    assert server.reason is reason
    assert server.ready == 0


async def test_a_server_that_speaks_plain_text() -> None:
    client, peer = client_end(), Recorder()
    client.raw, right = raw_pair(client.tls, peer)
    right.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await settle(client.raw, right)
    assert client.reason is reasons.NOT_TLS


@pytest.mark.parametrize("length", [0, 1, 5, 100])
async def test_a_client_that_hangs_up_in_the_middle(length: int) -> None:
    hello = client_end()
    raw, _ = raw_pair(hello.tls, Recorder())
    server, _, _ = await bytes_at_a_server(bytes(raw.outbox[:length]), eof=True)
    assert server.failures == [(reasons.HANDSHAKE_CLOSED, "")]


async def test_a_reset_in_the_middle() -> None:
    client, server = client_end(), server_end()
    join(client, server)
    client.raw.abort()
    await settle(client.raw, server.raw)
    assert server.reason is reasons.HANDSHAKE_CLOSED
    assert "reset" in server.failures[0][1]


async def test_threat_16_data_before_the_handshake_is_never_delivered() -> None:
    """CVE-2023-40217: what was in the socket before TLS began must not pass for plaintext."""
    client, server, peer = client_end(), server_end(), Recorder()
    left, server.raw = raw_pair(peer, server.tls)
    raw, _ = raw_pair(client.tls, Recorder())
    left.write(b"stolen request" + bytes(raw.outbox))
    left.write_eof()
    await settle(left, server.raw)
    assert server.reason is reasons.NOT_TLS
    assert server.ready == 0
    assert not server.app.received


async def test_threat_13_a_certificate_message_too_long_to_walk() -> None:
    authority = issuing_ca()
    leaf = authority.leaf(dns=[f"{'a' * 60}.{number}.example" for number in range(2000)])
    _, server = await connect(client_end(lax_client(leaf)))
    assert server.reason is reasons.LONG_CHAIN


async def test_threat_14_a_certificate_that_cannot_be_parsed() -> None:
    """In TLS 1.2 a client's certificate travels in the clear, so the test can bend it."""
    old = lax_client(web())
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    client = client_end(old)
    server = server_end(server_context(credentials(orders()), "1.2"))
    join(client, server)
    while web().der not in client.raw.outbox:
        assert client.raw.deliver() or server.raw.deliver()
    start = client.raw.outbox.index(web().der)
    client.raw.outbox[start + 4 : start + 6] = b"\x31\x83"  # where a sequence should begin
    await settle(client.raw, server.raw)
    assert server.reason is reasons.HANDSHAKE_FAILED
    assert "ASN1" in server.failures[0][1].upper()


# --- time -------------------------------------------------------------------------------------


async def test_threat_27_a_stalled_handshake_is_cut_by_the_sweep() -> None:
    client, server = client_end(), server_end()
    join(client, server)
    client.raw.deliver(100)
    server.tls.timed_out()
    await settle(client.raw, server.raw)
    assert server.failures == [(reasons.HANDSHAKE_TIMEOUT, "")]
    assert client.reason is reasons.HANDSHAKE_CLOSED


async def test_the_sweep_does_not_touch_a_finished_handshake() -> None:
    client, server = await connect()
    server.tls.timed_out()
    client.tls.write(b"still here")
    await settle(client.raw, server.raw)
    assert server.app.received == b"still here"
    assert not server.failures


async def test_a_refused_client_may_go_on_sending_for_a_while() -> None:
    """The alert must not be overtaken by the reset that closing at once would cause."""
    server, peer, left = await bytes_at_a_server(GARBLED)
    assert peer.received[-1:] == b"\x0a"  # the alert: unexpected_message
    assert not server.failures  # not over yet: the sweep still counts it
    left.write(b"x" * 200_000)
    await settle(left, server.raw)
    assert not server.failures
    left.close()
    await settle(left, server.raw)
    assert server.reason is reasons.HANDSHAKE_FAILED


async def test_a_refused_client_may_not_go_on_for_ever() -> None:
    server, _, left = await bytes_at_a_server(HTTP)
    left.write(b"x" * 300_000)
    await settle(left, server.raw)
    assert server.reason is reasons.NOT_TLS


async def test_the_sweep_ends_what_is_left_of_a_refused_client() -> None:
    server, _, left = await bytes_at_a_server(HTTP)
    server.tls.timed_out()
    await settle(left, server.raw)
    assert server.reason is reasons.NOT_TLS  # and not the time-out


@pytest.mark.parametrize("end", [TlsConnection.close, TlsConnection.abort])
async def test_the_owner_may_end_it_at_any_time(end: Callable[[TlsConnection], None]) -> None:
    server = server_end()
    end(server.tls)  # not even connected
    client = client_end()
    join(client, server)
    await settle(client.raw, server.raw)
    assert server.reason is reasons.HANDSHAKE_CLOSED
    client, server = client_end(), server_end()
    join(client, server)
    client.raw.deliver()
    end(server.tls)
    await settle(client.raw, server.raw)
    assert server.reason is reasons.HANDSHAKE_CLOSED
    assert server.ready == 0


# --- resumption -------------------------------------------------------------------------------


async def test_threat_2_a_resumed_session_meets_the_check_again() -> None:
    """TLS 1.2 with session ids, the one kind of resumption that is left."""
    context = server_context(credentials(orders()), "1.2")
    old = client_context(credentials(web()), "1.2")
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    async def visit(session: ssl.SSLSession | None, refuse: Reason | None) -> tuple[End, End]:
        client, server = client_end(old), server_end(context)
        if session is not None:
            client.tls.get_extra_info("ssl_object").session = session
        server.refuse, server.app.keep_open = refuse, False
        await connect(client, server)
        client.tls.close()
        await settle(client.raw, server.raw)
        return client, server

    client, server = await visit(None, None)
    session = client.tls.get_extra_info("ssl_object").session
    client, server = await visit(session, None)
    assert server.tls.get_extra_info("ssl_object").session_reused
    assert server.tls.peer_der() == web().der
    assert server.tls.chain_length() == 2
    assert server.tls.verified_path() == []
    _, server = await visit(session, reasons.REVOKED)
    assert server.tls.get_extra_info("ssl_object").session_reused
    assert server.reason is reasons.REVOKED
    assert not isinstance(server.protocol, Recorder) or not server.protocol.received
