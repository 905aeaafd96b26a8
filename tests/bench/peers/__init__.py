"""The proxies that are compared: each a small file that writes one configuration.

The same work is asked of each: TLS 1.3 only, client certificate required, the identity of the
other side checked on both sides (once a connection, as we do), connections kept alive on both
sides, no limit on requests a connection, one worker. Access log and metrics are on for us and
Envoy. They are off for HAProxy and nginx, which have no metrics of that kind by default: those
two are the aim, and the aim gets the benefit. What a default decides (session tickets, buffers,
TCP_NODELAY) is left to it. All sign with P-256; the cipher is settled in `topology`.
"""

from typing import Final

from tests.bench.peers import envoy, haproxy, nginx, sidecar
from tests.bench.place import Peer

ALL: Final[tuple[Peer, ...]] = (
    sidecar.SHIPPED,
    sidecar.SOURCE,
    envoy.PEER,
    haproxy.PEER,
    nginx.PEER,
)
