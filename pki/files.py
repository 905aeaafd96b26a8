"""Files that must never be seen half-written.

One file: a temporary file beside it, made exclusively and 0600 from the first byte, written,
synced, renamed over the old one, and the directory synced.

A folder of several (`tls.crt`, `tls.key`, `ca.crt`) is switched as one: the files are written to
a new hidden directory, and the names in the folder are symbolic links through `..data`, a link
that one rename moves from the old directory to the new (the layout that the kubelet gives
volumes). At no moment do the names show a key of one generation and a certificate of another.
What POSIX cannot give is a reader that opens two names in the same instant: one that opens the
key before and the certificate after the switch must notice the mismatch and read again. Where
plain files of those names stood before, each is replaced by its link, key first; that first
time, and no other, a reader may find a new key beside an old certificate.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644

_CURRENT: Final = "..data"


def write_file(path: Path, data: bytes, mode: int = PUBLIC_MODE) -> None:
    """Put `data` at `path` atomically and durably, replacing what is there.

    Raises `OSError`; the old file is then as it was, and no temporary file is left behind.
    """
    _place(path, data, mode, os.rename)


def create_file(path: Path, data: bytes, mode: int = PUBLIC_MODE) -> None:
    """As `write_file`, but raise `FileExistsError` if there is something at `path` already."""
    _place(path, data, mode, os.link)


def write_folder(folder: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Switch `folder` to `files` ({name: (data, mode)}) in one step, making it if need be.

    Names that an earlier call put there and this one does not are removed; all others stay.
    Raises `OSError`; the folder then shows what it showed before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        fresh = folder / f"..{secrets.token_hex(8)}"
        try:
            fresh.mkdir(mode=0o755)
            for name, (data, mode) in files.items():
                _write_new(fresh / name, data, mode)
            sync_directory(fresh)
            _link(folder / _CURRENT, fresh.name)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        _link_names(folder, files)
        sync_directory(folder)
        _sweep(folder, fresh.name)


def _place(path: Path, data: bytes, mode: int, put: Callable[[Path, Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_new(temporary, data, mode)
        put(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, SECRET_MODE), "wb") as file:
        os.fchmod(file.fileno(), mode)  # not masked by the umask, and before there is content
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link(path: Path, target: str) -> None:
    """Make `path` a link to `target`, atomically replacing what is there."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        temporary.symlink_to(target)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def _link_names(folder: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    for name in sorted(files, key=lambda name: files[name][1] != SECRET_MODE):
        if _target(folder / name) != f"{_CURRENT}/{name}":
            _link(folder / name, f"{_CURRENT}/{name}")


def _sweep(folder: Path, current: str) -> None:
    """Remove older generations, what a crash left of one, and links that lead nowhere now."""
    for path in folder.iterdir():
        target = _target(path)
        if target is None and path.name.startswith("..") and path.name != current:
            shutil.rmtree(path)
        elif target == f"{_CURRENT}/{path.name}" and not path.exists():
            path.unlink()


def _target(path: Path) -> str | None:
    return os.readlink(path) if path.is_symlink() else None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock ends with the process that holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Make renames in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
