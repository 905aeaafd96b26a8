"""HAProxy from the distribution, with one thread and no master process.

It cannot match a URI name, so a server checks its client's common name (by a session rule, which
runs once a connection) and a client its server's DNS name. Session tickets as they come.
"""

from __future__ import annotations

import shutil
from typing import Final

from tests.bench.place import Peer, Place, Protocol, dns_name


def _find(_protocol: Protocol) -> str | None:
    return shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin") or shutil.which("haproxy")


def _command(place: Place) -> list[str]:
    # HAProxy wants certificate and key in one file.
    place.write("pair.pem", place.certificate.read_text() + place.key.read_text())
    return ["-db", "-f", str(place.write("haproxy.cfg", config(place)))]


def config(place: Place) -> str:
    """One frontend, one backend; TLS on the side that faces the partner."""
    tls = f"ssl crt {place.folder}/pair.pem ca-file {place.trust} verify required"
    server_tls = f"{tls} verifyhost {dns_name('inbound')} sni str({dns_name('inbound')})"
    inbound = place.side == "inbound"
    return f"""\
global
    nbthread 1
    maxconn 4096
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-server-options ssl-min-ver TLSv1.3
defaults
    mode {place.protocol}
    timeout connect 5s
    timeout client 75s
    timeout server 75s
frontend in
    bind 127.0.0.1:{place.listen} {tls if inbound else ""}
{_inbound_rules(place) if inbound else ""}
    default_backend next
backend next
    {"http-reuse always" if place.protocol == "http" else ""}
    server next 127.0.0.1:{place.target} {"" if inbound else server_tls}
"""


def _inbound_rules(place: Place) -> str:
    check = "    tcp-request session reject unless { ssl_c_s_dn(CN) -m str outbound }"
    header = "    http-request set-header x-forwarded-client-cert Subject=%{+Q}[ssl_c_s_dn]"
    return f"{check}\n{header}" if place.protocol == "http" else check


PEER: Final = Peer(
    name="haproxy",
    find=_find,
    missing="not found: apt-get install haproxy",
    version=("-v",),
    command=_command,
)
