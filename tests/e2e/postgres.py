"""A PostgreSQL server of the test's own: it refuses to run as root, so it gets another user."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.e2e.harness import until

# Debian keeps the programs of a server out of the PATH, in a folder for each version.
_FOLDERS: Final = [str(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
_PATH: Final = os.pathsep.join([*reversed(_FOLDERS), os.environ.get("PATH", os.defpath)])
INITDB: Final = shutil.which("initdb", path=_PATH) or "initdb"
POSTGRES: Final = shutil.which("postgres", path=_PATH) or "postgres"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server; anyone on loopback may do everything in it."""

    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def query(self, port: int, sql: str) -> str:
        """What psql prints for `sql` over a port that leads here: rows of columns with `|`."""
        done = _psql(port, sql)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _as_user(*command: str) -> list[str]:
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Make a cluster in `folder`, serve it on a free port, and end it."""
    data = folder / "postgres"
    data.mkdir()
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(data, "nobody", "nogroup")
    make = [INITDB, "-D", str(data), "-U", "test", "-A", "trust", "-N"]
    subprocess.run(_as_user(*make), check=True, capture_output=True, cwd="/")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    serve = [POSTGRES, "-D", str(data), "-p", str(port), "-k", "", "-F"]
    server = subprocess.Popen(
        _as_user(*serve), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
    )
    try:
        until(lambda: _psql(port, "select 1").returncode == 0, "PostgreSQL")
        yield Postgres(port)
    finally:
        server.terminate()
        server.wait(20)


def _psql(port: int, sql: str) -> subprocess.CompletedProcess[str]:
    """Ask as the user `test`, without the settings of whoever runs this."""
    command = ["psql", "-XqAt", "-h", "127.0.0.1", "-p", str(port), "-U", "test", "postgres"]
    return subprocess.run([*command, "-c", sql], capture_output=True, text=True, timeout=30)
