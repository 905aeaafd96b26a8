"""Files that must never be seen half-written.

One file: a temporary file beside it, made exclusively with its final mode (so a key is 0600 from
the first byte), written, synced, renamed over the old one, and the directory synced.

A folder of several (`tls.crt`, `tls.key`, `ca.crt`) is switched as one: the files are written to
a new hidden directory, and the names in the folder are symbolic links through `..data`, a link
that one rename moves from the old directory to the new (the layout that the kubelet gives
volumes). At no moment do the names show a key of one generation and a certificate of another.
What POSIX cannot give is a reader that opens two names in the same instant: one that opens the
key before and the certificate after the switch must notice the mismatch and read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644


def write_file(path: Path, data: bytes, mode: int = PUBLIC_MODE) -> None:
    """Put `data` at `path` atomically and durably, replacing what is there.

    Raises `OSError`; the old file is then as it was, and no temporary file is left behind.
    """
    raise NotImplementedError


def create_file(path: Path, data: bytes, mode: int) -> None:
    """As `write_file`, but raise `FileExistsError` if there is something at `path` already."""
    raise NotImplementedError


def write_folder(folder: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Switch `folder` to `files` ({name: (data, mode)}) in one step; other names stay."""
    raise NotImplementedError
