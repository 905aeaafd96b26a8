"""`pki` at a terminal that a test holds: a clock that stands, typed passphrases, caught output."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pki.cli import main
from pki.world import World
from tests.pki.kit import NOW

WEB: Final = "spiffe://demo.local/ns/shop/sa/web"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)


@dataclass(slots=True)
class Pki:
    """Runs commands against the CA in `home`/ca."""

    home: Path
    now: datetime = NOW
    asked: list[str] = field(default_factory=list)

    @property
    def ca(self) -> str:
        return str(self.home / "ca")

    def path(self, name: str) -> str:
        return str(self.home / name)

    def run(self, *words: str, stdin: bytes = b"", typed: Sequence[str] | None = None) -> Outcome:
        """Run `pki WORDS`; `typed` answers its questions, None is no keyboard at all."""
        out, err = io.StringIO(), io.StringIO()
        ask = None if typed is None else self._asker(iter(typed))
        code = main(words, World(io.BytesIO(stdin), out, err, lambda: self.now, ask))
        return Outcome(code, out.getvalue(), err.getvalue())

    def ok(self, *words: str, stdin: bytes = b"", typed: Sequence[str] | None = None) -> Outcome:
        """As `run`, for commands that must succeed."""
        done = self.run(*words, stdin=stdin, typed=typed)
        assert done.code == 0, done.err
        return done

    def init(self, *words: str) -> Outcome:
        return self.ok("init", "--dir", self.ca, "--trust-domain", "demo.local", *words)

    def issue(self, name: str = "web", *words: str, spiffe_id: str = WEB) -> Outcome:
        """Issue into the folder `name`."""
        return self.ok(
            "issue", "--dir", self.ca, "--spiffe-id", spiffe_id, "--out", self.path(name), *words
        )

    def serial(self, name: str = "web") -> str:
        """The serial number of the certificate in the folder `name`."""
        shown = self.ok("show", self.path(f"{name}/tls.crt"), "--json").json
        return str(shown[0]["serial"])

    def wait(self, duration: timedelta) -> None:
        self.now += duration

    def _asker(self, answers: Iterator[str]) -> Any:
        def ask(question: str) -> str:
            self.asked.append(question)
            return next(answers)

        return ask
