"""A pair of sidecars: `here` beside the client, `there` beside the applications."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.clients import Http, plain
from tests.e2e.harness import Sidecar, Site, Watch, inbound, outbound


@dataclass(frozen=True, slots=True)
class Pair:
    """Every inbound listener `there` has an outbound one of the same name `here`."""

    here: Sidecar
    there: Sidecar

    def connect(self, name: str) -> socket.socket:
        """A connection through both to the application of that name."""
        return plain(self.here.port(name))

    def http(self, name: str) -> Http:
        """The same, for HTTP."""
        return Http(self.connect(name))

    def watches(self) -> tuple[Watch, Watch]:
        return self.here.watch(), self.there.watch()

    def add(self, name: str, protocol: str, application: object, **more: Any) -> None:
        """Let a pair of listeners come while others serve."""
        port = inbound(name, application, protocol, **more)
        self.there.configure(inbound=[*self.there.config["inbound"], port])
        self.there.reload()
        route = outbound(name, self.there.port(name), protocol)
        self.here.configure(outbound=[*self.here.config["outbound"], route])
        self.here.reload()


def start_pair(
    site: Site, protocol: str, applications: Mapping[str, object], **config: Any
) -> Pair:
    """Start a pair of `frontend` and `web`, with a port for each application."""
    ports = [inbound(name, where, protocol) for name, where in applications.items()]
    there = site.sidecar("web", {"inbound": ports, **config})
    routes = [outbound(name, there.port(name), protocol) for name in applications]
    return Pair(site.sidecar("frontend", {"outbound": routes, **config}), there)
