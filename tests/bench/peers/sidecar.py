"""Our own: each process is a whole sidecar, with a listener on either side and the admin port.

So the idle memory in the table is that of "one inbound, one outbound listener and admin", though
each of the two processes works on one side only.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any, Final

from tests.bench.place import Peer, Place, Protocol, Side, spiffe_id


def _find(_protocol: Protocol) -> str | None:
    """The interpreter that runs the harness, if the package has its command line."""
    return sys.executable if importlib.util.find_spec("sidecar.cli") else None


def _command(place: Place) -> list[str]:
    # JSON is YAML, so the file needs no writer of its own.
    path = place.write("sidecar.yaml", json.dumps(config(place), indent=1))
    return ["-m", "sidecar.cli", "run", "--config", str(path)]


def config(place: Place) -> dict[str, Any]:
    """The used listener at `place.listen`, the unused one of the other side at `place.spare`."""
    ports: dict[Side, int] = {place.side: place.listen, place.partner: place.spare}
    target = f"127.0.0.1:{place.target}"
    return {
        "identity": {"dir": str(place.identity)},
        "inbound": [
            {
                "name": "in",
                "listen": f"127.0.0.1:{ports['inbound']}",
                "forward": target,
                "protocol": place.protocol,
                "allow": [{"from": [spiffe_id("outbound")]}],
            }
        ],
        "outbound": [
            {
                "name": "out",
                "listen": f"127.0.0.1:{ports['outbound']}",
                "connect": [target],
                "expect": [spiffe_id("inbound")],
                "protocol": place.protocol,
            }
        ],
        "admin": {"listen": f"127.0.0.1:{place.admin}"},
    }


PEER: Final = Peer(
    name="sidecar",
    find=_find,
    missing="sidecar.cli is not importable: run from the root of the repository",
    version=("-m", "sidecar.cli", "--version"),
    command=_command,
)
