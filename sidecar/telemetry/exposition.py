"""The Prometheus text format, version 0.0.4: values in, text out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
Kind = Literal["counter", "gauge", "histogram"]

_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_LABEL_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Histogram:
    """Counts of values up to each bound, one more for what is above them all, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value; a bound belongs to its own bucket (`le`)."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


def family(
    name: str, kind: Kind, help_text: str, samples: Iterable[tuple[Labels, float]]
) -> Iterable[str]:
    """Make the lines of one counter or gauge, without line ends."""
    yield from _head(name, kind, help_text)
    for labels, value in samples:
        yield f"{name}{_labels(labels)} {_number(value)}"


def histogram_family(
    name: str, help_text: str, samples: Iterable[tuple[Labels, Histogram]]
) -> Iterable[str]:
    """Make the lines of one histogram: cumulative buckets, sum and count for each label set."""
    yield from _head(name, "histogram", help_text)
    for labels, histogram in samples:
        count = 0
        for bound, number in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
            count += number
            yield f"{name}_bucket{_labels({**labels, 'le': _number(bound)})} {count}"
        yield f"{name}_sum{_labels(labels)} {_number(histogram.total)}"
        yield f"{name}_count{_labels(labels)} {count}"


def document(lines: Iterable[str]) -> bytes:
    """Join lines to what a scraper gets; UTF-8 has no lone surrogates, so they become `?`."""
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _head(name: str, kind: Kind, help_text: str) -> Iterable[str]:
    yield f"# HELP {name} {help_text.translate(_HELP_ESCAPES)}"
    yield f"# TYPE {name} {kind}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{key}="{value.translate(_LABEL_ESCAPES)}"' for key, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)
