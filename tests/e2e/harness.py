"""Real sidecar processes, and what they say: ports, access log, metrics, last words.

A `Site` is a folder with a CA, and everything that a test module starts in it. Sidecars listen on
port 0 and tell on their admin port, a UNIX socket in that folder, where that was: no test looks
for free ports, so none can lose one to another process between looking and binding.

Whatever a sidecar does, it must not fail inside. So `stop` reads its standard error and fails the
test for a traceback, an error of asyncio or a leaked socket, and its access log for a reason that
means a defect.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.certs import Leaf, TestCA
from tests.configs import text_of
from tests.telemetry import prometheus

PATIENCE_S: Final = 15.0  # for what should take no time at all; a loaded machine is no failure
_POLL_S: Final = 0.01
_ROOT: Final = Path(__file__).parents[2]
# Marks of a defect on standard error: in plain text (Python's own last words) and in our log.
_ALARMS: Final = ("Traceback", '"traceback"', "crashed", '"logger":"asyncio"', "Warning", "Fatal")

T = TypeVar("T")
Line = dict[str, Any]


def until(look: Callable[[], T], what: object = "", patience_s: float = PATIENCE_S) -> T:
    """Call `look` until it returns something true, and return that."""
    deadline = time.monotonic() + patience_s
    while not (found := look()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited in vain for {what() if callable(what) else what}")
        time.sleep(_POLL_S)
    return found


class AdminClient(http.client.HTTPConnection):
    """HTTP over the UNIX socket of an admin port."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(str(self._path))


class Watch:
    """The access log from one moment on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size

    def lines(self, **expected: Any) -> list[Line]:
        """All complete lines so far that have these values."""
        with self._path.open("rb") as file:
            file.seek(self._start)
            whole = file.read().rpartition(b"\n")[0]
        found = [json.loads(line) for line in whole.splitlines()]
        return [line for line in found if line.items() >= expected.items()]

    def line(self, **expected: Any) -> Line:
        """Wait for the first line that has these values."""
        what = f"a line with {expected}"
        found = until(lambda: self.lines(**expected), lambda: f"{what} among {self.lines()}")
        return found[0]


class Sidecar:
    """One sidecar process."""

    def __init__(self, folder: Path, config: dict[str, Any], descriptors: int = 0) -> None:
        self.folder = folder
        self.config_file = folder / "sidecar.yaml"
        self.expected_code: int | None = 0
        self.out = folder / "stdout.log"
        self._err = folder / "stderr.log"
        self.config = {
            "identity": {"dir": str(folder / "certs")},
            "admin": {"listen": f"unix:{folder}/admin.sock"},
            "reload_interval": 3600,
            **config,
        }
        self.configure()
        self.process = self._start(descriptors)

    def _start(self, descriptors: int) -> subprocess.Popen[bytes]:
        # The one place that says how a sidecar is run.
        argv = ["-W", "default", "-m", "sidecar", "run", "--config", str(self.config_file)]
        limit = (lambda: _limit_descriptors(descriptors)) if descriptors else None
        with self.out.open("ab") as out, self._err.open("ab") as err:
            return subprocess.Popen(
                [sys.executable, *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=_ROOT,
                preexec_fn=limit,  # noqa: PLW1509  no thread of ours holds a lock that it needs
            )

    # --- what a test does to it ---

    def configure(self, **changes: Any) -> None:
        """Write the configuration file, with top-level keys replaced, in one rename."""
        self.config |= changes
        self.write_config(text_of(self.config))

    def write_config(self, text: str) -> None:
        """Write any text as the configuration file."""
        staged = self.config_file.with_suffix(".tmp")
        staged.write_text(text)
        staged.replace(self.config_file)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def reload(self) -> None:
        """Send SIGHUP and wait until the new snapshot serves."""
        before = self.status()["generation"]
        self.signal(signal.SIGHUP)
        until(lambda: self.status()["generation"] > before, lambda: f"a reload: {self.status()}")

    def refuse_reload(self) -> str:
        """Send SIGHUP and wait until the new snapshot is refused; return why."""
        before = self.metric("sidecar_reloads_total", result="failed")
        self.signal(signal.SIGHUP)
        until(
            lambda: self.metric("sidecar_reloads_total", result="failed") > before,
            lambda: f"a refusal: {self.status()}",
        )
        return str(self.status()["last_failure"])

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        return self.process.wait(PATIENCE_S)

    # --- what it says ---

    def admin(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Ask the admin port; raise OSError if nobody is there."""
        with contextlib.closing(AdminClient(self.folder / "admin.sock")) as client:
            client.request(method, path)
            response = client.getresponse()
            return response.status, response.read()

    def status(self) -> dict[str, Any]:
        """What `/readyz` says as JSON."""
        return dict(json.loads(self.admin("/readyz?format=json")[1]))

    def is_up(self) -> bool:
        """Whether the admin port answers at all."""
        if self.process.poll() is not None:
            raise AssertionError(f"exit code {self.process.returncode}: {self.last_words()}")
        try:
            return self.admin("/livez")[0] == 200
        except OSError:
            return False

    def is_ready(self) -> bool:
        return self.is_up() and self.admin("/readyz")[0] == 200

    def port(self, listener: str) -> int:
        """The port that a listener got."""
        return int(self.status()["listeners"][listener].rpartition(":")[2])

    def watch(self) -> Watch:
        """The access log from now on."""
        return Watch(self.out)

    def metrics(self) -> dict[str, prometheus.Family]:
        return prometheus.parse(self.admin("/metrics")[1])

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples that have these labels; 0 if there are none."""
        samples = self.metrics()[name].samples.items()
        wanted = set(labels.items())
        return sum(value for (_, have), value in samples if wanted <= have)

    def last_words(self) -> str:
        return self._err.read_text(errors="replace")

    # --- its end ---

    def stop(self) -> None:
        """End it, and fail if it had failed inside."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"it would not end: {self.last_words()}") from None
        words = self.last_words()
        assert not any(alarm in words for alarm in _ALARMS), words
        assert "MTLS-E507" not in self.out.read_text(), "a reason that means a defect"
        code = self.process.returncode
        assert self.expected_code in {None, code}, f"exit code {code}: {words}"


def _limit_descriptors(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


@dataclass
class Site:
    """A folder, a CA of `demo.local`, and what was started there."""

    folder: Path
    ca: TestCA = field(default_factory=lambda: TestCA("demo.local").intermediate())
    _sidecars: list[Sidecar] = field(default_factory=list)

    def leaf(self, account: str) -> Leaf:
        """A certificate for a service account of the shop."""
        return self.ca.leaf(spiffe(account))

    def place(self, name: str) -> Path:
        """A folder for one sidecar, without anything in it."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def sidecar(self, account: str, config: dict[str, Any], **how: Any) -> Sidecar:
        """Start a sidecar with a certificate for `account` and wait until it serves."""
        name = f"{account}{len(self._sidecars)}"
        folder = self.place(name)
        self.leaf(account).write_folder(folder / "certs")
        sidecar = self.start(folder, config, **how)
        until(sidecar.is_ready, lambda: f"readiness: {sidecar.last_words()}")
        return sidecar

    def start(self, folder: Path, config: dict[str, Any], **how: Any) -> Sidecar:
        """Start a sidecar in a folder and wait for its admin port."""
        sidecar = Sidecar(folder, config, **how)
        self._sidecars.append(sidecar)
        until(sidecar.is_up, lambda: f"the admin port: {sidecar.last_words()}")
        return sidecar

    def stop(self) -> None:
        """End all processes; the first failure among them is raised when all are gone."""
        failures = []
        for sidecar in reversed(self._sidecars):
            try:
                sidecar.stop()
            except AssertionError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """A site in a folder with a short name: the path of a UNIX socket has 107 bytes at most."""
    folder = Path(tempfile.mkdtemp(prefix="e2e-"))
    place = Site(folder)
    try:
        yield place
        place.stop()
    finally:
        for process in (each.process for each in place._sidecars):
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(folder)


def spiffe(account: str) -> str:
    """The SPIFFE ID of a service account of the shop."""
    return f"spiffe://demo.local/ns/shop/sa/{account}"


def inbound(name: str, forward: object, protocol: str = "http", **more: Any) -> dict[str, Any]:
    """An inbound listener that lets everyone of the trust domain do everything."""
    return {
        "name": name,
        "listen": "127.0.0.1:0",
        "forward": str(forward),
        "protocol": protocol,
        "allow": [{"from": ["spiffe://demo.local/**"]}],
        **more,
    }


def outbound(name: str, port: int, protocol: str = "http", **more: Any) -> dict[str, Any]:
    """An outbound listener to a local inbound one of whoever in the shop."""
    return {
        "name": name,
        "listen": "127.0.0.1:0",
        "connect": [f"127.0.0.1:{port}"],
        "expect": [spiffe("*")],
        "protocol": protocol,
        **more,
    }


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
