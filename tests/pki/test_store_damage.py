"""`log verify`: one flipped byte anywhere is found, and the record is named."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pki import view
from pki.errors import StoreError
from pki.lint import Role
from pki.log import GENESIS
from pki.store import Store
from tests.pki.kit import HOUR, NOW, chain
from tests.pki.rows import issue_row

RECORDS = 6
FLIPS = 600  # positions of the file that are tried; it has ten times as many bytes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed index: two certificates of the real size, two small, two revocations."""
    store = Store.create(tmp_path / "index.db")
    rows = [
        *(view.issue_record(chain().leaf(), Role.LEAF, "ab", HOUR, NOW) for _ in range(2)),
        issue_row("/a"),
        issue_row("/b"),
    ]
    with store.transaction():
        serials = [store.append(row).data["serial"] for row in rows]
        for number in serials[:2]:
            store.append(view.revoke_record(number, "superseded", NOW))
    store.close()
    return tmp_path / "index.db"


@contextmanager
def forger(path: Path) -> Iterator[sqlite3.Connection]:
    """The file in the hands of somebody who knows SQL: the triggers are away for as long."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous=OFF")
    triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER {name}")
    yield db
    for _, sql in triggers:
        db.execute(sql)
    db.close()


def forge(path: Path, statement: str) -> None:
    with forger(path) as db:
        db.execute(statement)


def damage(path: Path, head: str | None = None) -> list[int]:
    store = Store.open(path)
    try:
        return [found.seq for found in store.verify(head).damage]
    finally:
        store.close()


def test_an_intact_index_is_good_and_names_its_head(path: Path) -> None:
    store = Store.open(path)
    report = store.verify()
    last = store.record(RECORDS)
    assert last is not None
    assert (report.ok, report.records, report.head) == (True, RECORDS, last.hash.hex())
    store.close()


def flip(data: bytes, position: int, mask: int = 1) -> bytes:
    changed = bytearray(data)
    changed[position] ^= mask
    return bytes(changed)


@pytest.mark.parametrize("column", ["body", "hash"])
@pytest.mark.parametrize("seq", [1, 3, RECORDS])
def test_every_byte_of_a_record_counts(path: Path, seq: int, column: str) -> None:
    store = Store.open(path)
    original = getattr(store.record(seq), column)
    change = f"UPDATE log SET {column} = ? WHERE seq = ?"
    with forger(path) as db:
        for position in range(len(original)):
            db.execute(change, (flip(original, position), seq))
            assert [found.seq for found in store.verify().damage] == [seq]
        db.execute(change, (original, seq))
    assert store.verify().ok
    store.close()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE certificates SET spiffe_id = 'spiffe://demo.local/x' WHERE seq = 3", [3]),
        ("UPDATE certificates SET revoked_at = NULL, reason = NULL WHERE seq = 1", [1]),
        ("UPDATE certificates SET not_after = not_after + 1 WHERE seq = 4", [4]),
        ("UPDATE certificates SET reason = 'keyCompromise' WHERE seq = 2", [2]),
        ("DELETE FROM certificates WHERE seq = 4", [4]),
        ("DELETE FROM log WHERE seq = 3", [3, 4]),
        ("UPDATE log SET seq = 9 WHERE seq = 6", [6, 9]),
    ],
)
def test_a_change_of_table_or_log_is_named(path: Path, statement: str, named: list[int]) -> None:
    forge(path, statement)
    assert damage(path) == named


@pytest.mark.parametrize(
    "statement",
    ["DROP TRIGGER log_no_delete", "DROP INDEX certificates_by_name", "CREATE TABLE more (x)"],
)
def test_a_change_of_the_schema_is_found(path: Path, statement: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(statement)
    db.close()
    assert damage(path) == [0]


def test_a_log_that_was_cut_is_found_by_the_head_that_was_noted(path: Path) -> None:
    store = Store.open(path)
    head = store.verify().head
    store.close()
    forge(path, "DELETE FROM log WHERE seq = 6")
    forge(path, "UPDATE certificates SET revoked_at = NULL, reason = NULL WHERE seq = 2")
    assert damage(path) == []  # a chain cannot show this by itself
    assert damage(path, head) == [0]


def test_an_older_head_is_still_good(path: Path) -> None:
    store = Store.open(path)
    first = store.record(1)
    assert first is not None
    for head in (GENESIS.hex(), first.hash.hex(), first.hash.hex().upper()):
        assert store.verify(head).ok
    assert not store.verify("00" * 31 + "01").ok
    store.close()


def test_one_flipped_byte_of_the_file_is_found_or_changes_nothing(path: Path) -> None:
    """Bytes that SQLite does not use may change; what can be read out may not, unseen."""
    original = path.read_bytes()
    content = everything(path)
    found = 0
    positions = random.Random(1).sample(range(len(original)), FLIPS)
    for position in positions:
        path.write_bytes(flip(original, position, 0x10))
        if verdict := damage(path):
            found += 1
            assert min(verdict) >= 0
        else:
            assert everything(path) == content
    assert found > FLIPS // 20


@pytest.mark.parametrize("size", [0, 1, 100, 5000])
def test_a_file_that_was_cut_is_found(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    assert damage(path) != []


def test_a_damaged_row_stops_a_listing_with_a_hint(path: Path) -> None:
    forge(path, "UPDATE certificates SET dns = '{' WHERE seq = 3")
    store = Store.open(path)
    with pytest.raises(StoreError, match="a row cannot be read") as caught:
        store.find(f"{3:040x}") or store.entries(Role.LEAF)
    assert caught.value.hints == ("look for damage with: pki log verify",)
    store.close()


def test_a_damaged_record_stops_reading_it_with_a_hint(path: Path) -> None:
    forge(path, "UPDATE log SET body = x'7b' WHERE seq = 3")
    store = Store.open(path)
    assert store.data(99) is None
    with pytest.raises(StoreError, match="record 3 cannot be read") as caught:
        store.data(3)
    assert caught.value.hints == ("look for damage with: pki log verify",)
    store.close()


def everything(path: Path) -> object:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        return [
            db.execute(f"SELECT * FROM {table} ORDER BY seq").fetchall()
            for table in ("log", "certificates")
        ]
    finally:
        db.close()
