"""Making a CA: what is on the disk, what is in the index, what a passphrase locks."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pki.authority import Authority, needs_passphrase
from pki.errors import AuthorityError, PassphraseError, StoreError
from pki.keys import KeyType, key_name
from pki.lint import Role
from pki.profile import Profile, Request
from pki.store import Query, Store
from tests.pki.faults import small_disk
from tests.pki.kit import HOUR, NOW, WEB

PROFILE = Profile("demo.local")


def tree(folder: Path) -> dict[str, int]:
    """Files and folders below `folder` with their modes, but for SQLite's own."""
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
        if "index.db-" not in path.name
    }


# --- init -------------------------------------------------------------------------------------


def test_a_ca_is_a_private_folder_with_two_keys(tmp_path: Path, ca: Authority) -> None:
    assert ca.verify_log().ok
    assert tree(tmp_path) == {
        "ca": 0o700,
        "ca/index.db": 0o600,
        "ca/root": 0o700,
        "ca/root/ca.crt": 0o644,
        "ca/root/ca.key": 0o600,
        "ca/intermediate-1": 0o700,
        "ca/intermediate-1/ca.crt": 0o644,
        "ca/intermediate-1/ca.key": 0o600,
    }


def test_the_ca_is_in_its_own_index(ca: Authority) -> None:
    entries = ca.ls(Query()).entries
    assert [(e.seq, e.role, e.spiffe_id) for e in entries] == [
        (3, Role.INTERMEDIATE, "spiffe://demo.local"),
        (2, Role.ROOT, "spiffe://demo.local"),
    ]
    assert {e.issuer for e in entries} == {entries[1].serial}


def test_a_profile_is_kept(tmp_path: Path) -> None:
    profile = Profile("demo.local", ("shop.example.com",), leaf_ttl=HOUR)
    Authority.create(tmp_path / "ca", profile, NOW).close()
    with Authority.open(tmp_path / "ca") as ca:
        assert ca.profile == profile
        assert ca.issue(Request(WEB), NOW).certificate.not_valid_after_utc == NOW + HOUR


@pytest.mark.parametrize("left", ["root", "intermediate-1", "index.db"])
def test_a_ca_is_never_made_over_another_or_what_is_left_of_one(tmp_path: Path, left: str) -> None:
    (tmp_path / "ca" / left).mkdir(parents=True)
    with pytest.raises(AuthorityError, match=f"holds a CA already.*{left}"):
        Authority.create(tmp_path / "ca", PROFILE, NOW)
    assert tree(tmp_path / "ca") == {left: 0o755}


def test_a_ca_is_made_in_a_folder_that_holds_other_things(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    Authority.create(tmp_path, PROFILE, NOW).close()
    assert (tmp_path / "notes").read_text() == "mine"


def test_an_init_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 100) as disk:
        with pytest.raises((OSError, StoreError)):
            Authority.create(disk / "ca", PROFILE, NOW)
        assert tree(disk / "ca") == {}


def test_an_init_that_never_finished_is_told_apart(tmp_path: Path) -> None:
    Store.create(tmp_path / "index.db").close()
    with Authority.open(tmp_path) as ca, pytest.raises(AuthorityError, match="never finished"):
        ca.issue(Request(WEB), NOW)


def test_no_ca_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not there"):
        Authority.open(tmp_path)
    with pytest.raises(AuthorityError, match="there is no CA key"):
        needs_passphrase(tmp_path)


@pytest.mark.parametrize("key_type", [KeyType.P384, KeyType.ED25519, KeyType.RSA2048])
def test_a_ca_of_another_key_type(tmp_path: Path, key_type: KeyType) -> None:
    with Authority.create(tmp_path / "ca", PROFILE, NOW, key_type=key_type) as ca:
        made = ca.issue(Request(WEB), NOW)
    assert made.entry.key_type == KeyType.P256
    assert key_name(made.chain[1].public_key()) == key_type  # type: ignore[arg-type]  # ours
    made.certificate.verify_directly_issued_by(made.chain[1])


# --- passphrase -------------------------------------------------------------------------------


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    Authority.create(tmp_path / "ca", PROFILE, NOW, passphrase=b"right").close()
    return tmp_path / "ca"


def test_with_the_passphrase_a_locked_ca_issues(locked: Path) -> None:
    assert needs_passphrase(locked)
    with Authority.open(locked, b"right") as ca:
        assert ca.issue(Request(WEB), NOW).entry.spiffe_id == str(WEB)


@pytest.mark.parametrize("passphrase", [None, b"", b"wrong"])
def test_without_it_a_locked_ca_issues_nothing(locked: Path, passphrase: bytes | None) -> None:
    with Authority.open(locked, passphrase) as ca:
        with pytest.raises(PassphraseError, match=r"intermediate-1/ca\.key"):
            ca.issue(Request(WEB), NOW)
        assert len(ca.ls(Query()).entries) == 2  # to look around, no key is needed
        assert ca.verify_log().ok


def test_both_keys_are_locked(locked: Path) -> None:
    for path in locked.glob("*/ca.key"):
        assert b"ENCRYPTED" in path.read_bytes()


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError, match="the passphrase is empty"):
        Authority.create(tmp_path / "ca", PROFILE, NOW, passphrase=b"")
    assert not (tmp_path / "ca").exists()


def test_a_ca_without_a_passphrase_needs_none(tmp_path: Path, ca: Authority) -> None:
    assert ca.profile == PROFILE
    assert not needs_passphrase(tmp_path / "ca")
