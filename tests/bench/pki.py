"""How fast the CA is: in the library, through its index, as a process, over a long listing.

    python -m tests.bench.pki [--dir FOLDER] [--quick] [--json]

Rates of the library are for one core, counted in CPU time, with another public key for each leaf
and the linter at work; what the linter and the bare ECDSA signature have in it stands below.
Rates through the index are wall time and mean the disk under FOLDER (default: the system's
temporary folder): each certificate is synced before the next, except where several processes
share it. Processes and listings are wall time too, the median of several.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pki import build, view
from pki.authority import Authority
from pki.build import Issuer
from pki.keys import KeyType, generate_key
from pki.lint import Role, certificate_findings
from pki.names import SpiffeID, SpiffePattern
from pki.profile import Profile, Request
from pki.store import Query, Store
from tests.pki.rows import issue_row

WEB: Final = SpiffeID.parse("spiffe://demo.local/ns/shop/sa/web")
PROFILE: Final = Profile("demo.local")
WORKER: Final = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pki.authority import Authority
from pki.names import SpiffeID
from pki.profile import Request
folder, name, count = sys.argv[1:]
with Authority.open(Path(folder)) as ca:
    request = Request(SpiffeID.parse(name))
    ca.issue(request, datetime.now(UTC))
    print(flush=True)
    sys.stdin.readline()
    for _ in range(int(count)):
        ca.issue(request, datetime.now(UTC))
"""


@dataclass(frozen=True)
class Figure:
    """One line of the table. `target` is what the project promises, None where it promises none."""

    what: str
    value: float
    unit: str
    target: float | None = None

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.unit == "/s" else self.value <= self.target


@dataclass(frozen=True)
class Sizes:
    """How much of everything: less of it with --quick."""

    leaves: int
    durable: int
    processes: int
    records: int


FULL: Final = Sizes(leaves=1000, durable=1000, processes=9, records=100_000)
QUICK: Final = Sizes(leaves=100, durable=100, processes=3, records=10_000)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.pki", description="Measure the CA."
    )
    parser.add_argument("--dir", help="where the index lies while it is measured")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        figures = list(measure(Path(folder), QUICK if options.quick else FULL))
    if options.json:
        print(json.dumps([{**asdict(f), "met": f.met} for f in figures], indent=1))
    else:
        print(table(figures))
    return 0


def measure(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    yield from library(sizes.leaves)
    yield from durable(folder / "ca", sizes.durable)
    yield from processes(folder / "ca", folder / "out", sizes.processes)
    yield from listings(folder / "long", sizes)


def library(leaves: int) -> Iterator[Figure]:
    """One core, no disk: `build.leaf`, lint included, the best of many rounds."""
    now = datetime.now(UTC)
    issuer = _issuer(now)
    keys = [generate_key(KeyType.P256).public_key() for _ in range(leaves)]
    request = Request(WEB)
    serials = _serials()

    def sign() -> None:
        for key in keys:
            build.leaf(issuer, request, key, PROFILE, now, next(serials))

    tbs = [
        build.leaf(issuer, request, key, PROFILE, now, next(serials)).tbs_certificate_bytes
        for key in keys
    ]

    def lint() -> None:
        for data in tbs:
            certificate_findings(data, Role.LEAF, issuer.certificate)

    def bare() -> None:
        assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
        for data in tbs:
            issuer.key.sign(data, ec.ECDSA(hashes.SHA256()))

    whole, linting, signing = (_best(run) / leaves for run in (sign, lint, bare))
    yield Figure("library: P-256 leaves, linted", 1 / whole, "/s", 8000)
    yield Figure("library: P-256 leaves, less the linter", 1 / (whole - linting), "/s")
    yield Figure("  of one leaf: all", whole * 1e6, "us")
    yield Figure("  of one leaf: the linter", linting * 1e6, "us")
    yield Figure("  of one leaf: the bare ECDSA signature", signing * 1e6, "us")


def durable(folder: Path, count: int) -> Iterator[Figure]:
    """Each leaf with a new key, recorded and synced before the next."""
    Authority.create(folder, PROFILE, datetime.now(UTC)).close()
    with Authority.open(folder) as ca:
        request = Request(WEB)
        ca.issue(request, datetime.now(UTC))
        started = time.perf_counter()
        for _ in range(count):
            ca.issue(request, datetime.now(UTC))
        yield Figure("durable: one process", count / (time.perf_counter() - started), "/s", 500)
    yield Figure("durable: four processes at once", _together(folder, 4, count // 4), "/s")


def _together(folder: Path, workers: int, each: int) -> float:
    """Leaves per second of several processes that begin at the same moment."""
    command = [sys.executable, "-c", WORKER, str(folder), str(WEB), str(each)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(workers)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    started = time.perf_counter()
    for process in running:
        process.communicate(b"\n")
    assert all(process.returncode == 0 for process in running)
    return workers * each / (time.perf_counter() - started)


def processes(folder: Path, out: Path, count: int) -> Iterator[Figure]:
    """`pki issue` from nothing to files on disk."""
    command = ["issue", "--dir", str(folder), "--spiffe-id", str(WEB), "--out", str(out)]
    yield Figure("process: pki issue", _command(command, count), "s", 0.4)


def listings(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """Filtered pages of 100 lines over an index of many records."""
    now = datetime.now(UTC)
    Authority.create(folder, PROFILE, now).close()
    _fill(folder / "index.db", sizes.records, now)
    rare = "spiffe://demo.local/**/sa/web-7"
    queries = {
        "no filter": Query(),
        "--expiring 7d": Query(expires_after=now, expires_before=now + timedelta(days=7)),
        "--revoked": Query(revoked=True),
        "--spiffe, many": Query(spiffe=SpiffePattern.parse("spiffe://demo.local/ns/*/sa/*")),
        "--spiffe, few": Query(spiffe=SpiffePattern.parse(rare)),
        "--spiffe, none": Query(spiffe=SpiffePattern.parse("spiffe://demo.local/**/none")),
    }
    with Authority.open(folder) as ca:
        for name, query in queries.items():
            took = _best(lambda query=query: ca.ls(query), time.perf_counter)  # type: ignore[misc]  # bound
            yield Figure(f"ls over {sizes.records}: {name}", took, "s", 1)
        yield Figure(
            f"process: pki ls over {sizes.records}",
            _command(["ls", "--dir", str(folder), "--spiffe", rare, "--json"], sizes.processes),
            "s",
            1,
        )
        took = _best(ca.verify_log, time.perf_counter, rounds=1)
        yield Figure(f"log verify over {sizes.records}", took, "s")


def _fill(path: Path, records: int, now: datetime) -> None:
    """Certificates that end at all times of the next 30 days; each hundredth is revoked."""
    store = Store.open(path)
    with store.transaction():
        for n in range(records * 99 // 100):
            end = now + timedelta(minutes=n % 43_200)
            name = f"/ns/team-{n % 100}/sa/web-{n % 5000}"
            row = issue_row(name, start=now, end=end)
            store.append(row)
            if n % 99 == 0:
                store.append(view.revoke_record(row["serial"], "superseded", now))
    store.close()


def _command(arguments: list[str], count: int) -> float:
    """Median wall time of `pki ARGUMENTS`."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "pki", *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _best(
    run: Callable[[], object], clock: Callable[[], float] = time.process_time, rounds: int = 10
) -> float:
    """Seconds of the fastest of several rounds: the one that others disturbed least."""
    times = []
    for _ in range(rounds):
        started = clock()
        run()
        times.append(clock() - started)
    return min(times)


def _issuer(now: datetime) -> Issuer:
    serials = _serials()
    root_key, key = generate_key(KeyType.P256), generate_key(KeyType.P256)
    root = Issuer(build.root(root_key, PROFILE, now, next(serials)), root_key)
    made = build.intermediate(root, key.public_key(), PROFILE, now, next(serials))
    return Issuer(made, key)


def _serials() -> Iterator[int]:
    return (build.serial_number(n.to_bytes(20, "big")) for n in itertools.count(1))


def table(figures: Sequence[Figure]) -> str:
    width = max(len(figure.what) for figure in figures)
    marks = {None: "", True: "met", False: "MISSED"}
    lines = [f"{'':{width}}  {'value':>10}      {'target':>7}"]
    for figure in figures:
        digits = 4 if figure.unit == "s" else 1 if figure.unit == "us" else 0
        target = "" if figure.target is None else f"{figure.target:g}"
        lines.append(
            f"{figure.what:{width}}  {figure.value:>10,.{digits}f} {figure.unit:<3} {target:>8}"
            f"  {marks[figure.met]}".rstrip()
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
