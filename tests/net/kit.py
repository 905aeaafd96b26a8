"""Contexts, certificates and connections for the tests of the data path."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import resource
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from sidecar.core.ids import RefusedError
from sidecar.core.reasons import Reason
from sidecar.net.contexts import Credentials, client_context, server_context
from sidecar.net.tls import TlsConnection
from tests.certs import Leaf, TestCA
from tests.fakes import RawTransport, Recorder, raw_pair, settle


@cache
def ca() -> TestCA:
    """The root that everyone trusts unless a test says otherwise."""
    return TestCA("demo.local")


@cache
def issuing_ca() -> TestCA:
    return ca().intermediate()


@cache
def web() -> Leaf:
    return issuing_ca().leaf("spiffe://demo.local/ns/shop/sa/web")


@cache
def orders() -> Leaf:
    return issuing_ca().leaf("spiffe://demo.local/ns/shop/sa/orders")


def credentials(
    leaf: Leaf, *, trust_pem: bytes | None = None, crl_pem: bytes | None = None
) -> Credentials:
    """What `leaf` would load from its folder."""
    trust = ca().pem if trust_pem is None else trust_pem
    return Credentials(leaf.chain_pem, leaf.key_pem, trust, crl_pem)


@cache
def server_side() -> ssl.SSLContext:
    return server_context(credentials(orders()))


@cache
def client_side() -> ssl.SSLContext:
    return client_context(credentials(web()))


def lax_client(leaf: Leaf | None, *, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    """A client that takes anything and shows `leaf`, as an attacker's would."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(ciphers)
    if leaf is not None:
        with os.fdopen(os.memfd_create("leaf"), "wb", buffering=0) as file:
            file.write(leaf.chain_pem + leaf.key_pem)
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


@dataclass(frozen=True)
class Shaken:
    """What each side's handshake raised, if it did, and the two objects."""

    client: ssl.SSLError | None
    server: ssl.SSLError | None
    client_object: ssl.SSLObject
    server_object: ssl.SSLObject


def shake(
    client: ssl.SSLContext, server: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Shaken:
    """One bare handshake in memory; afterwards a byte goes each way, so that alerts arrive."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, session=session),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    errors: list[ssl.SSLError | None] = [None, None]

    def attempt(index: int, step: Callable[[], object]) -> None:
        try:
            if errors[index] is None:
                step()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            errors[index] = error

    for _ in range(4):
        for index, end in enumerate(ends):
            attempt(index, end.do_handshake)
    for step in (lambda end: end.write(b"x"), lambda end: end.read(1)):
        for index, end in enumerate(ends):
            attempt(index, partial(step, end))
    return Shaken(errors[0], errors[1], *ends)


@dataclass
class End:
    """One TLS end and what became of it."""

    context: ssl.SSLContext
    server: bool
    name: str | None = None
    refuse: Reason | None = None  # what on_ready raises
    protocol: asyncio.Protocol | None = field(default_factory=Recorder)
    ready: int = 0
    failures: list[tuple[Reason, str]] = field(default_factory=list)
    tls: TlsConnection = field(init=False)
    raw: RawTransport = field(init=False)

    def __post_init__(self) -> None:
        self.tls = TlsConnection(
            self.context,
            server_side=self.server,
            server_hostname=self.name,
            on_ready=self._on_ready,
            on_failed=lambda reason, detail: self.failures.append((reason, detail)),
        )

    def _on_ready(self, tls: TlsConnection) -> asyncio.Protocol | None:
        assert tls is self.tls
        self.ready += 1
        if self.refuse is not None:
            raise RefusedError(self.refuse, "refused by the test")
        return self.protocol

    @property
    def app(self) -> Recorder:
        """The recorder above the connection."""
        assert isinstance(self.protocol, Recorder)
        return self.protocol

    @property
    def reason(self) -> Reason:
        """Why it failed, which it must have done exactly once."""
        assert len(self.failures) == 1
        return self.failures[0][0]


def client_end(context: ssl.SSLContext | None = None, name: str | None = None) -> End:
    return End(context or client_side(), server=False, name=name)


def server_end(context: ssl.SSLContext | None = None) -> End:
    return End(context or server_side(), server=True)


def join(client: End, server: End, high: int = 65536) -> None:
    """Put both on one in-memory connection; nothing has moved yet but the ClientHello."""
    client.raw, server.raw = raw_pair(client.tls, server.tls, high)


async def connect(
    client: End | None = None, server: End | None = None, high: int = 65536
) -> tuple[End, End]:
    """Two ends, by default good ones, as far as the handshake brings them."""
    client, server = client or client_end(), server or server_end()
    join(client, server, high)
    await settle(client.raw, server.raw)
    return client, server


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes in which no part looks like its neighbour."""
    return bytes((index * 31 + (index >> 8) * 7 + seed) & 0xFF for index in range(size))


async def arrive(*ends: End) -> None:
    await settle(*(end.raw for end in ends))


# --- on real sockets ----------------------------------------------------------------------------


class Served:
    """A TLS server on loopback, with all that happened to it."""

    def __init__(self, make: Callable[[], asyncio.Protocol]) -> None:
        self.make = make
        self.failures: list[tuple[Reason, str]] = []
        self.failed = asyncio.Event()
        self.port = 0

    def connection(self) -> TlsConnection:
        return TlsConnection(
            server_side(), server_side=True, on_ready=lambda _: self.make(), on_failed=self._failed
        )

    def _failed(self, reason: Reason, detail: str) -> None:
        self.failures.append((reason, detail))
        self.failed.set()


@asynccontextmanager
async def serving(make: Callable[[], asyncio.Protocol]) -> AsyncIterator[Served]:
    served = Served(make)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(served.connection, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()


async def dial(port: int, protocol: asyncio.Protocol) -> TlsConnection:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ready(_: TlsConnection) -> asyncio.Protocol:
        ready.set_result(None)
        return protocol

    def on_failed(reason: Reason, detail: str) -> None:
        ready.set_exception(AssertionError(f"{reason.code} {detail}"))

    tls = TlsConnection(client_side(), server_side=False, on_ready=on_ready, on_failed=on_failed)
    await asyncio.get_running_loop().create_connection(lambda: tls, "127.0.0.1", port)
    await ready
    return tls


def openssl_files(folder: Path) -> list[str]:
    """Arguments that make `openssl s_client` and `s_server` use a folder's identity."""
    names = {"-cert": "tls.crt", "-key": "tls.key", "-cert_chain": "tls.crt", "-CAfile": "ca.crt"}
    return [part for flag, name in names.items() for part in (flag, str(folder / name))]


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that only happens to the other side of a socket."""
    while not condition():  # noqa: ASYNC110  # there is no event to wait for
        await asyncio.sleep(0.001)


def resident() -> int:
    """Bytes of memory that this process holds and could not give back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
