"""Everything outside of a command: its streams, its clock, its keyboard.

Commands get a `World` and touch nothing else that is global, so a test runs them with a fixed
clock and typed passphrases, and no command can print to the wrong place.
"""

from __future__ import annotations

import getpass
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, TextIO


@dataclass(frozen=True, slots=True)
class World:
    """What a command reads and writes. `ask` is None where nobody can be asked for a passphrase."""

    stdin: BinaryIO
    out: TextIO
    err: TextIO
    now: Callable[[], datetime]
    ask: Callable[[str], str] | None

    @classmethod
    def real(cls) -> World:
        """The process's own; what the terminal cannot show is written as an escape."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # not where a test has put its own
                stream.reconfigure(errors="backslashreplace")
        stdin = io.BytesIO() if sys.stdin is None else sys.stdin.buffer  # None: it was closed
        ask = getpass.getpass if stdin.isatty() else None
        return cls(stdin, sys.stdout, sys.stderr, lambda: datetime.now(UTC), ask)

    def print(self, *lines: str) -> None:
        """Results, to standard output."""
        for line in lines:
            self.out.write(line + "\n")

    def print_json(self, value: object) -> None:
        """One value as JSON, ASCII only, so that nothing in it reaches a terminal raw."""
        self.print(json.dumps(value, indent=2))

    def note(self, *lines: str) -> None:
        """Words beside the results, to standard error."""
        for line in lines:
            self.err.write(line + "\n")
