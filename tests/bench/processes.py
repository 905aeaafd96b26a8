"""A child process that is pinned to a core, keeps its last words, and ends with its block."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STOP_SECONDS: Final = 3.0


class StartError(Exception):
    """A process did not come up; the message ends with its own last words."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run where: its standard output and errors go to two files of `folder`."""

    argv: Sequence[str]
    folder: Path
    core: int
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Child:
    """A running process."""

    pid: int
    _process: subprocess.Popen[bytes]
    _errors: Path

    def check(self) -> None:
        """Raise `StartError` if it has ended."""
        if self._process.poll() is not None:
            raise StartError(f"ended with {self._process.returncode}{self.last_words()}")

    def last_words(self) -> str:
        """The last line that it wrote to its standard error, to be appended to a message."""
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""


@contextmanager
def running(command: Command) -> Iterator[Child]:
    """Run it until the block ends: then SIGTERM, and SIGKILL if that does not help."""
    errors = command.folder / "stderr.log"
    with (
        (command.folder / "stdout.log").open("wb") as stdout,
        errors.open("wb") as stderr,
        _pinned(command.core),
    ):
        process = subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, **command.environment},
        )
    try:
        yield Child(process.pid, process, errors)
    finally:
        _stop(process)


@contextmanager
def _pinned(core: int) -> Iterator[None]:
    """Stand on that core for a moment: a child inherits it, with every thread it will start."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
