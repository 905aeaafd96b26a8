"""What came out of the steps. Values only: how they look is `ui`'s business."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """One step: what it should have come to, and what it came to."""

    number: int
    title: str
    expected: str
    seen: str

    @property
    def ok(self) -> bool:
        return self.seen == self.expected


HEAD = ("", "step", "expected", "seen", "")


def rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """One row of a table for each step."""
    return [
        (str(each.number), each.title, each.expected, each.seen, "ok" if each.ok else "WRONG")
        for each in results
    ]


def verdict(results: Sequence[Result]) -> str:
    """The last line."""
    wrong = [str(each.number) for each in results if not each.ok]
    if wrong:
        return f"{_count(len(wrong), 'step')} did not come out right: {', '.join(wrong)}"
    return f"{_count(len(results), 'step')}, all as they should be"


def is_ok(results: Sequence[Result]) -> bool:
    """Whether there are results and all of them are right."""
    return bool(results) and all(each.ok for each in results)


def to_json(results: Sequence[Result]) -> str:
    """The same for programs."""
    steps = [
        {
            "number": each.number,
            "title": each.title,
            "expected": each.expected,
            "seen": each.seen,
            "ok": each.ok,
        }
        for each in results
    ]
    return json.dumps({"ok": is_ok(results), "steps": steps}, indent=2)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
