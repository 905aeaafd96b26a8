"""One chain: ports, certificates, an application and a pair of proxies.

All of it lives in one temporary folder and ends with its `with` block, whatever happens in it.
Proxies share one core and the application stays on the other with the load, so that a proxy
competes with its partner (as it does with anybody on a node) and not with the instrument.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.place import TRUST_DOMAIN, Peer, Place, Protocol, Side, dns_name, spiffe_id
from tests.bench.processes import Child, Command, StartError, running
from tests.certs import TestCA

_READY_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.01

# BoringSSL's TLS 1.3 suites cannot be configured and begin with this one. OpenSSL's begin with
# AES-256, and Python 3.11 has no call to change that; this file moves all users of OpenSSL.
_OPENSSL_CONF: Final = """\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = default
[default]
Ciphersuites = TLS_AES_128_GCM_SHA256
"""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the proxies run on and which one the load and the application."""

    proxies: int
    load: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What all chains of a run stand on."""

    folder: Path
    ca: TestCA
    identities: dict[Side, Path]
    openssl_conf: Path
    application: int  # port
    cores: Cores


@dataclass(frozen=True, slots=True)
class Pair:
    """A running chain: where the load goes in, whom to measure, and how long it took to start.

    The proxies meet on `tls_port`; `start_seconds` runs from before the first process to the
    first answer through both.
    """

    port: int
    tls_port: int
    pids: dict[Side, int]
    start_seconds: float


def choose_cores(available: set[int]) -> Cores:
    """The first two, or twice the only one."""
    first, *others = sorted(available)
    return Cores(proxies=first, load=others[0] if others else first)


@contextmanager
def ground(folder: Path, cores: Cores) -> Iterator[Ground]:
    """Write certificates and start the application, until the block ends."""
    openssl_conf = folder / "openssl.cnf"
    openssl_conf.write_text(_OPENSSL_CONF)
    (port,) = _free_ports(1)
    home = folder / "application"
    home.mkdir()
    argv = [sys.executable, "-m", "tests.bench.app", str(port)]
    with running(Command(argv, home, cores.load, {})) as child:
        _wait_until(lambda: _is_open(port), [child])
        ca = TestCA(TRUST_DOMAIN).intermediate()
        yield Ground(folder, ca, _write_identities(ca, folder), openssl_conf, port, cores)


@contextmanager
def pair(peer: Peer, protocol: Protocol, probe: bytes, on: Ground) -> Iterator[Pair]:
    """Start both proxies and yield once `probe`, a request, is answered through them.

    Raise `StartError` if that does not happen in time.
    """
    entry, middle, *rest = _free_ports(6)
    places = (
        _place("inbound", protocol, (middle, on.application, *rest[:2]), on),
        _place("outbound", protocol, (entry, middle, *rest[2:]), on),
    )
    started = time.perf_counter()
    with ExitStack() as stack:
        children = {
            place.side: stack.enter_context(running(_command(peer, place, on))) for place in places
        }
        # Ports first: a proxy that asks its partner too early may wait a second before it retries.
        _wait_until(
            lambda: all(_is_open(place.listen) for place in places) and _is_answered(entry, probe),
            list(children.values()),
        )
        took = time.perf_counter() - started
        yield Pair(entry, middle, {side: child.pid for side, child in children.items()}, took)


def _command(peer: Peer, place: Place, on: Ground) -> Command:
    program = peer.find(place.protocol)
    assert program is not None, "only peers that were found are started"
    environment = {"OPENSSL_CONF": str(on.openssl_conf)}
    return Command([program, *peer.command(place)], place.folder, on.cores.proxies, environment)


def _write_identities(ca: TestCA, folder: Path) -> dict[Side, Path]:
    """Certificates of both proxies, each in a folder of the usual three files.

    P-256 under an intermediate, as most CAs issue. We and Envoy match the SPIFFE ID; for HAProxy
    2.6 and nginx, which cannot, a client has a common name and a server a DNS name.
    """
    sides: tuple[Side, ...] = ("outbound", "inbound")
    return {
        side: ca.leaf(spiffe_id(side), subject=side, dns=[dns_name(side)]).write_folder(
            folder / f"identity-{side}"
        )
        for side in sides
    }


def _place(side: Side, protocol: Protocol, ports: tuple[int, ...], on: Ground) -> Place:
    listen, target, admin, spare = ports
    home = on.folder / side
    home.mkdir(exist_ok=True)
    return Place(side, protocol, listen, target, admin, spare, on.identities[side], home)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has now; all are held before the first is let go, so no two are equal."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_until(ready: Callable[[], bool], children: list[Child]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not ready():
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            words = "".join(child.last_words() for child in children)
            raise StartError(f"gave no answer within {_READY_SECONDS:.0f} s{words}")
        time.sleep(_POLL_SECONDS)


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _READY_SECONDS).close()
    except OSError:
        return False
    return True


def _is_answered(port: int, probe: bytes) -> bool:
    """Whether the chain answers a request with 200 now; anything else is `not yet`."""
    try:
        with socket.create_connection(("127.0.0.1", port), _READY_SECONDS) as connection:
            connection.sendall(probe)
            return connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False
