"""Changes of the identity folder: all of them are seen, none is read by halves."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from sidecar.identity.files import IdentityError, fingerprint, load_identity, read_folder
from tests.certs import Leaf, TestCA

Result = TypeVar("Result")
NOW = time.time()
CA = TestCA()
OLD, NEW = CA.leaf(), CA.leaf()


def replace(path: Path, content: bytes) -> None:
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").replace(path)


def rewrite_same_size(path: Path) -> None:
    """Another key of the same length, its times set back: only inode and change time differ."""
    times = path.stat()
    replace(path, bytes(reversed(path.read_bytes())))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "certificate replaced": lambda folder: replace(folder / "tls.crt", NEW.chain_pem),
    "key replaced, same size and time": lambda folder: rewrite_same_size(folder / "tls.key"),
    "bundle only": lambda folder: replace(folder / "ca.crt", TestCA().pem),
    "revocation list added": lambda folder: replace(folder / "crl.pem", CA.crl()),
    "key removed": lambda folder: (folder / "tls.key").unlink(),
    "mode of the key": lambda folder: (folder / "tls.key").chmod(0o640),
    "appended in place": lambda folder: (folder / "ca.crt").write_bytes(CA.pem + CA.pem),
    "folder gone": lambda folder: folder.rename(folder.with_name("gone")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_differs_after(tmp_path: Path, change: str) -> None:
    folder = OLD.write_folder(tmp_path / "certs")
    before = fingerprint(folder)
    assert fingerprint(folder) == before
    CHANGES[change](folder)
    assert fingerprint(folder) != before


def test_fingerprint_ignores_strangers(tmp_path: Path) -> None:
    before = fingerprint(OLD.write_folder(tmp_path))
    (tmp_path / "readme").touch()
    assert fingerprint(tmp_path) == before


def test_fingerprint_sees_the_symlink_swap(tmp_path: Path) -> None:
    before = fingerprint(OLD.write_secret(tmp_path))
    NEW.write_secret(tmp_path)
    assert fingerprint(tmp_path) != before
    assert load_identity(tmp_path, NOW).leaf.der == NEW.der


def test_fingerprint_survives_a_missing_folder(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    before = fingerprint(folder)
    assert fingerprint(folder) == before
    OLD.write_folder(folder)
    assert fingerprint(folder) != before


@contextmanager
def meanwhile(act: Callable[[int], object]) -> Iterator[None]:
    """Call `act` over and over in another thread."""
    over = threading.Event()

    def work() -> None:
        turn = 0
        while not over.is_set():
            act(turn := turn + 1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def attempt(act: Callable[[], Result]) -> Result | IdentityError:
    """The result or the error, as a value."""
    try:
        return act()
    except IdentityError as error:
        return error


PAIRS = {leaf.chain_pem: leaf.key_pem for leaf in (OLD, NEW)}


def test_symlink_swaps_are_never_read_by_halves(tmp_path: Path) -> None:
    """Threat class 41: certificate and key always come from one version of the Secret."""
    OLD.write_secret(tmp_path)
    with meanwhile(lambda turn: (OLD, NEW)[turn % 2].write_secret(tmp_path)):
        outcomes = [attempt(lambda: read_folder(tmp_path)) for _ in range(150)]
    read = [one for one in outcomes if not isinstance(one, IdentityError)]
    assert read
    assert all(PAIRS[one.chain_pem] == one.key_pem for one in read)
    errors = [str(one) for one in outcomes if isinstance(one, IdentityError)]
    assert all("changed again each time" in error for error in errors)


def test_pair_written_file_by_file_is_an_identity_or_an_error(tmp_path: Path) -> None:
    """Between the two renames the folder is torn; that moment is an error that names the key."""
    OLD.write_folder(tmp_path)

    def rotate(turn: int) -> None:
        (OLD, NEW)[turn % 2].write_folder(tmp_path)
        time.sleep(0.001)

    with meanwhile(rotate):
        outcomes = [attempt(lambda: load_identity(tmp_path, NOW)) for _ in range(150)]
    loaded = [one.credentials for one in outcomes if not isinstance(one, IdentityError)]
    assert loaded
    assert all(PAIRS[one.chain_pem] == one.key_pem for one in loaded)
    errors = {one.path for one in outcomes if isinstance(one, IdentityError)}
    assert errors <= {tmp_path, tmp_path / "tls.key"}


def test_torn_pair_heals_with_the_second_file(tmp_path: Path) -> None:
    OLD.write_folder(tmp_path)
    replace(tmp_path / "tls.crt", NEW.chain_pem)
    with pytest.raises(IdentityError, match="does not belong"):
        load_identity(tmp_path, NOW)
    torn = fingerprint(tmp_path)
    replace(tmp_path / "tls.key", NEW.key_pem)
    assert fingerprint(tmp_path) != torn
    assert load_identity(tmp_path, NOW).leaf.der == NEW.der


@pytest.mark.parametrize("leaf", [OLD, NEW])
def test_fingerprint_is_taken_before_reading(tmp_path: Path, leaf: Leaf) -> None:
    """So a change during the reading is seen at the next look."""
    identity = load_identity(leaf.write_folder(tmp_path), NOW)
    assert identity.fingerprint == fingerprint(tmp_path)
    replace(tmp_path / "ca.crt", CA.pem)
    assert identity.fingerprint != fingerprint(tmp_path)
