"""From configuration and identity to the services of a snapshot: pure wiring, one direction.

A TLS context for each listener, even where two would be equal: a session of one listener means
nothing to another.
"""

from __future__ import annotations

from ssl import SSLContext
from typing import Final

from sidecar.config import Address, Config, Inbound, Outbound
from sidecar.core.path import plain
from sidecar.core.peer import check_peer, expect_server
from sidecar.core.policy import egress
from sidecar.core.request import Limits, Timeouts
from sidecar.identity.files import Identity
from sidecar.net.contexts import client_context, server_context
from sidecar.net.inbound import Admission, InboundSettings, parse_peer
from sidecar.net.inbound import Inbound as InboundService
from sidecar.net.outbound import Outbound as OutboundService
from sidecar.net.outbound import OutboundSettings
from sidecar.net.proxyheader import proxy_header
from sidecar.net.tls import TlsConnection
from sidecar.net.upstream import Target, Tls, Upstream
from sidecar.net.world import World

_ALPN: Final = {"http": ("http/1.1",), "tcp": ()}


def inbound_service(
    config: Config, entry: Inbound, identity: Identity, world: World
) -> InboundService:
    """Build the service of one inbound listener."""
    policy = entry.policy()
    context = server_context(
        identity.credentials,
        config.tls.min_version,
        alpn=_ALPN[entry.protocol],
        names=entry.proxy_protocol == "v2",  # only the PROXY header says what name was asked for
    )
    settings = InboundSettings(
        name=entry.name,
        http=entry.protocol == "http",
        context=context,
        admission=Admission(identity.spiffe_id, policy, identity.roots, identity.revoked),
        target_rule=policy.target_rule,
        limits=_limits(entry),
        timeouts=_timeouts(entry),
        handshake_s=entry.timeouts.handshake,
        handshakes=entry.limits.handshakes,
        lifetime_s=entry.limits.lifetime,
        own_not_after=identity.leaf.not_after,
        proxy_header=proxy_header if entry.proxy_protocol == "v2" else None,
    )
    upstream = Upstream(_target(entry, (entry.forward,), None), world.sweep)
    return InboundService(settings, upstream, world)


def outbound_service(
    config: Config, entry: Outbound, identity: Identity, world: World
) -> OutboundService:
    """Build the service of one outbound listener."""
    settings = OutboundSettings(
        name=entry.name,
        http=entry.protocol == "http",
        permit=egress(entry.name),
        local=str(identity.spiffe_id),
        target_rule=plain,
        limits=_limits(entry),
        timeouts=_timeouts(entry),
    )
    context = client_context(
        identity.credentials, config.tls.min_version, alpn=_ALPN[entry.protocol]
    )
    tls = _originate(entry, identity, context, world)
    upstream = Upstream(_target(entry, entry.connect, tls), world.sweep)
    return OutboundService(settings, upstream, world)


def _originate(entry: Outbound, identity: Identity, context: SSLContext, world: World) -> Tls:
    """Say how this route knows its server: before the first byte, by its SPIFFE ID."""

    def check(layer: TlsConnection) -> str:
        peer = check_peer(
            parse_peer(layer),
            trust_domain=identity.trust_domain,
            now=world.clock.wall(),
            revoked=identity.revoked,
            chain_length=layer.chain_length(),
        )
        expect_server(peer, entry.expect)
        return str(peer.spiffe_id)

    return Tls(context, check, entry.server_name)


def _target(entry: Inbound | Outbound, addresses: tuple[Address, ...], tls: Tls | None) -> Target:
    return Target(
        addresses=addresses,
        tls=tls,
        connect_s=entry.timeouts.connect,
        handshake_s=entry.timeouts.handshake,
        idle_s=entry.timeouts.idle,
        max_idle=entry.limits.idle_upstreams,
    )


def _limits(entry: Inbound | Outbound) -> Limits:
    limits = entry.limits
    return Limits(limits.head_bytes, limits.fields, limits.body_bytes)


def _timeouts(entry: Inbound | Outbound) -> Timeouts:
    timeouts = entry.timeouts
    return Timeouts(timeouts.head, timeouts.idle, timeouts.response, timeouts.total)
