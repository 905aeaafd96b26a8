"""From a TLS connection to the PROXY header that tells the application about it."""

from __future__ import annotations

from typing import Any

from sidecar.core.ids import Peer
from sidecar.core.proxyproto import Endpoint, TlsFacts, header
from sidecar.net.tls import TlsConnection


def proxy_header(layer: TlsConnection, peer: Peer) -> bytes:
    """Render the header for an admitted connection; see `core.proxyproto`."""
    facts = TlsFacts(
        spiffe_id=str(peer.spiffe_id),
        version=layer.version(),
        cipher=layer.cipher(),
        alpn=layer.alpn() or "",
        server_name=layer.server_name() or "",
    )
    ends = layer.get_extra_info("peername"), layer.get_extra_info("sockname")
    return header(_endpoint(ends[0]), _endpoint(ends[1]), facts)


def _endpoint(name: Any) -> Endpoint | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
