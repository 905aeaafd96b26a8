"""`make bench`: read the command line, run the rounds, print what they found.

Exit codes: 0 every peer that is here was measured, 1 one of them failed, 2 usage.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, TypeVar

from tests.bench import peers, rounds, topology
from tests.bench.load import WORKLOADS, Pressure, Workload
from tests.bench.place import Peer
from tests.bench.report import Entry, Report, as_json, as_table
from tests.bench.rounds import Sample, Step, Taken

T = TypeVar("T")

_WARM_UP_SECONDS: Final = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench and return the exit code."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _leave)
    report = _run(options)
    print(json.dumps(as_json(report), indent=1) if options.json else as_table(report))
    failed = [entry for part in report.entries.values() for entry in part if entry.failed]
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure our pair of proxies and its peers in the same place, in one run.",
    )
    add = parser.add_argument
    all_peers = {peer.name: peer for peer in peers.ALL}
    kinds = {workload.name: workload for workload in WORKLOADS}
    add("--rounds", type=_whole, default=3, help="samples of each peer (default 3)")
    add("--seconds", type=_positive, default=2.0, help="length of a sample (default 2)")
    add("--connections", type=_whole, default=32, help="at the same time (default 32)")
    add("--only", type=_some_of(all_peers), default=peers.ALL, metavar="PEER,...",
        help=f"of {', '.join(all_peers)}")  # fmt: skip
    add("--workloads", type=_some_of(kinds), default=WORKLOADS, metavar="NAME,...",
        help=f"of {', '.join(kinds)}")  # fmt: skip
    add("--json", action="store_true", help="print everything as JSON, each sample included")
    return parser


def _whole(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _positive(text: str) -> float:
    """A number of seconds up to ten minutes."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 600.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to 600")
    return value


def _some_of(known: dict[str, T]) -> Callable[[str], tuple[T, ...]]:
    """Read `a,b` into what is known under these names, in their own order."""

    def read(text: str) -> tuple[T, ...]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            choices = ", ".join(known)
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {choices}")
        return tuple(value for name, value in known.items() if name in names)

    return read


def _leave(number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that every `finally` ends its process."""
    raise SystemExit(128 + number)


def _run(options: argparse.Namespace) -> Report:
    pressure = Pressure(options.connections, _WARM_UP_SECONDS, options.seconds)
    taken = _take(rounds.plan(options.only, options.workloads, options.rounds), pressure)
    entries = {
        workload: [_entry(peer, workload, taken) for peer in options.only]
        for workload in options.workloads
    }
    return Report(_machine(), options.rounds, pressure, entries)


def _take(steps: Sequence[Step], pressure: Pressure) -> list[Taken]:
    cores = topology.choose_cores(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores.load})  # the load runs in this process
    taken = []
    with (
        tempfile.TemporaryDirectory(prefix="sidecar-bench-") as folder,
        topology.ground(Path(folder), cores) as ground,
    ):
        for one in rounds.take(steps, pressure, ground):
            taken.append(one)
            _say(f"bench: {len(taken)}/{len(steps)} {one}")
    _say("")
    return taken


def _say(line: str) -> None:
    """Show progress: one line that is rewritten on a terminal, many lines elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
    elif line:
        print(line, file=sys.stderr, flush=True)


def _entry(peer: Peer, workload: Workload, taken: Sequence[Taken]) -> Entry:
    program = peer.find(workload.protocol)
    if program is None:
        return Entry(peer.name, "", (), missing=peer.missing)
    outcomes = [one.outcome for one in taken if one.step.is_of(peer, workload)]
    samples = tuple(outcome for outcome in outcomes if isinstance(outcome, Sample))
    problems = [outcome for outcome in outcomes if isinstance(outcome, str)]
    return Entry(peer.name, _version([program, *peer.version]), samples, failed="; ".join(problems))


def _version(argv: Sequence[str]) -> str:
    """What a program calls itself: the first dotted number that it prints."""
    said = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    number = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return number[0] if number else "?"


def _machine() -> dict[str, str]:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "CPU": f"{os.cpu_count()} x {cpu[1] if cpu else platform.machine()}",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "TLS": ssl.OPENSSL_VERSION,
    }


if __name__ == "__main__":
    sys.exit(main())
