"""What is wrong with a configuration file, in the form that every reader of it reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sidecar.config.values import quote

Path = tuple[str | int, ...]  # the keys and indexes that lead to a value, outermost first
MAX_PROBLEMS: Final = 50  # enough to mend a file by; a log line has an end


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: `line` counts from 1, `key` is a path such as `inbound[0].listen`.

    `line` is 0 and `key` empty where the file as a whole is meant, `found` is empty where there
    is nothing to show; `hint` is what would mend it, if that can be said.
    """

    file: str
    line: int
    key: str
    found: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(filter(None, (place, self.key, self.message)))


class ConfigError(Exception):
    """The configuration cannot be used; `problems` says why, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: p.line)[:MAX_PROBLEMS])
        super().__init__("\n".join(map(str, self.problems)))


def show_path(path: Path) -> str:
    """Write a path of keys and indexes as people do: `inbound[0].allow[1].from`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{_word(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def _word(key: str) -> str:
    return key if key.isidentifier() else quote(key)
