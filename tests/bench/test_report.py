"""Medians, the ratio to Envoy, and rows that do not hide."""

from __future__ import annotations

import json

import pytest

from tests.bench.load import WORKLOADS, Pressure
from tests.bench.measure import Memory
from tests.bench.report import Entry, Report, as_json, as_table, ratio, summarise
from tests.bench.rounds import Sample


def _sample(cpu_us: float, pss_mib: float = 10) -> Sample:
    held = Memory(pss=int(pss_mib * 1024), rss=int(pss_mib * 2048))
    return Sample(
        cpu_us={"outbound": cpu_us, "inbound": 2 * cpu_us},
        requests_per_second=1e6 / cpu_us,
        latency_ms={"p50": 1.0, "p99": 2.0, "p99.9": 3.0},
        idle={"outbound": held, "inbound": Memory(pss=1, rss=1)},
        loaded={"outbound": held, "inbound": Memory(pss=1, rss=1)},
        start_seconds=0.1,
    )


def _report(*entries: Entry) -> Report:
    return Report({"CPU": "2 x one"}, 3, Pressure(32, 0.5, 2.0), {WORKLOADS[0]: entries})


def test_figures_are_medians_and_memory_is_of_the_larger_process() -> None:
    row = summarise([_sample(9, 30), _sample(1, 20), _sample(2, 10)])
    assert (row.outbound_us, row.inbound_us, row.pair_us) == (2, 4, 6)
    assert row.spread == (27 - 3) / 6
    assert row.idle_mib == 20


def test_the_ratio_is_to_envoy_of_the_same_run() -> None:
    ours, envoy = Entry("sidecar", "1", (_sample(5),)), Entry("envoy", "1", (_sample(10),))
    assert ours.row is not None
    assert ratio(ours.row, [ours, envoy]) == 0.5


@pytest.mark.parametrize(
    "envoy",
    [
        Entry("envoy", "", (), missing="not found"),
        Entry("envoy", "1", (_sample(1),), failed="gave no answer"),
    ],
)
def test_without_a_sound_envoy_there_is_no_ratio(envoy: Entry) -> None:
    ours = Entry("sidecar", "1", (_sample(5),))
    assert ours.row is not None
    assert ratio(ours.row, [ours, envoy]) is None
    assert " - " in as_table(_report(ours, envoy))


def test_missing_and_failed_peers_stand_in_the_table() -> None:
    table = as_table(
        _report(
            Entry("haproxy", "", (), missing="not found: apt-get install haproxy"),
            Entry("nginx", "1.2", (_sample(1),), failed="answered b'HTTP/1.1 403"),
        )
    )
    assert "haproxy" in table
    assert "!! not found: apt-get install haproxy" in table
    assert "!! answered b'HTTP/1.1 403" in table


def test_json_holds_each_sample() -> None:
    report = _report(Entry("envoy", "1.2", (_sample(1), _sample(3))))
    (entry,) = json.loads(json.dumps(as_json(report)))["workloads"]["l7"]
    assert entry["medians"]["pair_us"] == 6
    assert entry["ratio_to_envoy"] == 1
    assert [one["cpu_us"]["outbound"] for one in entry["samples"]] == [1, 3]
