"""Our own, twice: as it ships (a wheel with compiled modules) and as the source in this tree.

Each process is a whole sidecar, with a listener on either side and the admin port. So the idle
memory in the table is that of "one inbound, one outbound listener and admin", though each of the
two processes works on one side only.
"""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path
from typing import Any, Final

from tests.bench.place import Peer, Place, Protocol, Side, spiffe_id


def _find_installed(_protocol: Protocol) -> str | None:
    """The console script beside the interpreter, if what it runs is compiled."""
    installed = Path(sysconfig.get_path("platlib"), "sidecar", "core")
    script = Path(sys.executable).with_name("sidecar")
    return str(script) if any(installed.glob("exchange.*.so")) and script.exists() else None


def _find_source(_protocol: Protocol) -> str | None:
    """This interpreter: in a checkout, `-m` finds the package in the working directory first."""
    return sys.executable if Path("sidecar", "__main__.py").exists() else None


def _write(place: Place) -> str:
    # JSON is YAML, so the file needs no writer of its own.
    return str(place.write("sidecar.yaml", json.dumps(config(place), indent=1)))


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


SHIPPED: Final = Peer(
    name="sidecar",
    find=_find_installed,
    missing="no wheel is installed beside this interpreter: `make bench` builds one",
    version=("--version",),
    command=lambda place: ["run", "--config", _write(place)],
)
SOURCE: Final = Peer(
    name="sidecar-pure",
    find=_find_source,
    missing="not in the working directory: run from the root of the repository",
    version=("-m", "sidecar", "--version"),
    command=lambda place: ["-m", "sidecar", "run", "--config", _write(place)],
)
