"""Programs that the demo starts, and ends again whatever happens to the demo itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

PATIENCE_S: Final = 20.0  # for what takes half a second on an idle machine
_GRACE_S: Final = 5.0
_POLL_S: Final = 0.02

T = TypeVar("T")


class DemoError(Exception):
    """The demo cannot go on; the message says what happened, `hint` where to look."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def until(look: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
    """Call `look` until it returns something true, and return that."""
    deadline = time.monotonic() + patience_s
    while not (found := look()):
        if time.monotonic() >= deadline:
            raise DemoError(f"waited {patience_s:g} s in vain for {what}")
        time.sleep(_POLL_S)
    return found


@dataclass(slots=True)
class Fleet:
    """Processes that work in one folder; `name.log` and `name.err` there are what they print."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def call(self, *argv: str) -> str:
        """Run a Python module to its end and return what it printed."""
        command = [sys.executable, "-m", *argv]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DemoError(f"`{' '.join(argv)}` ended with {done.returncode}", done.stderr.strip())
        return done.stdout

    def start(self, name: str, *argv: str, env: Mapping[str, object] | None = None) -> None:
        """Start Python with these arguments."""
        more = {key: str(value) for key, value in (env or {}).items()}
        with (self.folder / f"{name}.log").open("wb") as out, self.errors(name).open("wb") as err:
            self.running[name] = subprocess.Popen(
                [sys.executable, *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.folder,
                env=os.environ | more,
                process_group=0,  # Ctrl-C is for the demo, which then ends them in order
            )

    def errors(self, name: str) -> Path:
        """Where a process's standard error goes."""
        return self.folder / f"{name}.err"

    def check(self, name: str) -> None:
        """Raise if a process has ended by itself."""
        code = self.running[name].poll()
        if code is not None:
            words = self.errors(name).read_text(errors="replace").strip()
            raise DemoError(f"{name} ended with {code}", words)

    def stop(self) -> None:
        """End all of them: politely, then not."""
        alive = [process for process in self.running.values() if process.poll() is None]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for process in alive:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let no second Ctrl-C stop the cleaning up after the first."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
