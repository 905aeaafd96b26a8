"""The hash chain of the issuance log: pure, and small enough to check by hand.

Record n is `body` (canonical JSON, UTF-8: sorted keys, no blanks) and
`hash = SHA-256(hash of record n-1 || body)`, where the record before the first has 32 zero
bytes. The body holds everything, its own number included, so there is nothing beside it that could
be changed unseen. Cutting off the end is the one thing that a chain cannot show: compare the
head with one that was noted elsewhere (`pki log verify --head`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the log. `body` is what was hashed; `data` is the same as values."""

    seq: int
    body: bytes
    hash: bytes

    @property
    def data(self) -> dict[str, Any]:
        """The body, read."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Damage:
    """Record `seq` is not what was written (0: the database itself); `message` says how."""

    seq: int
    message: str


@dataclass(frozen=True, slots=True)
class LogReport:
    """What `log verify` found: number of records, hash of the last in hex, and all damage."""

    records: int
    head: str
    damage: tuple[Damage, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damage


def seal(previous: bytes, seq: int, data: dict[str, Any]) -> Record:
    """Make record `seq` from values, on top of the record whose hash is `previous`."""
    raise NotImplementedError


def verify_chain(records: Iterable[Record]) -> LogReport:
    """Check numbers, hashes and bodies in order."""
    raise NotImplementedError
