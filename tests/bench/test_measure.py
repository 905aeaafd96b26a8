"""Out of /proc, and percentiles."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.measure import (
    Memory,
    cpu_seconds,
    memory,
    parse_cpu_ticks,
    parse_memory,
    percentile,
)

_STAT = "{pid} ({name}) S 1 2 2 0 -1 4194560 900 0 0 0 1234 567 8 9 20 0 3 0 100 1000 200\n"


@pytest.mark.parametrize("name", ["sidecar", "a b", "x) R 1 (y", "((", ")"])
def test_cpu_is_user_and_system_time_whatever_the_program_is_called(name: str) -> None:
    assert parse_cpu_ticks(_STAT.format(pid=42, name=name)) == 1234 + 567


def test_memory_is_the_sums_and_not_a_line_that_begins_alike() -> None:
    rollup = (
        "55d0-7ffe ---p 00000000 00:00 0    [rollup]\n"
        "Rss:               20008 kB\n"
        "Pss:               12729 kB\n"
        "Pss_Dirty:          5000 kB\n"
        "Pss_Anon:           4000 kB\n"
    )
    assert parse_memory(rollup) == Memory(pss=12729, rss=20008)


def test_a_rollup_without_the_sums_is_an_error() -> None:
    with pytest.raises(KeyError):
        parse_memory("Rss:    1 kB\n")


def test_this_very_process_has_used_time_and_memory() -> None:
    assert cpu_seconds(os.getpid()) > 0
    held = memory(os.getpid())
    assert 0 < held.pss <= held.rss


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(1, 50, 1), (1, 99.9, 1), (2, 50, 1), (2, 51, 2), (1000, 99, 990), (1000, 99.9, 999)],
)
def test_percentile_is_the_nearest_rank(count: int, percent: float, expected: int) -> None:
    assert percentile(range(1, count + 1), percent) == expected


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0.1, 100))
def test_at_least_that_part_of_all_values_is_no_larger(values: list[float], percent: float) -> None:
    values.sort()
    found = percentile(values, percent)
    assert sum(value <= found for value in values) >= len(values) * percent / 100 - 1e-9
