"""Envoy from PyPI (`requirements/bench.txt`), with one worker thread.

Its default access log (text) is on, as are its statistics. It sets the identity header on the
inbound side, as we always do. Resumption: BoringSSL's default, tickets given and taken.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from tests.bench.place import Peer, Place, Protocol, dns_name, spiffe_id

Json = dict[str, Any]
_TYPES: Final = "type.googleapis.com/envoy.extensions"
_TLS: Final = f"{_TYPES}.transport_sockets.tls.v3"


def _find(_protocol: Protocol) -> str | None:
    """The wheel puts the program beside the interpreter of its virtual environment."""
    return shutil.which("envoy", path=Path(sys.executable).parent) or shutil.which("envoy")


def _command(place: Place) -> list[str]:
    path = place.write("envoy.json", json.dumps(bootstrap(place), indent=1))
    return ["-c", str(path), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


def bootstrap(place: Place) -> Json:
    """One listener, one cluster, the admin port; TLS on the side that faces the partner."""
    chain: Json = {"filters": [_http(place) if place.protocol == "http" else _tcp(place)]}
    cluster: Json = {
        "name": "next",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "next",
            "endpoints": [{"lb_endpoints": [{"endpoint": _address(place.target)}]}],
        },
    }
    if place.side == "inbound":
        chain["transport_socket"] = _tls(place, "Downstream", require_client_certificate=True)
    else:
        cluster["transport_socket"] = _tls(place, "Upstream", sni=dns_name("inbound"))
    return {
        "admin": _address(place.admin),
        "static_resources": {
            "listeners": [{"name": "in", **_address(place.listen), "filter_chains": [chain]}],
            "clusters": [cluster],
        },
    }


def _http(place: Place) -> Json:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "next"}}
    manager: Json = {
        "stat_prefix": "http",
        "access_log": [_access_log(place)],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            _typed("envoy.filters.http.router", f"{_TYPES}.filters.http.router.v3.Router")
        ],
    }
    if place.side == "inbound":
        manager["forward_client_cert_details"] = "SANITIZE_SET"
        manager["set_current_client_cert_details"] = {"subject": True, "uri": True, "dns": True}
    kind = f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return _typed("envoy.filters.network.http_connection_manager", kind, **manager)


def _tcp(place: Place) -> Json:
    kind = f"{_TYPES}.filters.network.tcp_proxy.v3.TcpProxy"
    return _typed(
        "envoy.filters.network.tcp_proxy",
        kind,
        stat_prefix="tcp",
        cluster="next",
        access_log=[_access_log(place)],
    )


def _access_log(place: Place) -> Json:
    kind = f"{_TYPES}.access_loggers.file.v3.FileAccessLog"
    return _typed("envoy.access_loggers.file", kind, path=str(place.folder / "access.log"))


def _tls(place: Place, direction: str, **more: object) -> Json:
    """A TLS context that presents our certificate and takes the partner's identity only."""
    partner = {"san_type": "URI", "matcher": {"exact": spiffe_id(place.partner)}}
    common = {
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(place.certificate)},
                "private_key": {"filename": str(place.key)},
            }
        ],
        "validation_context": {
            "trusted_ca": {"filename": str(place.trust)},
            "match_typed_subject_alt_names": [partner],
        },
    }
    kind = f"{_TLS}.{direction}TlsContext"
    return _typed("envoy.transport_sockets.tls", kind, common_tls_context=common, **more)


def _typed(name: str, kind: str, **fields: object) -> Json:
    return {"name": name, "typed_config": {"@type": kind, **fields}}


def _address(port: int) -> Json:
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}


PEER: Final = Peer(
    name="envoy",
    find=_find,
    missing="not found: pip install --require-hashes -r requirements/bench.txt",
    version=("--version",),
    command=_command,
)
