"""Every peer does the work that the comparison claims: same TLS, same checks, same answer."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench import topology
from tests.bench.load import REQUEST
from tests.bench.peers import ALL
from tests.bench.place import Peer, Protocol, spiffe_id
from tests.bench.topology import Ground
from tests.certs import TestCA

pytestmark = pytest.mark.e2e

PROTOCOLS: tuple[Protocol, ...] = ("http", "tcp")
# Who is not installed is no case here; the bench's own table says that loudly.
CHAINS = [(peer, protocol) for peer in ALL for protocol in PROTOCOLS if peer.find(protocol)]


@dataclass(frozen=True, slots=True)
class Chain:
    """A running chain of one peer."""

    peer: Peer
    protocol: Protocol
    tls_port: int


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    cores = topology.choose_cores(os.sched_getaffinity(0))
    with topology.ground(tmp_path_factory.mktemp("bench"), cores) as value:
        yield value


@pytest.fixture(
    scope="module",
    params=CHAINS,
    ids=lambda param: f"{param[0].name}-{param[1]}",
)
def chain(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Chain]:
    peer, protocol = request.param
    with topology.pair(peer, protocol, REQUEST, ground) as pair:
        yield Chain(peer, protocol, pair.tls_port)


def _client(ground: Ground, identity: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ground.identities["outbound"] / "ca.crt"))
    context.check_hostname = False
    if identity:
        context.load_cert_chain(identity / "tls.crt", identity / "tls.key")
    return context


def _serves(chain: Chain, context: ssl.SSLContext) -> bool:
    """Whether the inbound proxy answers that client with 200; `TimeoutError` if it hangs."""
    try:
        with (
            socket.create_connection(("127.0.0.1", chain.tls_port), 10) as plain,
            context.wrap_socket(plain, server_hostname="inbound.bench.local") as tls,
        ):
            tls.sendall(REQUEST)
            return tls.recv(65536).startswith(b"HTTP/1.1 200 ")
    except (ssl.SSLError, ConnectionError):
        return False


def test_the_partner_is_served(chain: Chain, ground: Ground) -> None:
    assert _serves(chain, _client(ground, ground.identities["outbound"]))


def test_a_client_without_certificate_is_not(chain: Chain, ground: Ground) -> None:
    assert not _serves(chain, _client(ground, None))


def test_a_client_of_a_foreign_ca_is_not(chain: Chain, ground: Ground, tmp_path: Path) -> None:
    foreign = TestCA().leaf(spiffe_id("outbound"), subject="outbound").write_folder(tmp_path)
    assert not _serves(chain, _client(ground, foreign))


def test_another_identity_of_the_same_ca_is_not_but_by_nginx_for_opaque_bytes(
    chain: Chain, ground: Ground, tmp_path: Path
) -> None:
    other = ground.ca.leaf(spiffe_id("inbound"), subject="inbound").write_folder(tmp_path)
    blind = (chain.peer.name, chain.protocol) == ("nginx", "tcp")  # has no rule on names there
    assert _serves(chain, _client(ground, other)) is blind


def test_tls_1_2_is_not_spoken(chain: Chain, ground: Ground) -> None:
    context = _client(ground, ground.identities["outbound"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert not _serves(chain, context)
