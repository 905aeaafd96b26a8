"""The hash chain of the issuance log: pure, and small enough to check by hand.

Record n is `body` (canonical JSON: ASCII, sorted keys, no blanks) and
`hash = SHA-256(hash of record n-1 || body)`, where the record before the first has 32 zero
bytes. The body holds everything, its own number included, so there is nothing beside it that
could be changed unseen. Cutting off the end is the one thing that a chain cannot show: compare
with a head that was noted elsewhere (`pki log verify --head`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

GENESIS: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the log. `body` is what was hashed."""

    seq: int
    body: bytes
    hash: bytes

    @property
    def data(self) -> dict[str, Any]:
        """The body, read; raises `ValueError` if it is not what `seal` writes."""
        data = json.loads(self.body)
        if not isinstance(data, dict) or _canonical(data) != self.body:
            raise ValueError("not a JSON object in canonical form")
        return data


@dataclass(frozen=True, slots=True)
class Damage:
    """Record `seq` is not what was written (0: the file as a whole); `message` says how."""

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


def seal(previous: bytes, seq: int, data: Mapping[str, Any]) -> Record:
    """Make record `seq` from JSON values, on top of the record whose hash is `previous`."""
    body = _canonical({**data, "seq": seq})
    return Record(seq, body, _hash(previous, body))


def check_chain(records: Iterable[Record]) -> Iterator[Damage]:
    """Yield what is wrong, in order.

    After a record whose hash does not fit, the next may build on the hash that is stored or on
    the one that was computed, whichever is the intact one: so one flipped byte, in a body or in
    a hash, names one record.
    """
    expected, accepted = 1, [GENESIS]
    for record in records:
        if record.seq != expected:
            yield Damage(expected, f"record {expected} is missing; record {record.seq} follows")
        fits = [_hash(previous, record.body) for previous in accepted]
        if record.hash not in fits:
            yield Damage(record.seq, "its hash does not fit its content and the record before")
        elif problem := _problem(record):
            yield Damage(record.seq, problem)
        expected = record.seq + 1
        accepted = [record.hash] if record.hash in fits else [record.hash, fits[0]]


def _problem(record: Record) -> str | None:
    try:
        number = record.data.get("seq")
    except ValueError as error:
        return f"its content cannot be read: {error}"
    return None if number == record.seq else f"it says that it is record {number}"


def _canonical(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _hash(previous: bytes, body: bytes) -> bytes:
    return hashlib.sha256(previous + body).digest()
