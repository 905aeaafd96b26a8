"""nginx from the distribution, one process (`master_process off`: no second one to count).

Requests go through `http`, opaque bytes through `stream`, which has no rule on a client's name:
there, any certificate of the CA passes, which is less work than the others do. Session tickets
as they come.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.bench.place import MANY, Peer, Place, Protocol, dns_name

_STREAM_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_stream_module.so")  # Debian: dynamic


def _find(protocol: Protocol) -> str | None:
    """`stream` is a module of its own in Debian, and built in elsewhere."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or shutil.which("nginx")
    if program is None or protocol == "http" or _STREAM_MODULE.exists():
        return program
    return program if _has_stream(program) else None


def _has_stream(program: str) -> bool:
    said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False)
    return "--with-stream" in said.stderr.split()


def _command(place: Place) -> list[str]:
    path = place.write("nginx.conf", config(place))
    return ["-p", str(place.folder), "-e", "stderr", "-c", str(path)]


def config(place: Place) -> str:
    """The whole file; everything that nginx writes stays in its folder."""
    load = f"load_module {_STREAM_MODULE};" if _needs_module(place) else ""
    return f"""\
{load}
daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
{_http(place) if place.protocol == "http" else _stream(place)}
"""


def _needs_module(place: Place) -> bool:
    return place.protocol == "tcp" and _STREAM_MODULE.exists()


def _http(place: Place) -> str:
    inbound = place.side == "inbound"
    temporary = "\n".join(
        f"    {kind}_temp_path tmp-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
http {{
{temporary}
    access_log off;
    keepalive_requests {MANY};
    upstream next {{
        server 127.0.0.1:{place.target};
        keepalive 512;
        keepalive_requests {MANY};
    }}
    server {{
        listen 127.0.0.1:{place.listen} {"ssl" if inbound else ""};
{_server_tls(place) if inbound else _client_tls(place)}
        location / {{
            {_IDENTITY if inbound else ""}
            proxy_pass {"http" if inbound else "https"}://next;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }}
    }}
}}"""


# Runs for every request; nginx knows no rule for a connection.
_IDENTITY: Final = """\
if ($ssl_client_s_dn != "CN=outbound") { return 403; }
            proxy_set_header X-Forwarded-Client-Cert 'Subject="$ssl_client_s_dn"';"""


def _stream(place: Place) -> str:
    inbound = place.side == "inbound"
    return f"""\
stream {{
    server {{
        listen 127.0.0.1:{place.listen} {"ssl" if inbound else ""};
{_server_tls(place) if inbound else "        proxy_ssl on;" + chr(10) + _client_tls(place)}
        proxy_pass 127.0.0.1:{place.target};
    }}
}}"""


def _server_tls(place: Place) -> str:
    return f"""\
        ssl_protocols TLSv1.3;
        ssl_certificate {place.certificate};
        ssl_certificate_key {place.key};
        ssl_client_certificate {place.trust};
        ssl_verify_client on;
        ssl_verify_depth 3;"""


def _client_tls(place: Place) -> str:
    return f"""\
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_certificate {place.certificate};
        proxy_ssl_certificate_key {place.key};
        proxy_ssl_trusted_certificate {place.trust};
        proxy_ssl_verify on;
        proxy_ssl_verify_depth 3;
        proxy_ssl_server_name on;
        proxy_ssl_name {dns_name("inbound")};"""


PEER: Final = Peer(
    name="nginx",
    find=_find,
    missing="not found: apt-get install nginx libnginx-mod-stream",
    version=("-v",),
    command=_command,
)
