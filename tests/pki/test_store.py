"""The index: what goes in comes out, filtered and in pages; what fails has not happened."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki import view
from pki.errors import StoreError
from pki.lint import Role
from pki.names import SpiffeID, SpiffePattern
from pki.profile import Request, parse_ip
from pki.store import Page, Query, Store
from pki.view import Entry
from tests.pki.faults import small_disk
from tests.pki.kit import DAY, HOUR, NOW, WEB, chain
from tests.pki.rows import issue_row

BASE = "spiffe://demo.local"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.create(tmp_path / "index.db")
    yield made
    made.close()


def fill(store: Store, *rows: dict[str, object]) -> list[str]:
    with store.transaction():
        return [store.append(row).data["serial"] for row in rows]


def shown(store: Store, query: Query) -> list[str]:
    return [entry.spiffe_id.removeprefix(BASE) for entry in store.ls(query).entries]


def test_an_index_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store.create(tmp_path / "index.db")
        fill(store, issue_row("/a"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3  # the file, its write-ahead log, and shared memory


def test_an_index_is_not_made_twice(tmp_path: Path) -> None:
    Store.create(tmp_path / "index.db").close()
    with pytest.raises(StoreError, match="is there already"):
        Store.create(tmp_path / "index.db")


def test_an_index_that_is_not_there_is_not_made_by_opening_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not there") as caught:
        Store.open(tmp_path / "index.db")
    assert "pki init" in caught.value.hints[0]
    assert list(tmp_path.iterdir()) == []


def test_an_index_that_cannot_be_made_is_not_left_half_made(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 20) as disk:
        with pytest.raises(StoreError) as caught:
            Store.create(disk / "index.db")
        assert "is the disk full?" in caught.value.hints[0]
        assert list(disk.iterdir()) == []


def test_what_is_no_index_says_so(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"hello" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(tmp_path / "index.db").find("00")


def test_a_certificate_is_described_in_full(store: Store) -> None:
    leaf = chain().leaf(Request(WEB, ("web", "a.local"), (parse_ip("::1"),)))
    fill(store, view.issue_record(leaf, Role.LEAF, "ab", HOUR, NOW))
    number = f"{leaf.serial_number:040x}"
    assert store.find(number) == Entry(
        seq=1,
        serial=number,
        role=Role.LEAF,
        spiffe_id=str(WEB),
        dns=("web", "a.local"),
        ips=("::1",),
        key_type="p256",
        issuer="ab",
        not_before=NOW - timedelta(seconds=60),
        not_after=NOW + DAY,
        ttl=HOUR,
        issued_at=NOW,
        revoked_at=None,
        reason=None,
    )
    record = store.record(1)
    assert record is not None
    assert view.certificate_of(record.data) == leaf


def test_what_is_not_there_is_none(store: Store) -> None:
    assert store.find("00") is None
    assert store.record(1) is None


def test_a_revocation_is_seen(store: Store) -> None:
    first, _ = fill(store, issue_row("/a"), issue_row("/b"))
    with store.transaction():
        store.append(view.revoke_record(first, "superseded", NOW))
    found = store.find(first)
    assert found is not None
    assert (found.revoked_at, found.reason) == (NOW, "superseded")
    assert shown(store, Query(revoked=True)) == ["/a"]
    assert shown(store, Query(revoked=False)) == ["/b"]
    assert shown(store, Query()) == ["/b", "/a"]
    assert [e.serial for e in store.revoked("issuer", NOW)] == [first]
    assert store.revoked("another", NOW) == []


@pytest.mark.parametrize(
    ("since", "count"), [(NOW + DAY, 1), (NOW + DAY + timedelta(seconds=1), 0)]
)
def test_what_expired_before_is_not_revoked_any_more(
    store: Store, since: datetime, count: int
) -> None:
    (number,) = fill(store, issue_row("/a", end=NOW + DAY))
    with store.transaction():
        store.append(view.revoke_record(number, "superseded", NOW))
    assert len(store.revoked("issuer", since)) == count


def test_expiry_is_a_half_open_window(store: Store) -> None:
    fill(store, *(issue_row(f"/{n}", end=NOW + n * HOUR) for n in range(5)))
    window = Query(expires_after=NOW + HOUR, expires_before=NOW + 3 * HOUR)
    assert shown(store, window) == ["/2", "/1"]
    assert shown(store, Query(expires_after=NOW + 4 * HOUR)) == ["/4"]
    assert shown(store, Query(expires_before=NOW)) == []


def test_roles_are_told_apart(store: Store) -> None:
    fill(store, issue_row("", role=Role.ROOT), issue_row("/a"), issue_row("", role=Role.ROOT))
    assert shown(store, Query(role=Role.LEAF)) == ["/a"]
    assert [entry.seq for entry in store.entries(Role.ROOT)] == [1, 3]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (f"{BASE}/ns/shop/sa/web", ["/ns/shop/sa/web"]),
        (f"{BASE}/ns/shop/sa/*", ["/ns/shop/sa/web-admin", "/ns/shop/sa/web"]),
        (f"{BASE}/ns/*/sa/web", ["/ns/pay/sa/web", "/ns/shop/sa/web"]),
        (f"{BASE}/**", ["/ns/pay/sa/web", "/ns/shop/sa/web-admin", "/ns/shop/sa/web", "/ns"]),
        (f"{BASE}/ns/**", ["/ns/pay/sa/web", "/ns/shop/sa/web-admin", "/ns/shop/sa/web", "/ns"]),
        ("spiffe://demo.loca/**", []),
        (f"{BASE}/ns/shop/sa/we", []),
    ],
)
def test_a_glob_covers_whole_segments(store: Store, pattern: str, expected: list[str]) -> None:
    paths = ("/ns", "/ns/shop/sa/web", "/ns/shop/sa/web-admin", "/ns/pay/sa/web")
    fill(store, issue_row("", role=Role.ROOT), *map(issue_row, paths))
    assert shown(store, Query(spiffe=SpiffePattern.parse(pattern))) == expected


SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4)
STARS = st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=4)


@given(st.lists(SEGMENTS, max_size=8), STARS)
def test_a_glob_shows_what_the_pattern_matches(paths: list[list[str]], stars: list[str]) -> None:
    pattern = SpiffePattern.parse(f"{BASE}/{'/'.join(stars)}")
    store = _in_memory([f"/{'/'.join(path)}" for path in paths])
    found = shown(store, Query(spiffe=pattern))
    wanted = [f"/{'/'.join(path)}" for path in reversed(paths)]
    assert found == [path for path in wanted if pattern.matches(SpiffeID.parse(BASE + path))]
    store.close()


def _in_memory(paths: list[str]) -> Store:
    """An index without a file: hundreds are made for one property."""
    store = Store.__new__(Store)
    store._path = Path(":memory:")
    store._db = sqlite3.connect(":memory:", isolation_level=None)
    store._db.executescript(view.SCHEMA)
    for seq, path in enumerate(paths, 1):
        view.apply(store._db, {**issue_row(path), "seq": seq})
    return store


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_pages_show_everything_once_and_in_order(store: Store, limit: int) -> None:
    fill(store, *(issue_row(f"/{n}") for n in range(5)))
    pages: list[str] = []
    before: int | None = None
    while True:
        page = store.ls(Query(limit=limit, before=before))
        assert len(page.entries) <= limit
        pages += [entry.spiffe_id.removeprefix(BASE) for entry in page.entries]
        before = page.next
        if before is None:
            break
    assert pages == ["/4", "/3", "/2", "/1", "/0"]


def test_a_page_that_ends_exactly_is_the_last(store: Store) -> None:
    fill(store, issue_row("/a"), issue_row("/b"))
    assert store.ls(Query(limit=2)).next is None
    assert store.ls(Query(limit=1)).next == 2


def test_a_page_without_lines_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="at least one line"):
        store.ls(Query(limit=0))


def test_an_empty_index_has_one_empty_page(store: Store) -> None:
    assert store.ls(Query()) == Page((), None)
    assert store.verify().records == 0


def test_what_fails_in_a_transaction_has_not_happened(store: Store) -> None:
    broken: dict[str, object] = {"event": "issue"}  # the log takes it, the table does not
    with pytest.raises(KeyError):
        fill(store, issue_row("/a"), broken)
    assert store.ls(Query()).entries == ()
    assert store.next_seq() == 1


def test_a_serial_number_is_taken_once(store: Store) -> None:
    """Serial collision (threat class 37)."""
    row = issue_row("/a")
    fill(store, row)
    with pytest.raises(StoreError, match="UNIQUE"):
        fill(store, row)
    assert (len(store.ls(Query()).entries), store.verify().ok) == (1, True)


@pytest.mark.parametrize(
    "statement", ["UPDATE log SET body = x'00'", "DELETE FROM log", "DELETE FROM log WHERE seq = 1"]
)
def test_the_log_takes_nothing_back(store: Store, statement: str) -> None:
    fill(store, issue_row("/a"))
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        store._db.execute(statement)


def test_every_commit_is_synced(store: Store) -> None:
    """2 is FULL: the write-ahead log is synced at each commit."""
    store._db.execute("PRAGMA synchronous=OFF")
    fill(store, issue_row("/a"))
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_times_are_kept_in_utc_whatever_the_zone(store: Store) -> None:
    there = NOW.astimezone(timezone(5 * HOUR))
    fill(store, view.issue_record(chain().leaf(), Role.LEAF, "ab", HOUR, there))
    (found,) = store.ls(Query()).entries
    assert (found.issued_at, found.issued_at.tzinfo) == (NOW, UTC)


@pytest.mark.parametrize(
    ("obstacle", "hint"),
    [
        ("PRAGMA query_only = ON", "must be writable for this user"),
        ("PRAGMA max_page_count = 1", "is the disk full?"),
    ],
)
def test_what_stands_in_the_way_is_named(store: Store, obstacle: str, hint: str) -> None:
    store._db.execute(obstacle)
    with pytest.raises(StoreError) as caught:
        fill(store, *(issue_row(f"/{n}") for n in range(100)))
    assert hint in caught.value.hints[0]


def test_another_writer_that_does_not_let_go_is_named(tmp_path: Path, store: Store) -> None:
    other = sqlite3.connect(tmp_path / "index.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._db.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(StoreError) as caught:
        fill(store, issue_row("/a"))
    assert caught.value.hints == ("another process holds the index; try again",)
    other.close()
    fill(store, issue_row("/a"))
