"""The index of everything that was issued: one SQLite file that loses nothing.

The append-only, hash-chained log (`pki.log`) is the truth. The `certificates` table beside it is
a view of the log that can be searched, written in the same transaction by `pki.events`; `verify`
builds it again from the log and compares. Write-ahead log and `synchronous=FULL`: when a call
returns, its records have survived a power cut. Writers take the lock before they read the head
of the chain, so any number of processes may issue at once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from pki import log, view
from pki.errors import StoreError
from pki.lint import Role
from pki.log import Damage, LogReport, Record
from pki.names import SpiffePattern, match_segments
from pki.view import Entry

BUSY_SECONDS: Final = 30  # how long a writer waits for the others

_SCHEMA: Final = f"""
CREATE TABLE log (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE TRIGGER log_no_update BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER log_no_delete BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
{view.SCHEMA}"""


@dataclass(frozen=True, slots=True)
class Query:
    """What `ls` shows: all filters must hold. Newest first; `before` is the cursor of a page.

    `expires_after` and `expires_before` bound the end: after <= not_after < before.
    """

    spiffe: SpiffePattern | None = None
    role: Role | None = None
    revoked: bool | None = None
    expires_after: datetime | None = None
    expires_before: datetime | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, and the `before` of the next page (None: this is the last)."""

    entries: tuple[Entry, ...]
    next: int | None


class Store:
    """The index in one file. Not shared between threads: open one for each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._guard():
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,  # transactions begin where `transaction` says so
            )

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new, empty index with mode 0600; raise `StoreError` if there is one."""
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError as error:
            raise StoreError(f"{path} is there already") from error
        store = cls(path)
        try:
            with store._guard():
                store._db.execute("PRAGMA journal_mode=WAL")
                store._db.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
        except StoreError:
            store.close()
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(name).unlink(missing_ok=True)
            raise
        return store

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an index; raise `StoreError` if there is none. Damage shows when it is read."""
        if not path.is_file():
            raise StoreError(f"{path} is not there", "make a CA with: pki init")
        return cls(path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock; what happens inside is durable afterwards, or has not happened."""
        with self._guard():
            self._db.execute("PRAGMA synchronous=FULL")  # whatever this SQLite was built for
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                self._rollback()

    def append(self, data: Mapping[str, Any]) -> Record:
        """Add a record (`pki.view` says which) to log and view, inside of a `transaction`."""
        assert self._db.in_transaction
        last = self._last()
        record = log.seal(last.hash, last.seq + 1, data)
        self._db.execute("INSERT INTO log VALUES (?, ?, ?)", (record.seq, record.body, record.hash))
        view.apply(self._db, record.data)
        return record

    def next_seq(self) -> int:
        """The number of the record that `append` makes next; sure only in a `transaction`."""
        with self._guard():
            return self._last().seq + 1

    def record(self, seq: int) -> Record | None:
        """The record with this number, or None."""
        with self._guard():
            row = self._db.execute("SELECT * FROM log WHERE seq = ?", (seq,)).fetchone()
        return _record(row) if row else None

    def data(self, seq: int) -> dict[str, Any] | None:
        """What the record with this number says, or None; `StoreError` if it is damaged."""
        record = self.record(seq)
        try:
            return None if record is None else record.data
        except ValueError as error:
            raise StoreError(
                f"{self._path}: record {seq} cannot be read: {error}", _LOOK
            ) from error

    def find(self, serial: str) -> Entry | None:
        """The entry with this serial (40 lower-case hex digits), or None."""
        return next(iter(self._select("serial = ?", (serial,), "")), None)

    def entries(self, role: Role) -> list[Entry]:
        """All entries of a role, oldest first (meant for the few CA certificates)."""
        return self._select("role = ?", (role,), "ORDER BY seq")

    def revoked(self, issuer: str, since: datetime) -> list[Entry]:
        """What `issuer` signed, is revoked, and was not expired at `since`; oldest first."""
        where = "issuer = ? AND revoked_at IS NOT NULL AND not_after >= ?"
        return self._select(where, (issuer, int(since.timestamp())), "ORDER BY seq")

    def ls(self, query: Query) -> Page:
        """One page of entries."""
        if query.limit < 1:
            raise StoreError("a page has at least one line")
        terms, values = _terms(query)
        if query.spiffe is not None:
            self._db.create_function("covered", 1, _matcher(query.spiffe), deterministic=True)
        tail = f"ORDER BY seq DESC LIMIT {query.limit + 1}"
        found = self._select(" AND ".join(["1", *terms]), tuple(values), tail)
        shown = tuple(found[: query.limit])
        return Page(shown, shown[-1].seq if len(found) > query.limit else None)

    def verify(self, head: str | None = None) -> LogReport:
        """Check the file, the chain, and the view against the chain.

        `head` is the hash of a record in hex that was noted before: it must be in the chain.
        """
        try:
            with self._guard(), self._snapshot():
                return self._verify(head)
        except StoreError as error:
            return LogReport(0, log.GENESIS.hex(), (Damage(0, str(error)),))

    def _verify(self, head: str | None) -> LogReport:
        complaints = [row[0] for row in self._db.execute("PRAGMA integrity_check")]
        damage = [Damage(0, text) for text in complaints if text != "ok"]
        damage += log.check_chain(self._records())
        if not damage:
            damage += view.differences(self._db, _SCHEMA, self._records())
        hashes = [log.GENESIS.hex(), *(record.hash.hex() for record in self._records())]
        if head is not None and head.lower() not in hashes:
            damage.append(Damage(0, f"no record has the hash {head}: the log was cut or rewritten"))
        return LogReport(len(hashes) - 1, hashes[-1], tuple(damage))

    def _records(self) -> Iterator[Record]:
        return map(_record, self._db.execute("SELECT * FROM log ORDER BY seq"))

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Read one state of the file while others write, with damaged text shown and not fatal."""
        self._db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.text_factory = str
            self._rollback()

    def _rollback(self) -> None:
        """End what is still open: after COMMIT nothing is, and a full disk has ended it already."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _last(self) -> Record:
        row = self._db.execute("SELECT * FROM log ORDER BY seq DESC LIMIT 1").fetchone()
        return _record(row) if row else Record(0, b"", log.GENESIS)

    def _select(self, where: str, values: tuple[Any, ...], tail: str) -> list[Entry]:
        statement = f"SELECT * FROM certificates WHERE {where} {tail}"  # noqa: S608  # our own text
        with self._guard():
            rows = self._db.execute(statement, values).fetchall()
        try:
            return [view.entry(row) for row in rows]
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self._path}: a row cannot be read: {error}", _LOOK) from error

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """SQLite's errors as ours, with the file's name."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}", *_hints(error)) from error


def _record(row: tuple[int, object, object]) -> Record:
    seq, *rest = row
    body, hash_ = (part if isinstance(part, bytes) else b"" for part in rest)  # damage: no bytes
    return Record(seq, body, hash_)


def _hints(error: sqlite3.Error) -> list[str]:
    text = str(error)
    if "full" in text or "I/O" in text:
        return ["is the disk full? nothing was issued, and nothing that was is lost"]
    if "locked" in text:
        return ["another process holds the index; try again"]
    if "readonly" in text or "unable to open" in text:
        return ["the index and its folder must be writable for this user"]
    return [_LOOK]


_LOOK: Final = "look for damage with: pki log verify"


def _terms(query: Query) -> tuple[list[str], list[Any]]:
    """The filters as SQL; ranges and equalities have indexes."""
    terms: list[str] = []
    values: list[Any] = []
    for term, value in (
        ("role = ?", query.role),
        ("not_after >= ?", _epoch(query.expires_after)),
        ("not_after < ?", _epoch(query.expires_before)),
        ("seq < ?", query.before),
    ):
        if value is not None:
            terms.append(term)
            values.append(value)
    if query.revoked is not None:
        terms.append("revoked_at IS NOT NULL" if query.revoked else "revoked_at IS NULL")
    if query.spiffe is not None:
        first, end = _range(query.spiffe)
        terms += ["spiffe_id >= ?", "spiffe_id < ?", "covered(spiffe_id)"]
        values += [first, end]
    return terms, values


def _range(pattern: SpiffePattern) -> tuple[str, str]:
    """The strings between which everything lies that `pattern` can match: its fixed beginning."""
    literal = f"spiffe://{pattern.trust_domain}"
    for segment in pattern.segments:
        if segment in {"*", "**"}:
            break
        literal += "/" + segment
    return literal, literal + "\U0010ffff"


def _matcher(pattern: SpiffePattern) -> Any:
    """Whether an ID's text is covered. CA certificates have no path and are never covered."""
    prefix = f"spiffe://{pattern.trust_domain}/"

    def covered(text: str) -> bool:
        segments = tuple(text.removeprefix(prefix).split("/"))
        return text.startswith(prefix) and match_segments(pattern.segments, segments)

    return covered


def _epoch(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
