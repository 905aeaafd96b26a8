"""What the reader sees: coloured on a terminal, plain elsewhere or where NO_COLOR asks for it."""

from __future__ import annotations

import itertools
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TextIO

_TEXT_WIDTH: Final = 88
_INDENT: Final = "   "
_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_ERASE: Final = "\r\x1b[K"
_FRAME_S: Final = 0.1


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour: on a terminal that can, unless NO_COLOR is set to anything at all."""
    able = stream.isatty() and environ.get("TERM", "dumb") != "dumb"
    return able and not environ.get("NO_COLOR")


@dataclass(frozen=True, slots=True)
class Console:
    """Prints the story."""

    stream: TextIO
    colour: bool
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def line(self, text: str = "", style: str = "") -> None:
        """One line as it is, in place of the spinner if one turns."""
        self._write((_ERASE if self.colour else "") + self.paint(text, style) + "\n")

    def _write(self, text: str) -> None:
        with self._lock:
            self.stream.write(text)
            self.stream.flush()

    def paint(self, text: str, style: str) -> str:
        """The text in a style, where styles are wanted."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.colour and style else text

    def heading(self, text: str) -> None:
        """What comes next, after an empty line."""
        self.line()
        self.line(text, "bold")

    def prose(self, text: str) -> None:
        """A sentence or two, wrapped."""
        for line in _wrapped(text):
            self.line(_INDENT + line, "dim")

    def field(self, key: str, text: str, style: str = "") -> None:
        """A labelled value, wrapped; further lines stand under the first."""
        for number, line in enumerate(_wrapped(text)):
            label = self.paint(f"{'' if number else key:<8}", "dim")
            self.line(f"{_INDENT}{label} {self.paint(line, style)}")

    def command(self, text: str) -> None:
        """A command as one would type it in the demo's folder."""
        self.line(f"{_INDENT}{self.paint('$', 'dim')} {self.paint(text, 'cyan')}")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as they need to be; a row whose last cell is ok is green, else red."""
        for line, style in table_lines(head, rows):
            self.line(_INDENT + line, style)

    @contextmanager
    def progress(self, what: str, count: Callable[[], str] = str) -> Iterator[None]:
        """Show that something takes its time; `count` says how far it is."""
        began = time.monotonic()
        over = threading.Event()
        spinner = threading.Thread(target=self._spin, args=(what, count, over), daemon=True)
        if self.colour:
            spinner.start()
        try:
            yield
        finally:
            over.set()
            if self.colour:
                spinner.join()
        self.line(f"{_INDENT}{what}: {count()}{time.monotonic() - began:.1f} s", "dim")

    def _spin(self, what: str, count: Callable[[], str], over: threading.Event) -> None:
        for mark in itertools.cycle("|/-\\"):
            self._write(f"{_ERASE}{_INDENT}{self.paint(mark, 'cyan')} {what}: {count()}")
            if over.wait(_FRAME_S):
                return


def _wrapped(text: str) -> list[str]:
    """Lines that fit; those that the text has already stay apart."""
    return [
        piece
        for line in text.splitlines()
        for piece in textwrap.wrap(line, _TEXT_WIDTH, break_on_hyphens=False)
    ]


def table_lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """The lines of a table, each with its style; no cell is cut."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def laid_out(cells: Sequence[str]) -> str:
        return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))

    styled = [(laid_out(row).rstrip(), "green" if row[-1] == "ok" else "red") for row in rows]
    return [(laid_out(head).rstrip(), "bold"), *styled]
