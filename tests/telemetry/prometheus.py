"""A strict reader of the Prometheus text format 0.0.4, written from its description.

It refuses what scrapers tolerate: families in pieces, samples before their type, a sample twice,
a histogram whose buckets do not add up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

Labels = frozenset[tuple[str, str]]

_HEAD: Final = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)")
_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_PAIR: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|Inf)|NaN")
_UNESCAPED: Final = {r"\"": '"', r"\\": "\\", r"\n": "\n"}


@dataclass
class Family:
    kind: str
    help: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def value(self, suffix: str = "", /, **labels: str) -> float:
        """Return the one value with exactly these labels."""
        (name,) = {name for name, _ in self.samples if name.endswith(suffix or name)}
        return self.samples[name, frozenset(labels.items())]


def parse(body: bytes) -> dict[str, Family]:
    """Read a whole scrape, or fail an assertion that shows the line."""
    text = body.decode("utf-8")
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    help_text = current = ""
    for line in text[:-1].split("\n"):
        if head := _HEAD.fullmatch(line):
            word, current, rest = head.groups()
            assert current not in families, line
            if word == "HELP":
                help_text = rest
            else:
                families[current] = Family(rest, help_text)
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample, line
        _add(families[current], current, sample, line)
    for name, family in families.items():
        _check(name, family)
    return families


def _add(family: Family, base: str, sample: re.Match[str], line: str) -> None:
    name, labels, value = sample.groups()
    suffixes = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
    assert name in {base + suffix for suffix in suffixes}, line
    assert _NUMBER.fullmatch(value), line
    key = (name, _labels(labels or "", line))
    assert key not in family.samples, line
    family.samples[key] = float(value)


def _labels(text: str, line: str) -> Labels:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        assert pair, line
        assert pair[1] not in found, line
        found[pair[1]] = re.sub(r"\\.", lambda escape: _UNESCAPED[escape[0]], pair[2])
        at = pair.end()
    return frozenset(found.items())


def _check(name: str, family: Family) -> None:
    assert family.kind in {"counter", "gauge", "histogram"}, name
    assert family.help, name
    assert name.endswith("_total") == (family.kind == "counter"), name
    if family.kind == "counter":
        assert all(value >= 0 for value in family.samples.values()), name
    if family.kind == "histogram":
        _check_histogram(name, family)


def _check_histogram(name: str, family: Family) -> None:
    buckets: dict[Labels, list[tuple[float, float]]] = {}
    for (sample, labels), value in family.samples.items():
        if sample == f"{name}_bucket":
            bound = dict(labels)["le"]
            rest = frozenset(pair for pair in labels if pair[0] != "le")
            buckets.setdefault(rest, []).append((float(bound), value))
    for labels, pairs in buckets.items():
        assert pairs == sorted(pairs), name
        assert [count for _, count in pairs] == sorted(count for _, count in pairs), name
        assert pairs[-1] == (float("inf"), family.samples[f"{name}_count", labels]), name
        assert (f"{name}_sum", labels) in family.samples, name
    assert len(family.samples) == sum(len(pairs) + 2 for pairs in buckets.values()), name
