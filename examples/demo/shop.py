"""The scene: a folder with a CA, certificates and configurations, and what runs in it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Final

from examples import apps
from examples.demo import clients
from examples.demo.ports import reserved
from examples.demo.processes import Fleet, uninterrupted, until
from examples.demo.ui import Console

TRUST_DOMAIN: Final = "demo.local"
WORKLOADS: Final = ("orders", "frontend", "intruder")
CONFIGS: Final = Path(__file__).parent / "configs"
_APPS: Final = Path(apps.__file__).parent
_PORTS: Final = (
    "orders_app", "orders_mtls", "orders_admin",
    "frontend_app", "frontend_out", "frontend_admin",
    "intruder_out", "intruder_admin",
)  # fmt: skip

Line = dict[str, Any]


def spiffe_id(workload: str) -> str:
    return f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/{workload}"


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything that the steps act on."""

    folder: Path
    ports: dict[str, int]
    fleet: Fleet
    console: Console

    # --- setting it up ---

    def certify(self) -> None:
        """Make the CA and one identity folder for each workload."""
        self.pki("init", "--dir", "ca", "--trust-domain", TRUST_DOMAIN)
        for workload in WORKLOADS:
            # The address is for curl, which looks for one; sidecars go by the SPIFFE ID.
            address = ("--ip", "127.0.0.1") if workload == "orders" else ()
            identity = ("--spiffe-id", spiffe_id(workload), *address)
            self.pki("issue", "--dir", "ca", *identity, "--out", f"certs/{workload}")

    def configure(self, templates: Path) -> None:
        """Write each sidecar's configuration, with the ports of this run."""
        for workload in WORKLOADS:
            template = Template((templates / f"{workload}.yaml").read_text("utf-8"))
            config = self.folder / f"{workload}.yaml"
            config.write_text(template.substitute(self.ports), "utf-8")

    def start(self) -> None:
        """Start the applications and their sidecars, and wait until all of them serve."""
        port, url = self.ports, f"http://127.0.0.1:{self.ports['frontend_out']}"
        self._start_app("orders", {"PORT": port["orders_app"]})
        self._start_app("frontend", {"PORT": port["frontend_app"], "ORDERS_URL": url})
        for workload in WORKLOADS:
            self.console.command(f"sidecar run --config {workload}.yaml")
            self.fleet.start(workload, "-m", "sidecar", "run", "--config", f"{workload}.yaml")
        for workload in WORKLOADS:
            self._await(workload, f"{workload}_admin", "/readyz")
        self._await("orders-app", "orders_app", "/api/orders")
        self._await("frontend-app", "frontend_app", "/")

    def _start_app(self, name: str, env: dict[str, object]) -> None:
        shown = " ".join(f"{key}={value}" for key, value in env.items())
        self.console.command(f"{shown} python examples/apps/{name}.py")
        self.fleet.start(f"{name}-app", str(_APPS / f"{name}.py"), env=env)

    def _await(self, process: str, port: str, path: str) -> None:
        def is_up() -> bool:
            self.fleet.check(process)
            return clients.answers(self.ports[port], path)

        until(is_up, f"{process} to serve")

    # --- acting on it ---

    def pki(self, *arguments: str) -> str:
        """Run and show a `pki` command."""
        self.console.command(" ".join(("pki", *arguments)))
        return self.fleet.call("pki", *arguments)

    def certs(self, workload: str) -> Path:
        """The identity folder of a workload."""
        return self.folder / "certs" / workload

    @property
    def root(self) -> Path:
        """The root certificate that all of them trust."""
        return self.certs("orders") / "ca.crt"

    def identity(self, workload: str) -> dict[str, Any]:
        """What a sidecar says about itself on its admin port."""
        return dict(clients.get(self.ports[f"{workload}_admin"], "/identity").json())

    # --- the access log of the orders sidecar ---

    def log_end(self) -> int:
        """Where the access log ends now."""
        return self._log.stat().st_size

    def log_line(self, since: int, **expected: Any) -> Line:
        """Wait for the first line from `since` on that has these values."""
        what = " and ".join(f"{key} {value}" for key, value in expected.items())
        return until(lambda: self._find(since, expected), f"an access-log line with {what}")

    def _find(self, since: int, expected: Line) -> Line:
        whole = self._log.read_bytes()[since:].rpartition(b"\n")[0]
        found = map(json.loads, whole.splitlines())
        return next((line for line in found if line.items() >= expected.items()), {})

    @property
    def _log(self) -> Path:
        return self.folder / "orders.log"


@contextmanager
def opened(console: Console) -> Iterator[Shop]:
    """An empty shop in a folder of its own; nothing of it is left when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="mtls-demo-"))
    fleet = Fleet(folder)
    try:
        with reserved(*_PORTS) as ports:
            yield Shop(folder, ports, fleet, console)
    finally:
        with uninterrupted():
            fleet.stop()
            shutil.rmtree(folder)
