"""The index of everything that was issued: one SQLite file that loses nothing.

The append-only, hash-chained log (`pki.log`) is the truth. The `certificates` table beside it is
a view of the log that can be searched, written in the same transaction; `verify` builds it again
from the log and compares. Write-ahead log and `synchronous=FULL`: when a call returns, its
records have survived a power cut. Writers take the lock before they read the head of the chain, so
any number of processes may issue at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from cryptography import x509

from pki.lint import Role
from pki.log import LogReport
from pki.names import SpiffePattern


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate of the index. Times are aware UTC; `serial` is 40 hex digits, lower case.

    `spiffe_id` is the URI name as text (the trust domain's own for CA certificates), `issuer`
    the serial of the issuing certificate (its own for a root), `seq` the number of its log
    record. `revoked_at` and `reason` (RFC 5280 name such as `keyCompromise`) are None while it
    is good.
    """

    seq: int
    serial: str
    role: Role
    spiffe_id: str
    dns: tuple[str, ...]
    ips: tuple[str, ...]
    key_type: str
    issuer: str
    not_before: datetime
    not_after: datetime
    issued_at: datetime
    revoked_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Query:
    """What `ls` shows: all filters must hold. Newest first; `before` is the cursor of a page.

    `expires_after`/`expires_before` bound not_after (after <= not_after < before).
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

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new, empty index with mode 0600; raise `StoreError` if there is one."""
        raise NotImplementedError

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an index; raise `StoreError` if there is none or it cannot be read."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock; everything inside is durable after it, or has not happened."""
        raise NotImplementedError
        yield

    def find(self, serial: str) -> Entry | None:
        """The entry with this serial, or None."""
        raise NotImplementedError

    def certificate(self, serial: str) -> x509.Certificate | None:
        """The certificate with this serial as it was issued, or None."""
        raise NotImplementedError

    def ls(self, query: Query) -> Page:
        """One page of entries."""
        raise NotImplementedError

    def verify(self, head: str | None = None) -> LogReport:
        """Check the file, the chain, and the table against the chain; `head` must be in it."""
        raise NotImplementedError
