"""Words for people: durations, times, tables, and strangers' text made safe to print.

Everything that a certificate says about itself was chosen by somebody else. `printable` is the
one door through which such text reaches a terminal. Pure and light: `pki --help` imports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

_UNITS: Final = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def printable(text: str, *, backslash: bool = True) -> str:
    r"""Return `text` with everything that a terminal acts on or hides written as an escape.

    What `str.isprintable` refuses is escaped: controls, line ends, bidirectional overrides, zero
    width and private characters. A backslash is doubled, so that the text stays unambiguous;
    RFC 4514 names do that themselves and pass `backslash=False`.
    """
    return "".join(_escape(char, backslash) for char in text)


def _escape(char: str, backslash: bool) -> str:
    if char == "\\":
        return "\\\\" if backslash else char
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")


def span(duration: timedelta) -> str:
    """A duration in its two largest units: `23 h 59 min`, `364 d`, `10 y`; its sign is lost."""
    rest = abs(int(duration.total_seconds()))
    for index, (unit, size) in enumerate(_UNITS):
        if rest >= size:
            smaller, less = _UNITS[min(index + 1, len(_UNITS) - 1)]
            count, part = divmod(rest, size)
            tail = f" {part // less} {smaller}" if part >= less else ""
            return f"{count} {unit}{tail}"
    return "0 s"


def timestamp(moment: datetime) -> str:
    """An aware time as people and programs read it: `2026-07-01T12:00:00Z` (RFC 3339)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(rows: Iterable[Sequence[str]]) -> str:
    """Columns two blanks apart, each as wide as its widest cell; the last is never padded."""
    lines = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(_line(line, widths) + "\n" for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def count(number: int, noun: str) -> str:
    """`1 record`, `2 records`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
