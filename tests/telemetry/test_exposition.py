"""The text format, checked with a reader that was written apart from the writer."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.telemetry.exposition import Histogram, document, family, histogram_family
from tests.telemetry.prometheus import parse
from tests.telemetry.records import HOSTILE

BOUNDS = (0.001, 0.5, 2.0)


def test_text_is_exactly_this() -> None:
    lines = family("x_total", "counter", "What\nis \\ it.", [({"a": 'b"\\\n'}, 3), ({}, 0.5)])
    assert document(lines) == (
        b"# HELP x_total What\\nis \\\\ it.\n"
        b"# TYPE x_total counter\n"
        b'x_total{a="b\\"\\\\\\n"} 3\n'
        b"x_total 0.5\n"
    )


def test_histogram_is_exactly_this() -> None:
    histogram = Histogram(BOUNDS)
    for value in (0.0, 0.001, 0.0011, 2.0, 99.0):
        histogram.observe(value)
    assert document(histogram_family("d", "Time.", [({"a": "b"}, histogram)])) == (
        b"# HELP d Time.\n"
        b"# TYPE d histogram\n"
        b'd_bucket{a="b",le="0.001"} 2\n'
        b'd_bucket{a="b",le="0.5"} 3\n'
        b'd_bucket{a="b",le="2"} 4\n'
        b'd_bucket{a="b",le="+Inf"} 5\n'
        b'd_sum{a="b"} 101.0021\n'
        b'd_count{a="b"} 5\n'
    )


@given(st.one_of(st.sampled_from(HOSTILE[:6]), st.text()))
def test_any_label_value_reads_back_as_it_was(text: str) -> None:
    parsed = parse(document(family("x", "gauge", "Help.", [({"a": text}, 1)])))
    expected = text.encode("utf-8", "replace").decode()
    assert parsed["x"].value(a=expected) == 1


@given(st.floats(allow_nan=False, min_value=-1e300, max_value=1e300))
def test_any_number_reads_back_as_it_was(number: float) -> None:
    parsed = parse(document(family("x", "gauge", "Help.", [({}, number)])))
    assert math.isclose(parsed["x"].value(), number, rel_tol=1e-15)


@given(st.lists(st.floats(min_value=0, max_value=100)))
def test_a_histogram_counts_each_value_once_and_under_its_bound(values: list[float]) -> None:
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    parsed = parse(document(histogram_family("d", "Time.", [({}, histogram)])))["d"]
    for bound in BOUNDS:
        le = str(int(bound)) if bound == int(bound) else str(bound)
        assert parsed.value("_bucket", le=le) == sum(value <= bound for value in values)
    assert parsed.value("_count") == len(values)
    assert parsed.value("_sum") == pytest.approx(sum(values))


@pytest.mark.parametrize(
    "text",
    [
        b"x 1\n",
        b"# HELP x H.\n# TYPE x gauge\nx 1",
        b"# HELP x H.\n# TYPE x gauge\nx 1\nx 1\n",
        b'# HELP x H.\n# TYPE x gauge\nx{a="\n"} 1\n',
        b'# HELP x H.\n# TYPE x gauge\nx{a="b"c"} 1\n',
        b'# HELP x H.\n# TYPE x gauge\nx{a="b",a="c"} 1\n',
        b"# HELP x H.\n# TYPE x gauge\ny 1\n",
        b"# HELP x H.\n# TYPE x gauge\nx one\n",
        b"# HELP x H.\n# TYPE x counter\nx 1\n",
        b'# HELP x H.\n# TYPE x histogram\nx_bucket{le="+Inf"} 2\nx_sum 1\nx_count 1\n',
    ],
)
def test_the_reader_refuses_what_is_wrong(text: bytes) -> None:
    with pytest.raises((AssertionError, KeyError)):
        parse(text)
