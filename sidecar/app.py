"""The composition root: builds a snapshot, runs it, reloads it, drains it.

A reload is prepare all, then commit all. Everything that can fail (the file, the identity, the
TLS contexts, the policy, a new port) happens while the old snapshot serves; what follows is a
handful of assignments. If anything fails the old snapshot goes on, and `/readyz` says which
generation runs and why the newest was refused.

Certificates may be missing when the process starts (a volume that is mounted later, an issuer
that is slower): the admin ports are up at once and say what is waited for, the listeners open
when there is an identity to serve with.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import secrets
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sidecar.admin.server import AdminServer
from sidecar.config import Config, ConfigError, Inbound, Outbound, load
from sidecar.core.reasons import DRAINING
from sidecar.core.record import Direction
from sidecar.identity.files import Identity, IdentityError, fingerprint, load_identity
from sidecar.net.inbound import Inbound as InboundService
from sidecar.net.listener import Listener, bind
from sidecar.net.outbound import Outbound as OutboundService
from sidecar.net.sweep import Clock, Sweep
from sidecar.net.world import World
from sidecar.services import inbound_service, outbound_service
from sidecar.telemetry.accesslog import AccessLog
from sidecar.telemetry.metrics import Telemetry
from sidecar.telemetry.oplog import log, start

Service = InboundService | OutboundService

_LOOK_S: Final = 0.02  # between two looks whether all connections have ended
_CUT_S: Final = 1.0  # for those that were cut to be gone


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What new connections use: one frozen configuration, identity and policy."""

    generation: int
    config: Config
    identity: Identity
    services: dict[str, Service]


class App:
    """One running sidecar."""

    def __init__(self, path: Path, config: Config, telemetry: Telemetry) -> None:
        self.config = config
        self.snapshot: Snapshot | None = None
        self.failure = ""  # why the newest attempt to load was refused
        self.draining = False
        self._path = path
        self._clock = Clock()
        self._world = World(
            self._clock,
            Sweep(self._clock, telemetry.settle),
            telemetry,
            secrets.token_hex(6).encode("ascii"),
        )
        self._listeners: dict[str, Listener] = {}
        self._seen: object = None
        self._stop = asyncio.Event()

    # --- loading -------------------------------------------------------------------------------

    def reload(self) -> bool:
        """Read everything again; on any failure change nothing and remember why.

        A sidecar that drains does nothing of that: it begins nothing new.
        """
        if self.draining:
            return False
        self._seen = self._fingerprint()
        try:
            config = load(self._path)
            snapshot = self._prepare(config)
            opened = self._open_new(config)
        except (ConfigError, IdentityError, OSError) as error:
            self._failed(str(error))
            return False
        self._commit(snapshot, opened)
        return True

    def _failed(self, why: str) -> None:
        if self.failure != why:
            log.error("reload refused", why=why, generation=self.generation)
        self.failure = why
        self._world.telemetry.reloaded(ok=False)

    @property
    def generation(self) -> int:
        """The number of the snapshot that runs, 0 before the first."""
        return self.snapshot.generation if self.snapshot is not None else 0

    def _prepare(self, config: Config) -> Snapshot:
        """Build everything that new connections will use."""
        identity = load_identity(
            Path(config.identity.dir), time.time(), config.identity.trust_domain
        )
        services: dict[str, Service] = {}
        for inbound in config.inbound:
            services[inbound.name] = inbound_service(config, inbound, identity, self._world)
        for outbound in config.outbound:
            services[outbound.name] = outbound_service(config, outbound, identity, self._world)
        return Snapshot(self.generation + 1, config, identity, services)

    def _open_new(self, config: Config) -> dict[str, Listener]:
        """Bind the ports that are not open yet, all or none."""
        opened: dict[str, Listener] = {}
        try:
            for entry in _entries(config):
                if not self._is_open(entry):
                    opened[entry.name] = self._open(entry)
        except OSError:
            for listener in opened.values():
                listener.close()
            raise
        return opened

    def _is_open(self, entry: Inbound | Outbound) -> bool:
        listener = self._listeners.get(entry.name)
        return listener is not None and listener.configured == entry.listen

    def _open(self, entry: Inbound | Outbound) -> Listener:
        direction: Direction = "inbound" if isinstance(entry, Inbound) else "outbound"
        return Listener(entry.name, direction, entry.listen, self._world)

    def _commit(self, snapshot: Snapshot, opened: dict[str, Listener]) -> None:
        """Swap; nothing in here can fail."""
        old, self.snapshot = self.snapshot, snapshot
        self.config = snapshot.config
        self.failure = ""
        entries = {entry.name: entry for entry in _entries(self.config)}
        for name in (self._listeners.keys() - entries.keys()) | opened.keys():
            gone = self._listeners.pop(name, None)
            if gone is not None:
                gone.close()
        self._listeners |= opened
        for name, listener in self._listeners.items():
            listener.limit = entries[name].limits.connections
            listener.start(snapshot.services[name])
        if old is not None:
            _hand_over(old.services, snapshot.services)
        self._publish(snapshot)

    def _publish(self, snapshot: Snapshot) -> None:
        identity = snapshot.identity
        for warning in identity.warnings:
            log.warning("identity", warning=warning)
        telemetry = self._world.telemetry
        telemetry.generation = snapshot.generation
        telemetry.reloaded(ok=True)
        telemetry.identity(
            identity.leaf.not_before,
            identity.leaf.not_after,
            identity.bundle_not_after,
            identity.crl_next_update,
        )
        log.info("serving", generation=snapshot.generation, spiffe_id=str(identity.spiffe_id))

    def _fingerprint(self) -> object:
        return _look(self._path), fingerprint(Path(self.config.identity.dir))

    async def _watch(self) -> None:
        """Look once in an interval whether anything on disk changed.

        After a failure, try again even so: time alone frees a port and makes a certificate valid.
        """
        while True:
            await asyncio.sleep(self.config.reload_interval)
            if self.failure or self._fingerprint() != self._seen:
                self.reload()

    # --- running -------------------------------------------------------------------------------

    async def run(self) -> int:
        """Serve until told to stop; return the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.quit)
        loop.add_signal_handler(signal.SIGINT, self.quit)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        servers = [await server for server in self._admin_servers()]
        if not self.reload():
            log.warning("not serving yet", why=self.failure)
        gc.collect()
        gc.freeze()  # what is there now stays; do not look at it again
        world = self._world
        stops = [world.spawn(world.sweep.run()), world.spawn(self._watch())]
        await self._stop.wait()
        drained = await self._drained(self.config.drain_timeout)
        for stop in stops:
            stop()
        for server in servers:
            server.close()
        log.info("stopped", drained=drained)
        return 0 if drained else 1

    def _admin_servers(self) -> list[Any]:
        config = self.config
        servers = []
        if config.admin is not None:
            servers.append(AdminServer.start(bind(config.admin.listen), self, "all"))
        if config.health is not None:
            servers.append(AdminServer.start(bind(config.health.listen), self, "health"))
        return servers

    async def _drained(self, timeout_s: float) -> bool:
        """Wait until the last connection has ended; cut what is left after `timeout_s`.

        What is cut has its line in the access log before this returns.
        """
        self.drain()
        if await self._ended(timeout_s):
            return True
        for connection in list(self._world.connections):
            connection.cut(DRAINING)
        await self._ended(_CUT_S)
        return False

    async def _ended(self, timeout_s: float) -> bool:
        """Wait until there are no connections; give up after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while self._count():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    def _count(self) -> int:
        """How many connections there are."""
        return sum(listener.open for listener in self._listeners.values())

    # --- what the admin port asks ----------------------------------------------------------------

    def live(self) -> bool:
        """Whether the process should be left running."""
        return True

    def ready(self) -> list[str]:
        """Say why this sidecar should get no traffic; nothing if it should."""
        if self.draining:
            return ["draining"]
        if self.snapshot is None:
            return [self.failure or "starting"]
        left = self.snapshot.identity.leaf.not_after - time.time()
        return [] if left > 0 else ["own certificate has expired"]

    def status(self) -> dict[str, Any]:
        """Say what runs, where it listens (a port 0 was chosen by now), and what was refused."""
        listening = {} if self.draining else self._listeners
        return {
            "generation": self.generation,
            "last_failure": self.failure,
            "listeners": {name: each.address for name, each in listening.items()},
        }

    def metrics(self) -> bytes:
        """Render the metrics."""
        return self._world.telemetry.render()

    def config_view(self) -> dict[str, Any]:
        """Show the configuration that runs; it holds no secrets."""
        return self.config.view()

    def identity(self) -> dict[str, Any]:
        """Show who this workload is."""
        return self.snapshot.identity.view() if self.snapshot is not None else {}

    def connections(self, limit: int) -> tuple[int, list[dict[str, Any]]]:
        """Count what is open, and describe the first of them."""
        now = time.monotonic()
        open_now = self._world.connections
        return len(open_now), [each.info(now) for each in itertools.islice(open_now, limit)]

    def drain(self) -> None:
        """Accept nothing more and let what is open finish."""
        if self.draining:
            return
        self.draining = True
        log.info("draining", open=self._count())
        for listener in self._listeners.values():
            listener.close()
        if self.snapshot is not None:
            for service in self.snapshot.services.values():
                service.retire()

    def quit(self) -> None:
        """Drain, then end."""
        self._stop.set()


def _look(path: Path) -> object:
    """Describe a file so that any change of it is a difference; a ConfigMap swaps a symlink."""
    try:
        seen = path.stat()
    except OSError as error:
        return error.errno
    return seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size


def _entries(config: Config) -> list[Inbound | Outbound]:
    """All listeners of a configuration."""
    return [*config.inbound, *config.outbound]


def _hand_over(old: dict[str, Service], new: dict[str, Service]) -> None:
    """Give open connections to the new services; drain those of listeners that are gone."""
    for name, service in old.items():
        match new.get(name), service:
            case (InboundService() as heir, InboundService()):
                heir.adopt(service)
            case (OutboundService() as heir, OutboundService()):
                heir.adopt(service)
            case _:
                service.retire()


def run(path: Path) -> int:
    """Run the sidecar until it is told to stop; return the exit code."""
    start()
    config = load(path)
    access_log = AccessLog(sys.stdout.fileno()) if config.access_log else None
    telemetry = Telemetry(access_log)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(config.loop)) as runner:
            return runner.run(_main(path, config, telemetry))
    finally:
        telemetry.settle()
        if access_log is not None:
            access_log.close()


async def _main(path: Path, config: Config, telemetry: Telemetry) -> int:
    return await App(path, config, telemetry).run()


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name != "asyncio":
        with contextlib.suppress(ImportError):
            import uvloop  # noqa: PLC0415  # the other loop must not pay for it

            return uvloop.new_event_loop
        if name == "uvloop":
            raise SystemExit("sidecar: `loop: uvloop` is configured and uvloop is not installed")
    return None
