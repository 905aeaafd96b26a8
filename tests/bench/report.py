"""From samples to rows: medians, spread, ratio to Envoy; then a table or JSON.

A peer that is missing or has failed gets a row that says so: a table that leaves it out reads as
if it had been beaten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from tests.bench.load import Pressure, Workload
from tests.bench.rounds import Sample

YARDSTICK: Final = "envoy"


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of one peer under one workload; memory is that of the larger process, in MiB.

    `spread` is the distance from the cheapest to the dearest sample, as a part of the median.
    """

    outbound_us: float
    inbound_us: float
    pair_us: float
    spread: float
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    idle_mib: float
    loaded_mib: float
    start_ms: float


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a peer under a workload: its samples, or why they do not count.

    `missing` says how to get the program, `failed` what went wrong with it.
    """

    peer: str
    version: str
    samples: tuple[Sample, ...]
    missing: str = ""
    failed: str = ""

    @property
    def problem(self) -> str:
        """The one of the two that is not empty, if any."""
        return self.missing or self.failed

    @property
    def row(self) -> Row | None:
        """The medians, or None if something went wrong."""
        return None if self.problem or not self.samples else summarise(self.samples)


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run has found; `machine` says on what."""

    machine: Mapping[str, str]
    rounds: int
    pressure: Pressure
    entries: Mapping[Workload, Sequence[Entry]]


def summarise(samples: Sequence[Sample]) -> Row:
    """Each figure is a median of its own; `samples` is not empty."""

    def middle(figure: Callable[[Sample], float]) -> float:
        return median(map(figure, samples))

    pairs = [sum(one.cpu_us.values()) for one in samples]
    return Row(
        outbound_us=middle(lambda one: one.cpu_us["outbound"]),
        inbound_us=middle(lambda one: one.cpu_us["inbound"]),
        pair_us=median(pairs),
        spread=(max(pairs) - min(pairs)) / median(pairs),
        requests_per_second=middle(lambda one: one.requests_per_second),
        p50_ms=middle(lambda one: one.latency_ms["p50"]),
        p99_ms=middle(lambda one: one.latency_ms["p99"]),
        p999_ms=middle(lambda one: one.latency_ms["p99.9"]),
        idle_mib=middle(lambda one: max(each.pss for each in one.idle.values()) / 1024),
        loaded_mib=middle(lambda one: max(each.pss for each in one.loaded.values()) / 1024),
        start_ms=middle(lambda one: one.start_seconds * 1000),
    )


def ratio(row: Row, entries: Sequence[Entry]) -> float | None:
    """CPU of the pair in units of Envoy's in the same run; None if there is no Envoy."""
    yardstick = next((entry.row for entry in entries if entry.peer == YARDSTICK), None)
    return row.pair_us / yardstick.pair_us if yardstick else None


def as_json(report: Report) -> dict[str, Any]:
    """Everything, each sample included."""
    return {
        "machine": dict(report.machine),
        "rounds": report.rounds,
        "pressure": asdict(report.pressure),
        "workloads": {
            workload.name: [_entry_as_json(entry, entries) for entry in entries]
            for workload, entries in report.entries.items()
        },
    }


def _entry_as_json(entry: Entry, entries: Sequence[Entry]) -> dict[str, Any]:
    row = entry.row
    return {
        "peer": entry.peer,
        "version": entry.version,
        "problem": entry.problem or None,
        "medians": asdict(row) if row else None,
        "ratio_to_envoy": ratio(row, entries) if row else None,
        "samples": [asdict(sample) for sample in entry.samples],
    }


_HEADS: Final = (
    "", "out µs", "in µs", "pair µs", "spread", "x envoy", "req/s", "p50 ms", "p99 ms", "p99.9 ms",
    "idle MiB", "loaded MiB", "start ms",
)  # fmt: skip
_NOTES: Final = """\
out, in, pair: CPU time per request of the outbound and the inbound proxy and of both.
Throughput and latency: all connections busy, both proxies on one core; so they follow the CPU.
MiB: PSS of the larger of the two processes, before the first connection and under load.
Access log and metrics: on for sidecar and envoy, off for the others."""


def as_table(report: Report) -> str:
    """A table for each workload, then what the columns mean."""
    machine = ", ".join(f"{key} {value}" for key, value in report.machine.items())
    pressure = report.pressure
    how = (
        f"{pressure.connections} connections, medians of {report.rounds} rounds "
        f"of {pressure.seconds:g} s"
    )
    tables = [
        f"{workload.name}: {workload.title}\n{_table(entries)}"
        for workload, entries in report.entries.items()
    ]
    return "\n\n".join([f"{machine}\n{how}", *tables, _NOTES])


def _table(entries: Sequence[Entry]) -> str:
    names = [f"{entry.peer} {entry.version}".strip() for entry in entries]
    width = max(map(len, names))
    lines = ["".join(_HEADS[0].ljust(width) + "".join(head.rjust(12) for head in _HEADS[1:]))]
    for name, entry in zip(names, entries, strict=True):
        row = entry.row
        cells = _cells(row, entries) if row else [f"  !! {entry.problem or 'not measured'}"]
        lines.append(name.ljust(width) + "".join(cell.rjust(12) for cell in cells))
    return "\n".join(lines)


def _cells(row: Row, entries: Sequence[Entry]) -> list[str]:
    times = ratio(row, entries)
    return [
        f"{row.outbound_us:.1f}",
        f"{row.inbound_us:.1f}",
        f"{row.pair_us:.1f}",
        f"{row.spread:.0%}",
        "-" if times is None else f"{times:.2f}",
        f"{row.requests_per_second:,.0f}",
        f"{row.p50_ms:.2f}",
        f"{row.p99_ms:.2f}",
        f"{row.p999_ms:.2f}",
        f"{row.idle_mib:.1f}",
        f"{row.loaded_mib:.1f}",
        f"{row.start_ms:.0f}",
    ]
