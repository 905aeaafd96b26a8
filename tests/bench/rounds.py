"""Which sample comes when, and what one sample is.

A sample starts a fresh pair, looks at its idle memory, puts load on it and ends it: no pair ever
shares the machine (or the pages of its program) with another one. Rounds go through all peers in
turn, so that a slow minute of the machine falls on all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench import load, topology
from tests.bench.load import LoadError, Pressure, Workload
from tests.bench.measure import Memory, cpu_seconds, memory, percentile
from tests.bench.place import Peer, Side
from tests.bench.processes import StartError
from tests.bench.topology import Ground, Pair

MICRO = 1e6
MILLI = 1e3


@dataclass(frozen=True, slots=True)
class Sample:
    """One pair under one workload, once."""

    cpu_us: dict[Side, float]  # CPU time per request of each proxy
    requests_per_second: float
    latency_ms: dict[str, float]  # p50, p99, p99.9
    idle: dict[Side, Memory]
    loaded: dict[Side, Memory]
    start_seconds: float


@dataclass(frozen=True, slots=True)
class Step:
    """A sample to be taken."""

    round: int
    peer: Peer
    workload: Workload

    def is_of(self, peer: Peer, workload: Workload) -> bool:
        """Whether it belongs to that cell of the table."""
        return self.peer is peer and self.workload is workload

    def __str__(self) -> str:
        return f"round {self.round} {self.workload.name} {self.peer.name}"


@dataclass(frozen=True, slots=True)
class Taken:
    """A step with its outcome: a sample, or the sentence that says why there is none."""

    step: Step
    outcome: Sample | str

    def __str__(self) -> str:
        if isinstance(self.outcome, str):
            return f"{self.step}: {self.outcome}"
        return f"{self.step}: {sum(self.outcome.cpu_us.values()):.1f} µs a request"


@dataclass(frozen=True, slots=True)
class _Look:
    """What is read at both ends of the measured window."""

    cpu: dict[Side, float]
    memory: dict[Side, Memory]


def plan(peers: Sequence[Peer], workloads: Sequence[Workload], rounds: int) -> list[Step]:
    """All steps of the peers that are here: they take turns in a workload, workloads in a round."""
    return [
        Step(number, peer, workload)
        for number in range(1, rounds + 1)
        for workload in workloads
        for peer in peers
        if peer.find(workload.protocol)
    ]


def take(steps: Sequence[Step], pressure: Pressure, on: Ground) -> Iterator[Taken]:
    """Take the samples one by one; whoever has failed at a workload is not asked again."""
    failed = set()
    for step in steps:
        key = (step.peer.name, step.workload.name)
        if key in failed:
            continue
        try:
            yield Taken(step, sample(step.peer, step.workload, pressure, on))
        except (StartError, LoadError) as exc:
            failed.add(key)
            yield Taken(step, str(exc))


def sample(peer: Peer, workload: Workload, pressure: Pressure, on: Ground) -> Sample:
    """Start, measure, end; raise `StartError` or `LoadError`."""
    with topology.pair(peer, workload.protocol, workload.request, on) as pair:
        idle = _look(pair)
        window = load.run(pair.port, workload.request, pressure, lambda: _look(pair))
    count = len(window.latencies)
    return Sample(
        cpu_us={
            side: (window.after.cpu[side] - window.before.cpu[side]) / count * MICRO
            for side in pair.pids
        },
        requests_per_second=count / window.seconds,
        latency_ms={
            f"p{rank:g}": percentile(window.latencies, rank) * MILLI for rank in (50, 99, 99.9)
        },
        idle=idle.memory,
        loaded=window.after.memory,
        start_seconds=pair.start_seconds,
    )


def _look(pair: Pair) -> _Look:
    return _Look(
        cpu={side: cpu_seconds(pid) for side, pid in pair.pids.items()},
        memory={side: memory(pid) for side, pid in pair.pids.items()},
    )
